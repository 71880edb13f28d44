import type { Queryable } from '../postgres/connection.ts'

/** What one look at the clock decided; counts, and when to look again at the latest. */
export interface TickOutcome {
  /** Why nothing can be decided here, as `tidemark.installation_problem()` says it; null when all is well. */
  readonly problem: string | null
  readonly fired: number
  readonly events: number
  readonly asked: number
  readonly reaped: number
  /** Requests that are due now. */
  readonly pending: number
}

interface TickRow {
  readonly tick: {
    readonly problem?: string
    readonly fired?: number
    readonly events?: number
    readonly asked?: number
    readonly reaped?: number
    readonly pending?: number
  }
}

/**
 * Decides what is due: slots, events, targets, and what dead workers left.
 * Safe to call at any time from anywhere; each slot fires once whoever ticks.
 */
export async function tick(database: Queryable): Promise<TickOutcome> {
  const [row] = await database.query<TickRow>('select tidemark.tick() as tick')
  const outcome = row?.tick ?? {}
  return {
    problem: outcome.problem ?? null,
    fired: outcome.fired ?? 0,
    events: outcome.events ?? 0,
    asked: outcome.asked ?? 0,
    reaped: outcome.reaped ?? 0,
    pending: outcome.pending ?? 0,
  }
}

/** Cancels refreshes that run longer than their timeout; returns how many were told to stop. */
export async function stopOverdue(database: Queryable): Promise<number> {
  const [row] = await database.query<{ stopped: number }>(
    'select tidemark.stop_overdue() as stopped',
  )
  return row?.stopped ?? 0
}

/** Empties what no view needs of the change logs, and forgets what is too old to matter. */
export async function clean(database: Queryable): Promise<number> {
  const [row] = await database.query<{ cleaned: number }>('call tidemark.clean()')
  return row?.cleaned ?? 0
}
