import { formatDuration } from '../../base/duration.ts'
import { formatSize } from '../../base/size.ts'
import type {
  RowCount,
  ScannedCache,
  ScannedInvalidation,
  ScannedQueue,
  ScannedRefresher,
  ScannedSource,
  ScannedView,
  ScanReport,
} from '../../engine/scan.ts'
import type { Style } from '../surroundings.ts'
import {
  counted,
  grouped,
  oneLine,
  relative,
  relativeLong,
  span,
  tookText,
  utcText,
} from './figures.ts'
import { nameOf } from './status.ts'
import type { Column } from './table.ts'
import { lengthOf, renderTable, wrap } from './table.ts'

/** Longer lines are hard to read. In a pipe nobody counts; behind it is most often a pager. */
const widthMax = 120
const widthInPipe = 80

const labelCells = 11
const indent = '  '

interface Line {
  readonly label: string
  readonly text: string
}

/** The first look at a database as text: views, queues, caches, what could not be read, the config. */
export function renderScan(report: ScanReport, style: Style): readonly string[] {
  const width = Number.isFinite(style.width) ? Math.min(style.width, widthMax) : widthInPipe
  const fitted = { ...style, width, now: report.at }
  // What needs somebody comes first.
  const views = [...report.views].sort((a, b) => b.warnings.length - a.warnings.length)
  return [
    ...head(report, fitted),
    ...overview(views, fitted),
    ...views.flatMap((view) => ['', ...viewLines(view, fitted)]),
    ...report.queues.flatMap((queue) => ['', ...queueLines(queue, fitted)]),
    ...report.caches.flatMap((cache) => ['', ...cacheLines(cache, fitted)]),
    ...notes(report, fitted),
    ...config(report, fitted),
  ]
}

function head(report: ScanReport, { colours, width }: Style): readonly string[] {
  const { server, views, queues, caches, tookMs } = report
  const found = [
    counted(views.length, 'materialized view'),
    ...(caches.length > 0 ? [counted(caches.length, 'cache table')] : []),
    ...(queues.length > 0 ? [counted(queues.length, 'refresh queue')] : []),
  ].join(', ')
  const standby = server.standby ? ', a standby' : ''
  const where = `${oneLine(server.database)} (PostgreSQL ${server.version}${standby}, as ${oneLine(server.role)})`
  return [
    ...wrap(`${where}: ${found}`, width).map(colours.bold),
    colours.dim(
      `Read in one read-only transaction, ${formatDuration(tookMs)}. Nothing was changed.`,
    ),
    ...(server.tidemark
      ? [colours.dim(`Tidemark is installed here: 'tidemark status' tells about its views.`)]
      : []),
  ]
}

/** All views at a glance, where there are several. */
function overview(views: readonly ScannedView[], style: Style): readonly string[] {
  if (views.length < 2) return []
  return ['', ...renderTable(overviewColumns(style), views, style)]
}

const overviewColumns = ({ now, colours }: Style): readonly Column<ScannedView>[] => [
  {
    title: 'VIEW',
    widthMin: 20,
    cell: ({ name, warnings: told }) =>
      told.length === 0
        ? { text: `● ${nameOf(name)}`, paint: colours.green }
        : { text: `! ${nameOf(name)}`, paint: colours.yellow },
  },
  {
    title: 'SIZE',
    align: 'right',
    importance: 2,
    cell: ({ tableBytes, indexBytes }) =>
      tableBytes === null ? '?' : formatSize(tableBytes + (indexBytes ?? 0)),
  },
  {
    title: 'ROWS',
    align: 'right',
    importance: 3,
    cell: ({ rows }) => (rows === null ? '?' : `${rows.exact ? '' : '~'}${grouped(rows.count)}`),
  },
  {
    title: 'REFRESHED',
    cell: ({ interval, refreshers }) =>
      interval === null
        ? (refreshers[0]?.kind.replace('statement', 'from outside') ?? 'not known')
        : `every ${interval.shortestMs === interval.longestMs ? '' : `${span(interval.shortestMs)}–`}${span(interval.longestMs)}`,
  },
  {
    title: 'LAST',
    align: 'right',
    cell: ({ last }) => (last === null ? '?' : relative(last.at, now)),
  },
  {
    title: 'TAKES',
    align: 'right',
    cell: ({ cost }) =>
      cost === null ? '?' : `${cost.from === 'estimate' ? '~' : ''}${tookText(cost.medianMs)}`,
  },
  {
    title: 'STALE UP TO',
    align: 'right',
    cell: ({ staleness }) => (staleness === null ? 'no bound' : span(staleness.mostMs)),
  },
]

/** A title, with figures at its right where there is room. */
function title(name: string, figures: string, style: Style): readonly string[] {
  const { colours, width } = style
  const shown = oneLine(name)
  const blank = width - lengthOf(shown) - lengthOf(figures)
  if (blank >= 2) return [`${colours.bold(shown)}${' '.repeat(blank)}${colours.dim(figures)}`]
  return [
    ...wrap(shown, width).map(colours.bold),
    ...wrap(figures, width - indent.length).map((line) => indent + colours.dim(line)),
  ]
}

/** Stands for a blank at which no line is broken. */
const held = '\uE000'

/** Keeps numbers with their units, and what stands in parentheses and is short. */
const hold = (text: string): string =>
  text
    .replaceAll(/(\d) (?=(?:ms|s|min|h|d|B|kB|MB|GB|TB|rows?|runs?)\b)/g, `$1${held}`)
    .replaceAll(/\([^()]{1,24}\)/g, (inner) => inner.replaceAll(' ', held))

const wrapHeld = (text: string, width: number): readonly string[] =>
  wrap(hold(oneLine(text)), width).map((line) => line.replaceAll(held, ' '))

function labelled(lines: readonly Line[], style: Style): readonly string[] {
  const room = style.width - indent.length - labelCells
  return lines.flatMap(({ label, text }) =>
    wrapHeld(text, room).map(
      (part, i) => indent + style.colours.dim((i === 0 ? label : '').padEnd(labelCells)) + part,
    ),
  )
}

/** A sign and an indent, so that no colour is needed. */
function warnings(texts: readonly string[], { colours, width }: Style): readonly string[] {
  return texts.flatMap((text) =>
    wrapHeld(text, width - indent.length - 2).map((part, i) =>
      colours.yellow(`${indent}${i === 0 ? '! ' : '  '}${part}`),
    ),
  )
}

function viewLines(view: ScannedView, style: Style): readonly string[] {
  const figures = [
    ...(view.tableBytes === null
      ? []
      : [`${formatSize(view.tableBytes)} + ${formatSize(view.indexBytes ?? 0)} indexes`]),
    rowsText(view.rows),
    view.populated ? 'populated' : 'never filled',
    ...(view.managed ? ['kept by Tidemark'] : []),
  ].join(' · ')
  return [
    ...title(view.name, figures, style),
    ...labelled(
      [
        { label: 'refreshed', text: refreshedText(view) },
        ...view.refreshers.slice(1).map((one) => ({ label: '', text: refresherText(one) })),
        { label: 'last', text: lastText(view, style.now) },
        { label: 'costs', text: costText(view) },
        { label: 'blocks', text: view.blocks },
        { label: 'unique', text: uniqueText(view) },
        { label: 'reads', text: view.sources.map(sourceText).join('; ') || 'no table' },
        ...(view.readers.length === 0 ? [] : [{ label: 'read by', text: view.readers.join(', ') }]),
        { label: 'stale', text: stalenessText(view) },
        { label: 'Tidemark', text: prospectText(view) },
      ],
      style,
    ),
    ...warnings(view.warnings, style),
  ]
}

const rowsText = (rows: RowCount | null): string =>
  rows === null ? 'rows not known' : `${rows.exact ? '' : 'about '}${counted(rows.count, 'row')}`

function refreshedText({ refreshers, interval }: ScannedView): string {
  const [first] = refreshers
  if (first === undefined)
    return 'not known to PostgreSQL: no job, trigger or function of this database does it'
  if (interval?.from === 'counted') {
    return `${refresherText(first)}, every ${formatDuration(interval.longestMs)} on average`
  }
  return refresherText(first)
}

function refresherText(refresher: ScannedRefresher): string {
  const { kind, name, mode, job, through, onRequest } = refresher
  const by = through.length === 0 ? '' : ` through ${through.join(', ')}`
  const how = mode === 'both' ? 'plain and concurrently' : mode
  switch (kind) {
    case 'pg_cron': {
      const when = `${job?.schedule ?? ''}${job?.active === false ? ', paused' : ''}${onRequest ? ', when asked for' : ''}`
      return `pg_cron ${name} (${when}), ${how}${by}`
    }
    case 'trigger':
      return `${name}, in the writer's transaction, ${how}${by}`
    case 'function':
      return `function ${name}, ${how}${by}; nothing in the database calls it`
    case 'statement':
      return `${name}, ${how}`
  }
}

function lastText({ last, history, hints }: ScannedView, now: Date): string {
  const runs =
    history === null
      ? ''
      : `; ${counted(history.runs, 'run')}${history.since === null ? '' : ` since ${utcText(history.since).slice(0, 10)}`}, ${grouped(history.failed)} failed`
  const failure =
    history?.lastFailure == null
      ? ''
      : `, the last one ${relativeLong(history.lastFailure.at, now)}`
  if (last === null) {
    const known = hints.length === 0 ? '' : `; ${hints.join('; ')}`
    return `when is not known to PostgreSQL${known}${runs}${failure}`
  }
  const took = last.tookMs === null ? '' : `, took ${formatDuration(last.tookMs)}`
  return `${relativeLong(last.at, now)} (${utcText(last.at)}, says ${last.from})${took}${runs}${failure}`
}

function costText({ cost, interval }: ScannedView): string {
  if (cost === null) return 'not known'
  const { medianMs, mostMs, from } = cost
  const day =
    interval === null
      ? ''
      : `, ${interval.shortestMs === interval.longestMs ? '' : 'at least '}${formatDuration((86_400_000 / interval.longestMs) * medianMs)} a day`
  if (from === 'estimate') {
    return `about ${formatDuration(medianMs)} by the planner's estimate; no refresh is on record`
  }
  const most = mostMs === null ? '' : `, at most ${formatDuration(mostMs)}`
  return `${formatDuration(medianMs)} ${from === 'pg_stat_statements' ? 'on average' : 'typically'}${most}${day} (${from})`
}

const uniqueText = ({ uniqueIndex }: ScannedView): string =>
  uniqueIndex === null
    ? 'no index that CONCURRENTLY could use'
    : `${uniqueIndex.name} (${uniqueIndex.columns.join(', ')}): CONCURRENTLY can use it`

function sourceText(source: ScannedSource): string {
  const { name, kind, bytes, writes, writesPerHour, rateIsUpperBound } = source
  const facts = [
    ...(kind === 'table' ? [] : [kind === 'matview' ? 'materialized view' : `${kind} table`]),
    ...(bytes === null ? [] : [formatSize(bytes)]),
    ...(kind === 'matview' || writesPerHour === null
      ? []
      : writes === 0
        ? ['no write counted']
        : [`${rateIsUpperBound ? 'at most ' : ''}${grouped(writesPerHour)} rows written an hour`]),
  ]
  return facts.length === 0 ? name : `${name} ${facts.join(', ')}`
}

function stalenessText({ staleness, refreshers }: ScannedView): string {
  if (staleness !== null) {
    const { typicalMs, mostMs } = staleness
    return `up to ${formatDuration(mostMs)}, ${formatDuration(typicalMs)} on average, when no refresh fails`
  }
  if (refreshers.some(({ kind }) => kind === 'trigger')) return 'never, at the price of the writers'
  return 'without a schedule there is no bound'
}

function prospectText({ tidemark, managed }: ScannedView): string {
  if (managed) return 'keeps it already'
  const { targetMs, feasible, advice } = tidemark
  const verdict = feasible === null ? 'is open' : feasible ? 'can be held' : 'cannot be held'
  return `target ${formatDuration(targetMs)} ${verdict}: ${advice}. Readers never wait; tidemark explain says whether it can be maintained from what changes`
}

function queueLines(queue: ScannedQueue, style: Style): readonly string[] {
  return [
    ...title(queue.name, 'queue of refresh requests', style),
    ...labelled(
      [
        ...queue.requests.map(({ trigger, on, events, when, priority }, i) => ({
          label: i === 0 ? 'asked by' : '',
          text: [
            `trigger ${trigger} on ${on} (${events.join(', ')})`,
            when === null ? 'condition not readable' : `when ${when}`,
            ...(priority === null ? [] : [`priority ${priority}`]),
          ].join(', '),
        })),
        {
          label: 'done by',
          text: `${queue.workedOffBy.join(', ')}${queue.everyMs === null ? '' : `, every ${formatDuration(queue.everyMs)}`}`,
        },
        { label: 'leads to', text: queue.views.join(', ') },
        {
          label: 'Tidemark',
          text: 'event rules, evaluated in the capture trigger; see the configuration below',
        },
      ],
      style,
    ),
  ]
}

function cacheLines(cache: ScannedCache, style: Style): readonly string[] {
  const figures = [
    ...(cache.bytes === null ? [] : [formatSize(cache.bytes)]),
    rowsText(cache.rows),
    'a table kept as a cache',
  ].join(' · ')
  const behind = cache.behind.map(
    ({ view, mostMs }) => `${view}${mostMs === null ? '' : ` (up to ${formatDuration(mostMs)})`}`,
  )
  return [
    ...title(cache.name, figures, style),
    ...labelled(
      [
        { label: 'taken for', text: `a cache by ${cache.evidence.join('; ')}` },
        ...invalidationLines(cache.invalidations),
        { label: 'Tidemark', text: 'does not take over caches in this version; a later one will' },
      ],
      style,
    ),
    ...warnings(
      behind.length === 0
        ? []
        : [
            `Writes empty it at once, while ${behind.join(', ')} over the same sources ${behind.length === 1 ? 'is' : 'are'} still behind: filled from there in between, it holds what was true before the write.`,
          ],
      style,
    ),
  ]
}

function invalidationLines(invalidations: readonly ScannedInvalidation[]): readonly Line[] {
  const texts = invalidations.map((one) => {
    const age = one.age === null ? '' : `, rows older than ${one.age}`
    switch (one.kind) {
      case 'trigger':
        return `${one.on ?? ''} (${one.events.join(', ')}), trigger ${one.name}${age}`
      case 'pg_cron':
        return `pg_cron ${one.name} (${one.schedule ?? ''})${age}`
      case 'function':
        return `function ${one.name}${age}; nothing in the database calls it`
    }
  })
  if (texts.length === 0) return [{ label: 'emptied by', text: 'nothing in the database' }]
  return texts.map((text, i) => ({ label: i === 0 ? 'emptied by' : '', text }))
}

function notes({ notes: told }: ScanReport, style: Style): readonly string[] {
  return told.length === 0 ? [] : ['', style.colours.bold('Not seen'), ...warnings(told, style)]
}

/** Never wrapped: it is there to be pasted. */
function config({ config: text, views }: ScanReport, { colours }: Style): readonly string[] {
  if (views.length === 0) {
    return ['', `Nothing to adopt. 'tidemark init' writes a configuration with a view of your own.`]
  }
  return [
    '',
    colours.bold('tidemark.config.ts'),
    ...text
      .trimEnd()
      .split('\n')
      // What users named must not move the cursor.
      .map((line) => line.replaceAll(/\p{Cc}/gu, '�'))
      .map((line) => (line.trimStart().startsWith('//') ? colours.dim(line) : line)),
    '',
    `Paste it, mend the targets, then see what would be done: ${colours.cyan('npx tidemark plan')}`,
  ]
}
