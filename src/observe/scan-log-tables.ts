import type { TableFact } from './scan-facts.ts'

/** The columns of a log of refreshes that a user keeps. */
export interface LogColumns {
  readonly view: string
  readonly at: string
  readonly durationMs: string | null
  readonly status: string | null
}

const viewNames = ['view_name', 'matview_name', 'mv_name', 'materialized_view', 'view', 'matview']
const timeNames = [
  'refresh_started_at',
  'started_at',
  'start_time',
  'refreshed_at',
  'last_refresh',
  'last_refresh_at',
  'created_at',
]
const durationNames = ['refresh_duration_ms', 'duration_ms', 'elapsed_ms']
const statusNames = ['status', 'refresh_status']

/**
 * The columns by which a table can be read as a log of refreshes: it names a view and an instant, and
 * tells how long it took or how it ended. Null for a table that is none.
 */
export function logColumns(table: TableFact): LogColumns | null {
  const first = (names: readonly string[], kind: string): string | null =>
    names.find((name) => table.columns.some((one) => one.name === name && one.kind === kind)) ??
    null
  const view = first(viewNames, 'text')
  const at = first(timeNames, 'time')
  const durationMs = first(durationNames, 'number')
  const status = first(statusNames, 'text')
  const isRefreshLog =
    /refresh|matview|(^|_)mv(_|$)/.test(table.name) &&
    !/trigger|queue|request|pending/.test(table.name)
  if (view === null || at === null || !isRefreshLog) return null
  return durationMs === null && status === null ? null : { view, at, durationMs, status }
}
