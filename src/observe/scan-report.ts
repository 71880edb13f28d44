import type { RelationName } from '../model/ids.ts'

/** The server and database that were looked at. */
export interface ScannedServer {
  /** As the server tells it, `15.18`. */
  readonly version: string
  readonly database: string
  readonly role: string
  readonly standby: boolean
  /** Whether schema `tidemark` is there. */
  readonly tidemark: boolean
}

/** How many rows, and whether they were counted or estimated from statistics. */
export interface RowCount {
  readonly count: number
  readonly exact: boolean
}

/** How REFRESH is called. */
export type RefreshMode = 'plain' | 'concurrently' | 'both'

/** Something in the database that refreshes a view. */
export interface ScannedRefresher {
  /**
   * A pg_cron job, a trigger inside of writers' transactions, a function that nothing in the database
   * calls, or statements that pg_stat_statements has counted.
   */
  readonly kind: 'pg_cron' | 'trigger' | 'function' | 'statement'
  /** `job 3 'refresh-dashboard'`, `trigger orders_refresh on public.orders`. */
  readonly name: string
  readonly mode: RefreshMode
  /** Of a pg_cron job: its number, schedule and whether it is active. */
  readonly job: { readonly id: number; readonly schedule: string; readonly active: boolean } | null
  /** Functions that lead from the job to REFRESH, in order. */
  readonly through: readonly string[]
  /** It works off a queue of requests and may find none: it promises no interval. */
  readonly onRequest: boolean
}

/** The last refresh that something in the database remembers. */
export interface LastRefresh {
  readonly at: Date
  readonly tookMs: number | null
  /** Who remembers it: `pg_cron`, or a log table of the user's. */
  readonly from: string
}

/** What is remembered of the refreshes of a view. */
export interface RefreshHistory {
  readonly runs: number
  readonly failed: number
  /** Failures since the last success. */
  readonly failedInARow: number
  readonly since: Date | null
  readonly lastFailure: { readonly at: Date; readonly message: string } | null
}

/** What one refresh costs. */
export interface RefreshCost {
  readonly medianMs: number
  readonly mostMs: number | null
  /** `pg_cron`, a log table, `pg_stat_statements`, or `estimate`: the planner's cost of the query. */
  readonly from: string
}

/** Time between two refreshes, by the schedules or by what was counted. */
export interface RefreshInterval {
  readonly shortestMs: number
  readonly longestMs: number
  /** `schedule`, or `counted`: refreshes by the span in which they were counted. */
  readonly from: 'schedule' | 'counted'
}

/** Something that a view reads. */
export interface ScannedSource {
  readonly name: RelationName
  readonly kind: 'table' | 'partitioned' | 'foreign' | 'matview'
  readonly bytes: number | null
  /** Rows written (inserted, updated and deleted); null where the server does not count them. */
  readonly writes: number | null
  readonly writesPerHour: number | null
  /** The true rate may be lower: the server does not say since when it counts. */
  readonly rateIsUpperBound: boolean
}

/** What Tidemark would do with a view. */
export interface ScannedProspect {
  readonly strategy: 'full'
  readonly method: 'diff'
  readonly targetMs: number
  readonly feasible: boolean | null
  readonly advice: string
}

/** A materialized view as it is kept today. */
export interface ScannedView {
  readonly name: RelationName
  readonly owner: string
  readonly tableBytes: number | null
  readonly indexBytes: number | null
  readonly rows: RowCount | null
  readonly populated: boolean
  /** A unique index that REFRESH CONCURRENTLY can use; null: there is none. */
  readonly uniqueIndex: { readonly name: string; readonly columns: readonly string[] } | null
  /** Tidemark keeps it already. */
  readonly managed: boolean
  readonly refreshers: readonly ScannedRefresher[]
  /** How it is refreshed today; null: nothing in the database tells. */
  readonly mode: RefreshMode | null
  readonly last: LastRefresh | null
  readonly history: RefreshHistory | null
  /** What can be said about its age where no refresh is remembered. */
  readonly hints: readonly string[]
  readonly interval: RefreshInterval | null
  readonly cost: RefreshCost | null
  /** Who waits while it is refreshed, in one sentence. */
  readonly blocks: string
  readonly sources: readonly ScannedSource[]
  /** Views that read it. */
  readonly readers: readonly RelationName[]
  /** Its result changes as time passes: the query asks for the time. */
  readonly readsTheClock: boolean
  /** How stale a reader may find it, by its schedule and the time that a refresh takes. */
  readonly staleness: { readonly typicalMs: number; readonly mostMs: number } | null
  readonly tidemark: ScannedProspect
  /** What somebody should look at, worst first. */
  readonly warnings: readonly string[]
}

/** Something that takes rows out of a cache table. */
export interface ScannedInvalidation {
  /** A trigger on a source, a pg_cron job, or a function that nobody in the database calls. */
  readonly kind: 'trigger' | 'pg_cron' | 'function'
  readonly name: string
  /** Of a trigger: its table and the changes it hears. */
  readonly on: RelationName | null
  readonly events: readonly string[]
  /** Of a removal by age: the age as it is written, `5 minutes`. */
  readonly age: string | null
  /** Of a pg_cron job. */
  readonly schedule: string | null
}

/** A table that looks like a cache. */
export interface ScannedCache {
  readonly name: RelationName
  readonly bytes: number | null
  readonly rows: RowCount | null
  /** Why it is taken for one. */
  readonly evidence: readonly string[]
  readonly invalidations: readonly ScannedInvalidation[]
  /** Views over the same sources that are older than the invalidation: a refill may store old data. */
  readonly behind: readonly { readonly view: RelationName; readonly mostMs: number | null }[]
}

/** A trigger that asks for a refresh through a queue. */
export interface ScannedRequest {
  readonly trigger: string
  readonly on: RelationName
  readonly events: readonly string[]
  /** The condition in SQL over the columns of the row; null: every row, or not to be read from the body. */
  readonly when: string | null
  readonly priority: 'critical' | 'normal' | 'background' | null
}

/** A table through which triggers ask for refreshes. */
export interface ScannedQueue {
  readonly name: RelationName
  readonly requests: readonly ScannedRequest[]
  /** Functions and jobs that work it off. */
  readonly workedOffBy: readonly string[]
  /** Time between two looks into it; null when nothing in the database tells. */
  readonly everyMs: number | null
  /** Views that it leads to. */
  readonly views: readonly RelationName[]
}

/** A first look at how a database keeps derived data, taken without changing anything. */
export interface ScanReport {
  readonly at: Date
  readonly tookMs: number
  readonly server: ScannedServer
  readonly views: readonly ScannedView[]
  readonly queues: readonly ScannedQueue[]
  readonly caches: readonly ScannedCache[]
  /** What could not be read, and why. */
  readonly notes: readonly string[]
  /** A `tidemark.config.ts` that adopts the views. */
  readonly config: string
}
