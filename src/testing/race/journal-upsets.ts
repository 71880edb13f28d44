import type { Database } from '../../postgres/connection.ts'
import type { RaceStage } from './play-history.ts'

/** Begins the journal of a namespace anew: whoever holds something has to let go of it. */
export async function renewJournal(database: Database, namespace: string): Promise<void> {
  await database.query(`select tidemark.renew_cache($1)`, [namespace])
}

/** The journal forgets some of what it has told, as ticks do with what is older than it has to be kept, or begins anew. */
export function journalUpsets(
  { scheduler, dice }: Pick<RaceStage, 'scheduler' | 'dice'>,
  database: Database,
  namespace: string,
): (() => Promise<void>)[] {
  return [
    () => scheduler.real(() => forget(database, namespace, dice())),
    () => scheduler.real(() => renewJournal(database, namespace)),
  ]
}

async function forget(database: Database, namespace: string, share: number): Promise<void> {
  await database.query(
    `with state as (
       update tidemark.cache_state set forgotten = forgotten + floor($2::float8 * (position - forgotten))::bigint
       where cache = $1 returning forgotten)
     delete from tidemark.invalidation i using state where i.cache = $1 and i.position <= state.forgotten`,
    [namespace, share],
  )
}
