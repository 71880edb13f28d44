import { formatDuration } from '../../base/duration.ts'
import type { History, HistoryRun } from '../../engine/history.ts'
import type { Colours, Style } from '../surroundings.ts'
import { counted, grouped, relative, tookText } from './figures.ts'
import { nameOf } from './status.ts'
import type { Cell, Column } from './table.ts'
import { renderTable, wrap } from './table.ts'

/** The run log as a table, the newest first, and what all of the period add up to. */
export function renderHistory(history: History, style: Style): readonly string[] {
  const { now, since, runs } = history
  const period = formatDuration(now.getTime() - since.getTime())
  return [
    ...(runs.length === 0
      ? [`No such run in the last ${period}.`]
      : renderTable(runColumns(now, style.colours), runs, style)),
    '',
    ...wrap(totalsLine(history, period), style.width),
  ]
}

/** Columns of runs; a page of one view has no need of the first. */
export function runColumns(now: Date, colours: Colours): readonly Column<HistoryRun>[] {
  return [
    { title: 'RUN', align: 'right', importance: 3, cell: ({ id }) => String(id) },
    { title: 'VIEW', widthMin: 14, cell: ({ view }) => nameOf(view) },
    { title: 'STARTED', align: 'right', cell: ({ startedAt }) => relative(startedAt, now) },
    { title: 'STATUS', cell: ({ status }) => statusCell(status, colours) },
    {
      title: 'TOOK',
      align: 'right',
      cell: ({ durationMs }) => (durationMs === null ? '–' : tookText(durationMs)),
    },
    {
      title: 'ROWS',
      align: 'right',
      cell: ({ rowsTotal }) => (rowsTotal === null ? '–' : grouped(rowsTotal)),
    },
    { title: 'CHANGED', importance: 2, align: 'right', cell: changedText },
    {
      title: 'ASKED BY',
      importance: 1,
      cell: ({ triggerType, triggeredBy }) => `${triggerType}: ${nameOf(triggeredBy)}`,
    },
    { title: 'MESSAGE', below: true, cell: messageOf },
  ]
}

function statusCell(status: string, colours: Colours): Cell {
  const word = status.replace('_', ' ')
  switch (status) {
    case 'completed':
      return { text: `✓ ${word}`, paint: colours.green }
    case 'skipped':
      return { text: `= ${word}`, paint: colours.dim }
    case 'running':
    case 'queued':
      return { text: `… ${word}`, paint: colours.cyan }
    default:
      return { text: `✗ ${word}`, paint: colours.red }
  }
}

function changedText({ rowsInserted, rowsUpdated, rowsDeleted }: HistoryRun): string {
  if (rowsInserted === null) return '–'
  return `+${grouped(rowsInserted)} ~${grouped(rowsUpdated ?? 0)} −${grouped(rowsDeleted ?? 0)}`
}

function messageOf({ status, message, waitedFor, differing }: HistoryRun): string {
  if (differing !== null && differing > 0)
    return `${grouped(differing)} rows differed from the query`
  if (status === 'skipped' || message === null)
    return waitedFor === null ? '' : `waited for ${waitedFor}`
  return message
}

function totalsLine({ totals }: History, period: string): string {
  const { total, successful, failed, successRate, durationMsAverage, durationMsMax } = totals
  const rate = successRate === null ? '' : ` (${percent(successRate)})`
  const times =
    durationMsAverage === null || durationMsMax === null
      ? ''
      : ` · ${formatDuration(durationMsAverage)} on average, ${formatDuration(durationMsMax)} at most`
  return `Last ${period}: ${counted(total, 'run')}, ${grouped(successful)} successful${rate}, ${grouped(failed)} failed${times}`
}

/** A rate that is not whole is never told as 100 %. */
function percent(rate: number): string {
  if (rate === 1) return '100 %'
  return `${(Math.floor(rate * 1000) / 10).toFixed(1)} %`
}
