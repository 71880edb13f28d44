import { formatSize } from '../../base/size.ts'
import { formatDuration } from '../../base/duration.ts'
import type { SourceTidemark, ViewPage } from '../../engine/show.ts'
import type { Style } from '../surroundings.ts'
import { counted, grouped, relativeLong } from './figures.ts'
import { runColumns } from './history.ts'
import { renderSchedule } from './next.ts'
import { nameOf, stateCell } from './status.ts'
import type { Column } from './table.ts'
import { renderTable, wrap } from './table.ts'

const labelWidth = 12

/** Everything about one view, for people. */
export function renderShow(page: ViewPage, style: Style): readonly string[] {
  const { colours } = style
  const { freshness } = page.status
  const { text, paint = (plain: string) => plain } = stateCell(freshness.state, colours)
  return [
    `${colours.bold(freshness.view)}  ${paint(text)}${freshness.reason === null ? '' : `  ${freshness.reason}`}`,
    ...facts(page).flatMap(([label, value]) => fact(label, value, style)),
    ...titled(
      'Query',
      page.details.query
        .trim()
        .split('\n')
        .map((line) => `  ${line}`),
      style,
    ),
    ...titled('Sources and what of them it reflects', sourceLines(page, style), style),
    ...titled(
      'Schedules',
      page.schedules.flatMap((one) => renderSchedule(one, page.now, style)),
      style,
    ),
    ...titled('Event rules', eventLines(page, style), style),
    ...titled('Last runs', runLines(page, style), style),
  ]
}

function fact(label: string, value: string, style: Style): readonly string[] {
  const lines = wrap(value, Math.max(40, style.width - labelWidth - 2))
  return lines.map(
    (line, i) => `  ${style.colours.dim((i === 0 ? label : '').padEnd(labelWidth))}${line}`,
  )
}

function titled(title: string, lines: readonly string[], style: Style): readonly string[] {
  if (lines.length === 0) return []
  const end = lines.at(-1) === '' ? lines.slice(0, -1) : lines
  return ['', style.colours.bold(title), ...end]
}

type Fact = readonly [label: string, value: string]

function facts(page: ViewPage): readonly Fact[] {
  const { status, details, inputs, readers, now } = page
  const { freshness } = status
  const asOf =
    freshness.asOf === null
      ? 'never'
      : `${freshness.asOf.toISOString()}, ${relativeLong(freshness.asOf, now)}`
  const bytes = details.stateBytes === null ? '' : `, ${formatSize(details.stateBytes)}`
  const rows = freshness.rows === null ? 'none yet' : grouped(freshness.rows)
  return [
    ['staleness', stalenessText(page)],
    ['as of', asOf],
    ['rows', `${rows}${bytes} in ${details.state}`],
    ['strategy', strategyText(page)],
    ['key', details.key === null ? 'whole rows' : details.key.join(', ')],
    ...factIf(details.verify !== 'off' || details.checks > 0, 'verified', verifiedText(page)),
    ...factIf(inputs.length > 0, 'reads', inputs.map(nameOf).join(', ')),
    ...factIf(readers.length > 0, 'read by', readers.map(nameOf).join(', ')),
    ...factIf(details.fallback !== null, 'fallback', `${details.fallback ?? ''}, live`),
    ['by hand', byHandText(page)],
    ...factIf(details.adopted, 'adopted', 'tidemark destroy gives the materialized view back'),
  ]
}

const factIf = (so: boolean, label: string, value: string): readonly Fact[] =>
  so ? [[label, value]] : []

function stalenessText({ status, details }: ViewPage): string {
  const { stalenessMs, targetMs } = status.freshness
  const { businessTarget } = details
  const told = stalenessMs === null ? 'not known' : formatDuration(stalenessMs)
  const target = `${told}, target ${formatDuration(targetMs)}`
  if (businessTarget === null) return target
  const { from, to, zone } = businessTarget.hours
  const inside = formatDuration(businessTarget.target_ms)
  return `${target}; ${inside} in business hours ${from}–${to} ${zone}`
}

function strategyText({ status, details }: ViewPage): string {
  const { strategy, method, policy, group } = status.freshness
  const whole = method === 'diff' ? 'by diff' : 'by REFRESH MATERIALIZED VIEW'
  const how = strategy === 'full' ? whole : `in full ${whole}`
  const budget = details.budgetSecondsPerHour
  const bound = budget === null ? '' : `, ${budget} s an hour`
  return `${strategy}, ${how}; policy ${policy}${bound}; group ${group}`
}

function verifiedText({ details }: ViewPage): string {
  const { verify, checks, groupsChecked, mismatches } = details
  const groups = groupsChecked === 0 ? '' : ` with ${counted(groupsChecked, 'group')}`
  return `${verify}: ${counted(checks, 'check')}${groups}, ${grouped(mismatches)} differed`
}

function byHandText({ details }: ViewPage): string {
  const { refreshRoles, refreshesPerHour } = details
  const who = refreshRoles.length === 0 ? 'everybody' : refreshRoles.join(', ')
  return refreshesPerHour === null ? who : `${who}, ${refreshesPerHour} times an hour`
}

function sourceLines({ sources, now }: ViewPage, style: Style): readonly string[] {
  if (sources.length === 0) return ['none that is captured']
  const { colours } = style
  const columns: readonly Column<SourceTidemark>[] = [
    {
      title: 'SOURCE',
      cell: ({ source, via }) => `${nameOf(source)}${via === '' ? '' : ` via ${nameOf(via)}`}`,
    },
    {
      title: 'AS OF',
      align: 'right',
      cell: ({ asOf }) => (asOf === null ? 'not yet' : relativeLong(asOf, now)),
    },
    { title: 'LOG', align: 'right', importance: 2, cell: ({ logBytes }) => formatSize(logBytes) },
    { title: 'SNAPSHOT', importance: 1, widthMin: 12, cell: ({ snapshot }) => snapshot ?? '–' },
    {
      title: 'COLUMNS',
      widthMin: 16,
      importance: 3,
      cell: ({ columns: names }) => names.join(', '),
    },
    {
      title: 'PROBLEM',
      below: true,
      cell: ({ problem }) => ({ text: problem ?? '', paint: colours.red }),
    },
  ]
  return renderTable(columns, sources, style)
}

function eventLines({ events }: ViewPage, style: Style): readonly string[] {
  return events.flatMap(({ name, source, condition, changes, lane, batchMs }) => {
    const batch = batchMs === 0 ? 'at once' : `in batches of ${formatDuration(batchMs)}`
    return wrap(
      `${name}: ${changes.join(' or ')} of ${nameOf(source)} when ${condition.replaceAll('($1).', '')}, ${batch}, lane ${laneWords[lane] ?? String(lane)}`,
      style.width,
    )
  })
}

const laneWords = ['critical', 'normal', 'background'] as const

function runLines({ runs, now }: ViewPage, style: Style): readonly string[] {
  if (runs.length === 0) return []
  const columns = runColumns(now, style.colours).filter(({ title }) => title !== 'VIEW')
  return renderTable(columns, runs, style)
}
