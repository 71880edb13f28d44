import type { Queryable } from '../postgres/connection.ts'

/**
 * Looks after eager views that are kept up from their changes, for a while: one transaction a refresh, begun within
 * milliseconds of a commit. Any number of sessions may; one refreshes a group at a time. Returns how many refreshes
 * were made; null when there is no such view, and somebody may look again later.
 */
export async function keepUp(
  database: Queryable,
  { worker, forMs }: { readonly worker: string; readonly forMs: number },
): Promise<number | null> {
  const [row] = await database.query<{ refreshes: string | null }>(
    'call tidemark.keep_up($1, $2)',
    [worker, forMs],
  )
  return row?.refreshes === null || row === undefined ? null : Number(row.refreshes)
}
