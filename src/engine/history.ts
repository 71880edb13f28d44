import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'

/** Which runs are meant. */
export interface HistoryFilter {
  readonly view: RelationName | null
  /** Only those that failed, were cancelled, timed out or were lost. */
  readonly failedOnly: boolean
  readonly sinceMs: number
  /** Runs to list, the newest first; totals count all. */
  readonly limit: number
}

/** A run as the log has it. */
export interface HistoryRun {
  readonly id: number
  readonly view: RelationName
  readonly status: string
  readonly triggerType: string
  readonly triggeredBy: string
  readonly strategy: string
  readonly method: string
  readonly requestedAt: Date
  readonly startedAt: Date
  readonly finishedAt: Date | null
  readonly durationMs: number | null
  readonly rowsTotal: number | null
  readonly rowsInserted: number | null
  readonly rowsUpdated: number | null
  readonly rowsDeleted: number | null
  readonly differing: number | null
  /** Groups that were compared each for itself; null: none. */
  readonly groupsChecked: number | null
  readonly waitedFor: string | null
  readonly worker: string | null
  readonly message: string | null
}

/** What all runs of the period add up to. */
export interface HistoryTotals {
  readonly total: number
  readonly successful: number
  readonly failed: number
  /** Successful among those that succeeded or failed; null when there are none. */
  readonly successRate: number | null
  readonly durationMsAverage: number | null
  readonly durationMsMax: number | null
}

/** The run log of a period. */
export interface History {
  readonly now: Date
  readonly since: Date
  readonly totals: HistoryTotals
  readonly runs: readonly HistoryRun[]
}

/** A column each, so that a row is a {@link HistoryRun}. */
const runColumns = `
  run_id as id, view_name as view, status, trigger_type as "triggerType", triggered_by as "triggeredBy",
  strategy, method, requested_at as "requestedAt", started_at as "startedAt", finished_at as "finishedAt",
  duration_ms as "durationMs", rows_total as "rowsTotal", rows_inserted as "rowsInserted",
  rows_updated as "rowsUpdated", rows_deleted as "rowsDeleted", differing, groups_checked as "groupsChecked",
  waited_for as "waitedFor",
  worker, message`

const inPeriod = `started_at >= now() - $1 * interval '1 millisecond' and ($2::text is null or view_name = $2)`
const failures = `('failed', 'cancelled', 'timed_out', 'lost')`

interface TotalsRow {
  readonly now: Date
  readonly since: Date
  readonly total: number
  readonly successful: number
  readonly failed: number
  readonly average: number | null
  readonly max: number | null
}

/** Reads the run log: the newest runs, and what all of the period add up to. */
export async function readHistory(database: Queryable, filter: HistoryFilter): Promise<History> {
  const period = [filter.sinceMs, filter.view]
  const [row] = await database.query<TotalsRow>(
    `select now() as now, now() - $1 * interval '1 millisecond' as since,
            count(*) as total,
            count(*) filter (where status in ('completed', 'skipped')) as successful,
            count(*) filter (where status in ${failures}) as failed,
            round(avg(duration_ms) filter (where status = 'completed'))::int8 as average,
            max(duration_ms) filter (where status = 'completed') as max
       from tidemark.runs where ${inPeriod}`,
    period,
  )
  const runs = await database.query<HistoryRun>(
    `select ${runColumns} from tidemark.runs
      where ${inPeriod} and (not $3 or status in ${failures})
      order by run_id desc limit $4`,
    [...period, filter.failedOnly, filter.limit],
  )
  const { now, since, ...counts } = row ?? {
    now: new Date(),
    since: new Date(),
    total: 0,
    successful: 0,
    failed: 0,
    average: null,
    max: null,
  }
  const ended = counts.successful + counts.failed
  return {
    now,
    since,
    totals: {
      total: counts.total,
      successful: counts.successful,
      failed: counts.failed,
      successRate: ended === 0 ? null : counts.successful / ended,
      durationMsAverage: counts.average,
      durationMsMax: counts.max,
    },
    runs,
  }
}
