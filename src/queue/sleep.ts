import type { Queryable } from '../postgres/connection.ts'

/** A snapshot as text: transactions that were at work when the engine lay down. */
type SnapshotText = string

/** True when no view is behind, nothing is asked for and nobody works. */
export async function isIdle(database: Queryable): Promise<boolean> {
  const [row] = await database.query<{ idle: boolean }>('select tidemark.is_idle() as idle')
  return row?.idle ?? false
}

/**
 * From now on writers and readers wake the engine (`pg_notify` on channel `tidemark`).
 * Returns what {@link allEnded} needs: a writer that was at work already may not have heard it.
 */
export async function lieDown(database: Queryable): Promise<SnapshotText> {
  const [row] = await database.query<{ since: string }>('select tidemark.lie_down()::text as since')
  return row?.since ?? ''
}

/** True when every transaction that was at work in `since` has ended. */
export async function allEnded(database: Queryable, since: SnapshotText): Promise<boolean> {
  const [row] = await database.query<{ ended: boolean }>(
    'select tidemark.all_ended($1::pg_snapshot) as ended',
    [since],
  )
  return row?.ended ?? false
}

/** The end of the sleep: wakes the other engines too. */
export async function getUp(database: Queryable): Promise<void> {
  await database.query('select tidemark.get_up()')
}

/** When something is due by itself; null when nothing is. */
export async function nextDue(database: Queryable): Promise<Date | null> {
  const [row] = await database.query<{ due: Date | null }>('select tidemark.next_due() as due')
  return row?.due ?? null
}
