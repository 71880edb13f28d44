import type { State } from '../../model/freshness.ts'
import type { NextRefresh, Status, ViewStatus } from '../../engine/status.ts'
import { withinTarget } from '../../engine/status.ts'
import { stateWords } from '../demo/state-words.ts'
import type { Colours, Style } from '../surroundings.ts'
import { bar, counted, grouped, relative, span, tookText } from './figures.ts'
import type { Cell, Column } from './table.ts'
import { renderTable } from './table.ts'

const barCells = 8
/** Titles are shorter below. */
const widthUsual = 100

/** The status of views as a table, worst first, and one line that sums it up. */
export function renderStatus(status: Status, style: Style): readonly string[] {
  if (status.views.length === 0) {
    return ["No view is declared. Add one to tidemark.config.ts and run 'tidemark apply'."]
  }
  const now = status.at
  return [
    ...renderTable(columns(now, style), status.views, style),
    '',
    summary(status, style.colours),
  ]
}

/** Below the table stand an empty line, the summary, and two that say what is wrong and which keys are heard. */
const footLines = 4

/** A status with its foot in a terminal of so many lines; what is left out is of the views that are best. */
export function fitted(lines: readonly string[], height: number): readonly string[] {
  const excess = lines.length - height
  const shown = lines.length - footLines - excess - 1
  if (excess <= 0 || shown < 2) return lines
  const left = lines.length - footLines - shown
  return [...lines.slice(0, shown), `… ${counted(left, 'line')} more`, ...lines.slice(-footLines)]
}

function columns(now: Date, style: Style): readonly Column<ViewStatus>[] {
  const { colours } = style
  return [
    { title: 'VIEW', cell: ({ freshness }) => nameOf(freshness.view), widthMin: 16 },
    { title: 'STATE', cell: ({ freshness }) => stateCell(freshness.state, colours) },
    {
      title: style.width < widthUsual ? 'STALE / TARGET' : 'STALENESS / TARGET',
      align: 'right',
      cell: ({ freshness }) => {
        const { stalenessMs, targetMs } = freshness
        return `${stalenessMs === null ? '?' : span(stalenessMs)} / ${span(targetMs).padStart(3)}`
      },
    },
    {
      title: '',
      importance: 2,
      cell: ({ freshness }) => {
        const { stalenessMs, targetMs, state } = freshness
        if (stalenessMs === null) return { text: '·'.repeat(barCells), paint: colours.dim }
        return { text: bar(stalenessMs / targetMs, barCells), paint: paintOf(state, colours) }
      },
    },
    {
      title: 'AS OF',
      align: 'right',
      importance: 4,
      cell: ({ freshness }) => (freshness.asOf === null ? '–' : relative(freshness.asOf, now)),
    },
    { title: 'LAST RUN', importance: 5, cell: (view) => lastRunCell(view, colours) },
    { title: 'NEXT', importance: 3, cell: ({ next }) => nextText(next, now) },
    {
      title: 'WHY',
      below: true,
      cell: ({ freshness }) => ({
        text: freshness.reason ?? heldText(freshness),
        ...(freshness.state === 'fresh' ? {} : { paint: paintOf(freshness.state, colours) }),
      }),
    },
  ]
}

/** What keeps a view from being refreshed, though it is within its target yet. */
function heldText({ quarantineReason, pausedReason }: ViewStatus['freshness']): string {
  if (quarantineReason !== null) return `quarantined: ${quarantineReason}`
  return pausedReason === null ? '' : `paused: ${pausedReason}`
}

/** A view as it is shown: schema public goes without saying. */
export const nameOf = (view: string): string => view.replace(/^public\./, '')

/** How each state is painted; its sign and word say the same. */
export function paintOf(state: State, colours: Colours): (text: string) => string {
  switch (state) {
    case 'fresh':
      return colours.green
    case 'stale':
      return colours.yellow
    case 'very_stale':
      return colours.red
    case 'unknown':
      return colours.magenta
    case 'never_populated':
      return colours.cyan
  }
}

/** A state as a sign and a word, painted. */
export function stateCell(state: State, colours: Colours): Cell {
  const { sign, word } = stateWords[state]
  return { text: `${sign} ${word}`, paint: paintOf(state, colours) }
}

function lastRunCell({ freshness, lastRun }: ViewStatus, colours: Colours): Cell {
  if (lastRun === null) return { text: 'never' }
  if (lastRun.status !== 'completed' && lastRun.status !== 'skipped') {
    return { text: lastRun.status.replace('_', ' '), paint: colours.red }
  }
  const took = freshness.lastDurationMs ?? lastRun.durationMs ?? 0
  const rows = freshness.rows ?? lastRun.rowsTotal
  return { text: `${tookText(took)}${rows === null ? '' : `, ${counted(rows, 'row')}`}` }
}

function nextText(next: NextRefresh | null, now: Date): string {
  if (next === null) return '–'
  switch (next.kind) {
    case 'running':
      return 'running'
    case 'queued':
      return next.at <= now ? 'due' : relative(next.at, now)
    case 'slot':
      return relative(next.at, now)
    case 'target':
      return next.at <= now ? 'overdue' : `by ${relative(next.at, now)}`.replace('by in', 'within')
  }
}

function summary({ views }: Status, colours: Colours): string {
  const late = views.filter(({ freshness }) => !withinTarget(freshness)).length
  if (late === 0) {
    const all = views.length === 1 ? 'The view is' : `All ${grouped(views.length)} views are`
    return colours.green(`${all} within target.`)
  }
  return colours.yellow(`${grouped(late)} of ${counted(views.length, 'view')} not within target.`)
}

/** The status of views as the body of a JSON answer. */
export function statusBody({ at, views }: Status): object {
  return {
    at,
    withinTarget: views.every(({ freshness }) => withinTarget(freshness)),
    views: views.map(viewBody),
  }
}

/** The status of one view as a part of a JSON answer. */
export const viewBody = ({ freshness, lastRun, next }: ViewStatus): object => ({
  ...freshness,
  lastRun,
  next,
})
