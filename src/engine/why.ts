import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { readStatus } from './status.ts'
import type { ViewStatus } from './status.ts'

/** A source of which a view does not reflect some commits. */
export interface Behind {
  readonly source: RelationName
  /** The views that it was read through; empty when it is read directly. */
  readonly via: string
  readonly commits: number
  readonly oldestAt: Date | null
}

/** A request that waits to be served. */
export interface PendingRequest {
  readonly due: Date
  readonly requestedAt: Date
  readonly deadline: Date | null
  readonly triggerType: string
  readonly triggeredBy: string
  /** Wishes that it stands for. */
  readonly requests: number
  /** Times that it was tried and given back. */
  readonly attempt: number
}

/** A refresh that runs. */
export interface RunningRequest {
  readonly requestedAt: Date
  readonly claimedAt: Date
  readonly triggerType: string
  readonly triggeredBy: string
  readonly worker: string | null
  readonly pid: number | null
  /** The backend that claimed it holds the lease still. */
  readonly atWork: boolean
  readonly waitsFor: string | null
}

/** A run that has ended, with the instants of its chain. */
export interface EndedRun {
  readonly id: number
  readonly status: string
  readonly triggerType: string
  readonly triggeredBy: string
  readonly oldestCommitAt: Date | null
  readonly requestedAt: Date
  readonly startedAt: Date
  readonly finishedAt: Date | null
  readonly durationMs: number | null
  readonly rowsTotal: number | null
  readonly rowsInserted: number | null
  readonly rowsUpdated: number | null
  readonly rowsDeleted: number | null
  /** Changes of sources that it read; null where nobody counted. */
  readonly changes: number | null
  readonly method: string
  /** Rows that differed from the query when the refresh compared itself; null: it did not. */
  readonly differing: number | null
  /** Groups that were compared each for itself; null: none, but the whole if there is a difference to tell. */
  readonly groupsChecked: number | null
  readonly waitedFor: string | null
  readonly worker: string | null
  readonly message: string | null
}

/** From how many changes on a view is refreshed in full, and the numbers that say so; null: not known of this view yet. */
export interface Choice {
  readonly fullFrom: number
  /** Rows that the view reads, as the planner knows it. */
  readonly sourceRows: number
  /** What a refresh takes however little has changed. */
  readonly fixedMs: number | null
  readonly changeMs: number | null
  readonly fullMs: number | null
}

/** All that is known of why a view is as stale as it is. */
export interface WhyFacts {
  /** The clock of the database. */
  readonly now: Date
  readonly view: ViewStatus
  readonly behind: readonly Behind[]
  readonly pending: PendingRequest | null
  readonly running: RunningRequest | null
  /** Groups that are refreshed first, because the view reads them. */
  readonly inputs: readonly string[]
  readonly last: EndedRun | null
  readonly failures: number
  /** After a failure: no attempt before this. */
  readonly notBefore: Date | null
  /** What a refresh usually takes at most. */
  readonly usualMs: number
  /** How it is chosen to be refreshed; null where there is no choice. */
  readonly choice: Choice | null
  readonly timeDependent: boolean
  /** When somebody last decided what is due. */
  readonly lastLookAt: Date | null
  readonly asleep: boolean
}

/** `tidemark.why` as it comes: instants are ISO 8601. */
interface WhyJson {
  readonly now: string
  readonly behind: readonly {
    readonly source: RelationName
    readonly via: string
    readonly commits: number
    readonly oldest_at: string | null
  }[]
  readonly pending: {
    readonly due: string
    readonly requested_at: string
    readonly deadline: string | null
    readonly trigger_type: string
    readonly triggered_by: string
    readonly requests: number
    readonly attempt: number
  } | null
  readonly running: {
    readonly requested_at: string
    readonly claimed_at: string
    readonly trigger_type: string
    readonly triggered_by: string
    readonly worker: string | null
    readonly pid: number | null
    readonly at_work: boolean
    readonly waits_for: string | null
  } | null
  readonly inputs: readonly string[]
  readonly last: {
    readonly run_id: number
    readonly status: string
    readonly trigger_type: string
    readonly triggered_by: string
    readonly oldest_commit_at: string | null
    readonly requested_at: string
    readonly started_at: string
    readonly finished_at: string | null
    readonly duration_ms: number | null
    readonly rows_total: number | null
    readonly rows_inserted: number | null
    readonly rows_updated: number | null
    readonly rows_deleted: number | null
    readonly changes: number | null
    readonly method: string
    readonly differing: number | null
    readonly groups_checked: number | null
    readonly waited_for: string | null
    readonly worker: string | null
    readonly message: string | null
  } | null
  readonly failures: number
  readonly not_before: string | null
  readonly usual_ms: number
  readonly choice: {
    readonly full_from: number
    readonly source_rows: number
    readonly fixed_ms: number | null
    readonly change_ms: number | null
    readonly full_ms: number | null
  } | null
  readonly time_dependent: boolean
  readonly last_look_at: string | null
  readonly asleep: boolean
}

/** Asks the database why a view is as stale as it is. Throws `TIDEMARK_VIEW_UNKNOWN`. */
export async function readWhy(database: Queryable, view: RelationName): Promise<WhyFacts | null> {
  const { views } = await readStatus(database, view)
  const [row] = await database.query<{ why: WhyJson }>('select tidemark.why($1) as why', [view])
  const [status] = views
  if (row === undefined || status === undefined) return null
  const { why } = row
  return {
    now: new Date(why.now),
    view: status,
    behind: why.behind.map(({ oldest_at, ...rest }) => ({ ...rest, oldestAt: instant(oldest_at) })),
    pending: pendingOf(why),
    running: runningOf(why),
    inputs: why.inputs,
    last: lastOf(why),
    failures: why.failures,
    notBefore: instant(why.not_before),
    usualMs: why.usual_ms,
    choice: choiceOf(why),
    timeDependent: why.time_dependent,
    lastLookAt: instant(why.last_look_at),
    asleep: why.asleep,
  }
}

const instant = (text: string | null): Date | null => (text === null ? null : new Date(text))

const choiceOf = ({ choice }: WhyJson): Choice | null =>
  choice && {
    fullFrom: choice.full_from,
    sourceRows: choice.source_rows,
    fixedMs: choice.fixed_ms,
    changeMs: choice.change_ms,
    fullMs: choice.full_ms,
  }

const pendingOf = ({ pending }: WhyJson): PendingRequest | null =>
  pending && {
    due: new Date(pending.due),
    requestedAt: new Date(pending.requested_at),
    deadline: instant(pending.deadline),
    triggerType: pending.trigger_type,
    triggeredBy: pending.triggered_by,
    requests: pending.requests,
    attempt: pending.attempt,
  }

const runningOf = ({ running }: WhyJson): RunningRequest | null =>
  running && {
    requestedAt: new Date(running.requested_at),
    claimedAt: new Date(running.claimed_at),
    triggerType: running.trigger_type,
    triggeredBy: running.triggered_by,
    worker: running.worker,
    pid: running.pid,
    atWork: running.at_work,
    waitsFor: running.waits_for,
  }

const lastOf = ({ last }: WhyJson): EndedRun | null =>
  last && {
    id: last.run_id,
    status: last.status,
    triggerType: last.trigger_type,
    triggeredBy: last.triggered_by,
    oldestCommitAt: instant(last.oldest_commit_at),
    requestedAt: new Date(last.requested_at),
    startedAt: new Date(last.started_at),
    finishedAt: instant(last.finished_at),
    durationMs: last.duration_ms,
    rowsTotal: last.rows_total,
    rowsInserted: last.rows_inserted,
    rowsUpdated: last.rows_updated,
    rowsDeleted: last.rows_deleted,
    changes: last.changes,
    method: last.method,
    differing: last.differing,
    groupsChecked: last.groups_checked,
    waitedFor: last.waited_for,
    worker: last.worker,
    message: last.message,
  }
