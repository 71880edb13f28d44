import type { Queryable } from '../postgres/connection.ts'

/** A refresh that somebody asks for. */
export interface AskedRefresh {
  readonly view: string
  /** `manual` unless the asker has another word for it; free text. */
  readonly triggerType: string
  readonly triggeredBy: string
}

/** How a refresh that somebody asked for ended. */
export interface AnsweredRefresh {
  readonly runId: string | null
  readonly status: string
  readonly durationMs: number | null
  readonly rows: number | null
}

/**
 * Refreshes a view and its group now, at one snapshot, and waits for the end.
 * Throws the coded faults of `tidemark.run`: unknown view, paused, forbidden, limited, failed.
 * `status` is `queued` when another backend is at it: the request then waits as the next one.
 */
export async function refreshNow(
  connection: Queryable,
  asked: AskedRefresh,
): Promise<AnsweredRefresh> {
  const [before] = await connection.query<{ last: string | null }>(
    `select max(run_id)::text as last from tidemark.runs where view_name = tidemark.view_named($1)`,
    [asked.view],
  )
  await connection.query('call tidemark.run($1, $2, $3)', [
    asked.view,
    asked.triggerType,
    asked.triggeredBy,
  ])
  const [run] = await connection.query<{
    id: string
    status: string
    duration_ms: number | null
    rows_total: number | null
  }>(
    `select run_id::text as id, status, duration_ms, rows_total from tidemark.runs
      where view_name = tidemark.view_named($1) and run_id > coalesce($2::bigint, 0)
        and status in ('completed', 'skipped') and triggered_by = $3
      order by run_id desc limit 1`,
    [asked.view, before?.last ?? null, asked.triggeredBy],
  )
  if (run === undefined) return { runId: null, status: 'queued', durationMs: null, rows: null }
  return { runId: run.id, status: run.status, durationMs: run.duration_ms, rows: run.rows_total }
}

/** Pauses a view: no refresh of it starts until it is resumed, and its state says why. */
export async function pauseView(database: Queryable, view: string, reason: string): Promise<void> {
  await database.query('select tidemark.pause($1, $2)', [view, reason])
}

/** Ends a pause or a quarantine and asks for a refresh. */
export async function resumeView(database: Queryable, view: string): Promise<void> {
  await database.query('select tidemark.resume($1)', [view])
}

/** Stops the refresh of a view that runs; false when none ran. Its transaction is rolled back. */
export async function cancelRefresh(
  database: Queryable,
  view: string,
  reason: string,
): Promise<boolean> {
  const [row] = await database.query<{ stopped: boolean }>(
    'select tidemark.cancel($1, $2) as stopped',
    [view, reason],
  )
  return row?.stopped ?? false
}

/** Pauses a schedule, by name or number: its slots are recorded as skipped. */
export async function pauseSchedule(
  database: Queryable,
  schedule: string,
  reason: string,
): Promise<void> {
  await database.query('select tidemark.pause_schedule($1, $2)', [schedule, reason])
}

/** Ends the pause of a schedule. */
export async function resumeSchedule(database: Queryable, schedule: string): Promise<void> {
  await database.query('select tidemark.resume_schedule($1)', [schedule])
}
