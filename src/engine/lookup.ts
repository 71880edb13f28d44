import { TidemarkError } from '../model/errors.ts'
import type { Queryable } from '../postgres/connection.ts'

const place = /\$([A-Za-z_][A-Za-z0-9_]*)/g

/** The columns of the changed row that a lookup reads. */
export const columnsRead = (lookup: string): readonly string[] => [
  ...new Set([...lookup.matchAll(place)].map(([, column = '']) => column)),
]

/** Where a lookup stands, and what it may read. */
export interface LookupPlace {
  /** Where it is in the configuration. */
  readonly place: string
  /** The type of a column of the changed row. @throws TidemarkError for one that it has not. */
  readonly typeOf: (column: string) => string
  /** What stands for a column of the changed row. */
  readonly valueOf: (column: string) => string
  /** What its columns are to be called, for who is told that it is refused. */
  readonly called: string
}

/** A lookup with its places filled, and the types of its columns. */
export interface UnderstoodLookup {
  readonly query: string
  readonly types: ReadonlyMap<string, string>
}

/**
 * Lookups are understood like the queries of views: under the search_path of the role that applies. Leaves nothing in the database.
 * Throws `TIDEMARK_CACHE_RULE_INVALID` for one that PostgreSQL refuses.
 */
export async function understandLookup(
  transaction: Queryable,
  lookup: string,
  at: LookupPlace,
): Promise<UnderstoodLookup> {
  // It may end in a comment.
  const sql = `${lookup.trim().replace(/;$/, '')}\n`
  const filled = (value: (column: string) => string): string =>
    sql.replaceAll(place, (_, column: string) => value(column))
  const probe = filled((column) => `null::${at.typeOf(column)}`)
  await transaction.query('savepoint probe_lookup')
  try {
    await transaction.query(
      `select set_config('search_path', (select reset_val from pg_settings where name = 'search_path'), true)`,
    )
    await transaction.query(`create temporary view "tidemark lookup" as select * from (${probe}) q`)
    const columns = await transaction.query<{ name: string; type: string }>(
      `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type
       from pg_attribute a where a.attrelid = 'pg_temp."tidemark lookup"'::regclass order by a.attnum`,
    )
    return {
      query: filled(at.valueOf),
      types: new Map(columns.map(({ name, type }) => [name, type])),
    }
  } catch (error) {
    if (error instanceof TidemarkError) throw error
    const message = error instanceof Error ? error.message : String(error)
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_RULE_INVALID',
      what: `PostgreSQL refuses the lookup: ${message}`,
      mend: `Write one SELECT whose columns are called ${at.called}, with $column for the changed row.`,
      place: at.place,
    })
  } finally {
    await transaction.query('rollback to savepoint probe_lookup; release savepoint probe_lookup')
  }
}
