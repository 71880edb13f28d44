import type { Freshness } from '../model/freshness.ts'
import type { Queryable } from '../postgres/connection.ts'
import { readFreshness } from '../observe/freshness.ts'

/** The run of a view that ended last. */
export interface LastRun {
  readonly id: number
  readonly status: string
  readonly triggerType: string
  readonly triggeredBy: string
  readonly startedAt: Date
  readonly durationMs: number | null
  readonly rowsTotal: number | null
  /** Rows inserted, updated and deleted, together; null where the method cannot tell. */
  readonly rowsChanged: number | null
  readonly message: string | null
}

/** What will refresh a view next: who has asked, a slot, or the last instant that its target allows. */
export interface NextRefresh {
  readonly kind: 'running' | 'queued' | 'slot' | 'target'
  readonly at: Date
}

/** The truth about a view, what it did last and what it does next. */
export interface ViewStatus {
  readonly freshness: Freshness
  readonly lastRun: LastRun | null
  readonly next: NextRefresh | null
}

/** The truth about all views at one instant. */
export interface Status {
  /** The clock of the database. */
  readonly at: Date
  readonly views: readonly ViewStatus[]
}

interface RunRow {
  readonly view: string
  readonly id: number
  readonly status: string
  readonly trigger_type: string
  readonly triggered_by: string
  readonly started_at: Date
  readonly duration_ms: number | null
  readonly rows_total: number | null
  readonly rows_changed: number | null
  readonly message: string | null
}

/**
 * The status of every view, worst first, or of the one named. Asks only for what a reader role may see.
 * Throws `TIDEMARK_VIEW_UNKNOWN` for a name that no view has.
 */
export async function readStatus(database: Queryable, view?: string): Promise<Status> {
  const freshness = await readFreshness(database, view)
  const names = freshness.map((one) => one.view)
  const lastRuns = await database.query<RunRow>(
    `select v.name as view, r.run_id as id, r.status, r.trigger_type, r.triggered_by, r.started_at,
            r.duration_ms, r.rows_total, r.message,
            r.rows_inserted + r.rows_updated + r.rows_deleted as rows_changed
       from unnest($1::text[]) v (name)
       cross join lateral (
         select * from tidemark.runs r
          where r.view_name = v.name and r.status not in ('running', 'queued')
          order by r.run_id desc limit 1) r`,
    [names],
  )
  const nexts = await database.query<{ view: string; running: Date | null; slot: Date | null }>(
    `select v.name as view,
            (select min(r.started_at) from tidemark.runs r
              where r.view_name = v.name and r.status = 'running') as running,
            (select min(s.next_at) from tidemark.schedules s
              where s.view_name = v.name and s.active) as slot
       from unnest($1::text[]) v (name)`,
    [names],
  )
  const [clock] = await database.query<{ now: Date }>('select clock_timestamp() as now')
  return {
    at: clock?.now ?? new Date(),
    views: freshness.map((one) => {
      const run = lastRuns.find((row) => row.view === one.view)
      const next = nexts.find((row) => row.view === one.view)
      return {
        freshness: one,
        lastRun: run === undefined ? null : lastRunOf(run),
        next: nextOf(one, next?.running ?? null, next?.slot ?? null),
      }
    }),
  }
}

const lastRunOf = (row: RunRow): LastRun => ({
  id: row.id,
  status: row.status,
  triggerType: row.trigger_type,
  triggeredBy: row.triggered_by,
  startedAt: row.started_at,
  durationMs: row.duration_ms,
  rowsTotal: row.rows_total,
  rowsChanged: row.rows_changed,
  message: row.message,
})

function nextOf(view: Freshness, running: Date | null, slot: Date | null): NextRefresh | null {
  if (running !== null) return { kind: 'running', at: running }
  if (view.pausedReason !== null || view.quarantineReason !== null) return null
  if (view.nextDueAt !== null) return { kind: 'queued', at: view.nextDueAt }
  const oldest = view.oldestUnreflectedAt
  const deadline = oldest === null ? null : new Date(oldest.getTime() + view.targetMs)
  if (deadline !== null && (slot === null || deadline < slot))
    return { kind: 'target', at: deadline }
  return slot === null ? null : { kind: 'slot', at: slot }
}

/** Whether a view keeps what was promised: its state is known and its staleness within the target. */
export const withinTarget = ({ state }: Freshness): boolean => state === 'fresh'
