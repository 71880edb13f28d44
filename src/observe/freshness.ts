import { groupName } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import type { Freshness, State } from '../model/freshness.ts'
import type { Queryable } from '../postgres/connection.ts'

interface FreshnessRecord {
  readonly view: string
  readonly group_name: string
  readonly state: State
  readonly reason: string | null
  readonly staleness_ms: number | null
  readonly local_staleness_ms: number | null
  readonly target_ms: number
  readonly oldest_unreflected_at: Date | null
  readonly as_of: Date | null
  readonly confirmed_fresh_at: Date | null
  readonly last_refresh_at: Date | null
  readonly last_duration_ms: number | null
  readonly rows: number | null
  readonly strategy: Freshness['strategy']
  readonly method: Freshness['method']
  readonly policy: Freshness['policy']
  readonly paused_reason: string | null
  readonly quarantine_reason: string | null
  readonly waiting_for: string | null
  readonly next_due_at: Date | null
}

const nounOf = (row: FreshnessRecord): Freshness => ({
  view: row.view as RelationName,
  group: groupName(row.group_name),
  state: row.state,
  reason: row.reason,
  stalenessMs: row.staleness_ms,
  localStalenessMs: row.local_staleness_ms,
  targetMs: row.target_ms,
  oldestUnreflectedAt: row.oldest_unreflected_at,
  asOf: row.as_of,
  confirmedFreshAt: row.confirmed_fresh_at,
  lastRefreshAt: row.last_refresh_at,
  lastDurationMs: row.last_duration_ms,
  rows: row.rows,
  strategy: row.strategy,
  method: row.method,
  policy: row.policy,
  pausedReason: row.paused_reason,
  quarantineReason: row.quarantine_reason,
  waitingFor: row.waiting_for,
  nextDueAt: row.next_due_at,
})

/** Worst first: how much somebody has to care. */
const severity: Readonly<Record<State, number>> = {
  unknown: 0,
  never_populated: 1,
  very_stale: 2,
  stale: 3,
  fresh: 4,
}

/** Orders views worst first: by state, then by staleness against target, then by name. */
export function worstFirst(a: Freshness, b: Freshness): number {
  const ratio = (f: Freshness): number => (f.stalenessMs ?? 0) / Math.max(1, f.targetMs)
  return (
    severity[a.state] - severity[b.state] || ratio(b) - ratio(a) || a.view.localeCompare(b.view)
  )
}

/**
 * The truth about every view (or the one named) at the instant of asking, worst first.
 * Throws `TIDEMARK_VIEW_UNKNOWN` for a name that no view has.
 */
export async function readFreshness(
  database: Queryable,
  view?: string,
): Promise<readonly Freshness[]> {
  const rows = await database.query<FreshnessRecord>(
    view === undefined
      ? 'select * from tidemark.read_freshness()'
      : 'select * from tidemark.read_freshness(array[tidemark.view_named($1)])',
    view === undefined ? [] : [view],
  )
  return rows.map(nounOf).sort(worstFirst)
}
