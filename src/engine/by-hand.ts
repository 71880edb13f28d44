import { pause } from '../base/clock.ts'
import { nearest } from '../base/nearest.ts'
import { TidemarkError } from '../model/errors.ts'
import type { GroupName, RelationName } from '../model/ids.ts'
import { readFreshness } from '../observe/freshness.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import {
  cancelRefresh,
  pauseSchedule,
  pauseView,
  refreshNow,
  resumeSchedule,
  resumeView,
} from '../queue/by-hand.ts'
import type { AnsweredRefresh } from '../queue/by-hand.ts'
import { viewMeant, viewNamed, viewNamesOf } from './named-view.ts'

/** How a refresh is asked for by hand. */
export interface ByHand {
  /** Also when the view reflects every commit. */
  readonly force: boolean
  /** Whether to wait for its end. */
  readonly wait: boolean
  /** Who asks, for the run log. */
  readonly by: string
}

/** What became of a refresh by hand: `fresh` when there was nothing to do. */
export interface Refreshed extends AnsweredRefresh {
  readonly view: RelationName
}

/** The views to refresh for all to be refreshed: one of each group. */
export async function onePerGroup(database: Queryable): Promise<readonly RelationName[]> {
  const views = new Map<GroupName, RelationName>()
  for (const { group, view } of await readFreshness(database)) {
    if (!views.has(group)) views.set(group, view)
  }
  return [...views.values()].sort()
}

/**
 * Refreshes a view and its group by hand. Without `force` a view that reflects every commit is left
 * as it is. When another backend is at it, the next refresh is waited for, or made.
 * Throws the coded faults of `tidemark.run`.
 */
export async function refreshByHand(
  database: Database,
  view: RelationName,
  asked: ByHand,
): Promise<Refreshed> {
  const [freshness] = await readFreshness(database, view)
  if (!asked.force && freshness?.state === 'fresh' && freshness.stalenessMs === 0) {
    return { view, runId: null, status: 'fresh', durationMs: null, rows: freshness.rows }
  }
  if (!asked.wait) return { view, ...(await queueByHand(database, view, asked.by)) }
  const call = { view, triggerType: 'manual', triggeredBy: asked.by }
  try {
    const answered = await refreshNow(database, call)
    if (answered.status !== 'queued' || freshness === undefined) return { view, ...answered }
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'TIDEMARK_PRIVILEGE_MISSING')
      throw error
    // A role that may only refresh, not work: the function does it, in its own right.
    return { view, ...(await refreshAsFunction(database, view, asked.by)) }
  }
  return { view, ...(await untilServed(database, { ...call, view, group: freshness.group })) }
}

interface FunctionRow {
  readonly id: string | null
  readonly status: string
  readonly duration: number | null
  readonly rows: number | null
}

const answerOf = (row: FunctionRow | undefined): AnsweredRefresh => ({
  runId: row?.id ?? null,
  status: row?.status ?? 'queued',
  durationMs: row?.duration ?? null,
  rows: row?.rows ?? null,
})

const refreshFunction = `
select refresh_id::text as id, status, duration_ms as duration, rows_affected as rows
  from tidemark.refresh($1, 'manual', $2)`

/** In REPEATABLE READ the function asks and does not refresh. */
async function queueByHand(
  database: Database,
  view: RelationName,
  by: string,
): Promise<AnsweredRefresh> {
  const [row] = await database.transaction(
    (transaction) => transaction.query<FunctionRow>(refreshFunction, [view, by]),
    { isolation: 'repeatable read' },
  )
  return answerOf(row)
}

async function refreshAsFunction(
  database: Database,
  view: RelationName,
  by: string,
): Promise<AnsweredRefresh> {
  const [row] = await database.query<FunctionRow>(refreshFunction, [view, by])
  const answer = answerOf(row)
  if (answer.status !== 'failed') return answer
  throw new TidemarkError({
    code: 'TIDEMARK_REFRESH_FAILED',
    what: `The refresh of ${view} failed`,
    mend: `'tidemark history ${view} --failed' tells why.`,
  })
}

const lookEveryMs = 200

/** Waits until the request was served by whoever is at work, or serves it when nobody is. */
async function untilServed(
  database: Database,
  asked: {
    readonly view: RelationName
    readonly group: GroupName
    readonly triggerType: string
    readonly triggeredBy: string
  },
): Promise<AnsweredRefresh> {
  const never = new AbortController().signal
  for (;;) {
    const [open] = await database.query<{ running: boolean; pending: boolean }>(
      `select bool_or(status = 'running') as running, bool_or(status = 'pending') as pending
         from tidemark.request where group_name = $1 having count(*) > 0`,
      [asked.group],
    )
    if (open === undefined) return lastAnswer(database, asked.view)
    if (open.pending && !open.running) {
      const answered = await refreshNow(database, asked)
      if (answered.status !== 'queued') return answered
    }
    await pause(lookEveryMs, never)
  }
}

async function lastAnswer(database: Queryable, view: RelationName): Promise<AnsweredRefresh> {
  const [row] = await database.query<FunctionRow>(
    `select run_id::text as id, status, duration_ms as duration, rows_total as rows
       from tidemark.runs where view_name = $1 and status not in ('running', 'queued')
      order by run_id desc limit 1`,
    [view],
  )
  return answerOf(row)
}

/** Stops the refresh of a view that runs. Throws `TIDEMARK_RUN_UNKNOWN` when none does. */
export async function cancelByHand(
  database: Queryable,
  view: RelationName,
  reason: string,
): Promise<void> {
  if (await cancelRefresh(database, view, reason)) return
  throw new TidemarkError({
    code: 'TIDEMARK_RUN_UNKNOWN',
    what: `No refresh of ${view} is running`,
    mend: `'tidemark history ${view}' shows what ran, 'tidemark pause ${view}' keeps the next from starting.`,
  })
}

/** A view or a schedule, as a person named it. */
export interface Pausable {
  readonly kind: 'view' | 'schedule'
  readonly name: string
}

/** The view or the schedule that a person means. Throws `TIDEMARK_VIEW_UNKNOWN` for neither. */
async function pausableNamed(database: Queryable, text: string): Promise<Pausable> {
  const views = await viewNamesOf(database)
  const view = viewMeant(text, views)
  if (view !== undefined) return { kind: 'view', name: view }
  const schedules = await database.query<{ id: number; name: string }>(
    'select id, name from tidemark.schedules order by name',
  )
  const schedule = schedules.find(({ id, name }) => name === text || String(id) === text)
  if (schedule !== undefined) return { kind: 'schedule', name: schedule.name }
  const names = schedules.map(({ name }) => name)
  const near = nearest(text, names)
  if (near === undefined) {
    // Says so with the nearest name.
    return { kind: 'view', name: await viewNamed(database, text) }
  }
  throw new TidemarkError({
    code: 'TIDEMARK_SCHEDULE_UNKNOWN',
    what: `No view and no schedule is called ${text}`,
    mend: `Did you mean the schedule '${near}'? 'tidemark next' lists all schedules.`,
  })
}

/** Pauses a view or a schedule, and returns which it was. */
export async function pauseByHand(
  database: Queryable,
  text: string,
  reason: string,
): Promise<Pausable> {
  const meant = await pausableNamed(database, text)
  if (meant.kind === 'view') await pauseView(database, meant.name, reason)
  else await pauseSchedule(database, meant.name, reason)
  return meant
}

/** Ends the pause of a view or a schedule, also the quarantine of a view, and returns which it was. */
export async function resumeByHand(database: Queryable, text: string): Promise<Pausable> {
  const meant = await pausableNamed(database, text)
  if (meant.kind === 'view') await resumeView(database, meant.name)
  else await resumeSchedule(database, meant.name)
  return meant
}
