import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { QueryParameter, ReadRelation, UnderstoodQuery } from '../model/query-reads.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { sqlFault } from './sql-fault.ts'
import { meaningQuery, procedure, versionsQuery } from './understand-query-sql.ts'

/** Objects that a query is made of, and their versions when it was understood. */
export interface ObjectVersions {
  readonly relations: readonly number[]
  readonly functions: readonly number[]
  readonly versions: string
}

/** What the server says of a query. */
export interface QueryMeaning {
  readonly query: UnderstoodQuery
  /** Functions whose value moves as time passes. */
  readonly clock: readonly string[]
  /** Functions whose value hangs on settings of the session, or on its role. */
  readonly settings: readonly string[]
  readonly objects: ObjectVersions
}

type RelationRow = Omit<ReadRelation, 'name' | 'source'> & {
  readonly name: RelationName
  readonly source: RelationName
  readonly kind: string
  readonly system: boolean
  readonly temporary: boolean
  readonly rowSecurity: boolean
}

interface MeaningRow {
  readonly body: string
  readonly parameters: readonly QueryParameter[]
  readonly relations: readonly RelationRow[]
  readonly volatile: readonly string[]
  readonly opaque: readonly string[]
  readonly clock: readonly string[]
  readonly settings: readonly string[]
  readonly hidden_columns: boolean
  readonly samples: boolean
  readonly relation_oids: readonly number[]
  readonly function_oids: readonly number[]
}

/**
 * Asks the server what one SELECT means: a procedure among temporary objects gets it as its body, is read back with all names
 * and casts written out, and is rolled back. `told`: sources whose changes are told.
 *
 * @throws TidemarkError TIDEMARK_SQL_INVALID when the server does not accept it; TIDEMARK_CACHE_QUERY_REFUSED when its result may
 * change without a change of rows of its tables.
 */
export async function understandQuery(
  database: Database,
  sql: string,
  told: readonly string[],
): Promise<QueryMeaning> {
  return database.transaction(async (transaction) => {
    await transaction.query('savepoint understand')
    const types = await parameterTypes(transaction, sql)
    await transaction.query(
      `deallocate "tidemark query"; create procedure ${procedure} (${types.join(', ')}) begin atomic\n${sql}\n; end`,
    )
    await transaction.query(`set local search_path = ''; set local datestyle = 'ISO, YMD'`)
    const [row] = await transaction.query<MeaningRow>(meaningQuery, [told])
    const meaning = must(row, 'the meaning of a query is one row')
    const objects = { relations: meaning.relation_oids, functions: meaning.function_oids }
    const versions = await readVersions(transaction, objects)
    await transaction.query('rollback to savepoint understand')
    requireFit(meaning, told)
    const { clock, settings, parameters, relations } = meaning
    const named = new Map(relations.map((relation) => [relation.name, relation]))
    const query = { sql: bodyOf(meaning.body), parameters, relations: named }
    return { query, clock, settings, objects: { ...objects, versions } }
  })
}

/** The versions that objects have now; they are other ones once any of them was altered. */
export async function readVersions(
  queryable: Queryable,
  { relations, functions }: Pick<ObjectVersions, 'relations' | 'functions'>,
): Promise<string> {
  const [row] = await queryable.query<{ versions: string }>(versionsQuery, [relations, functions])
  return row?.versions ?? ''
}

/** The types that the server gives to the parameters, as it does whenever the query is sent. */
async function parameterTypes(transaction: Queryable, sql: string): Promise<readonly string[]> {
  const prepare = 'prepare "tidemark query" as '
  await transaction.query(`${prepare}${sql}`).catch((error: unknown) => {
    throw sqlFault(error, sql, prepare.length)
  })
  const [row] = await transaction.query<{ types: readonly string[] }>(
    `select array(select format_type(t.type, null)
                  from unnest(s.parameter_types) with ordinality t (type, place) order by t.place) as types
     from pg_prepared_statements s where s.name = 'tidemark query'`,
  )
  return row?.types ?? []
}

const bodyOf = (printed: string): string =>
  printed.replace(/^\s*BEGIN ATOMIC\s/, '').replace(/\sEND\s*$/, '')

const kinds: Readonly<Record<string, string>> = {
  m: 'a materialized view that Tidemark does not maintain',
  f: 'a foreign table',
  S: 'a sequence',
}

function requireFit(meaning: MeaningRow, told: readonly string[]): void {
  const { volatile, opaque, relations, hidden_columns, samples } = meaning
  const reasons = [
    ...volatile.map((name) => `${name} is volatile: it may answer otherwise each time`),
    ...opaque.map(
      (name) => `${name} is not immutable, so it may read what is not seen in the query`,
    ),
    ...(hidden_columns ? ['it reads columns of the system such as ctid or xmin'] : []),
    ...(samples ? ['TABLESAMPLE takes other rows each time'] : []),
    ...relations.flatMap(({ name, source, kind, system, temporary, rowSecurity }) => {
      const what = system
        ? 'a catalogue of the system'
        : temporary
          ? 'a temporary table'
          : told.includes(source)
            ? undefined
            : kinds[kind]
      if (what !== undefined) return [`${name} is ${what}, whose changes nobody tells`]
      return rowSecurity ? [`row security of ${name} adds conditions of its own`] : []
    }),
  ]
  if (reasons.length === 0) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_QUERY_REFUSED',
    what: `The result of this query may change without a commit that the cache is told of: ${reasons.join('; ')}.`,
    mend: `Take that out of the query, declare functions immutable that are, or use cache.define() with dependsOn and a ttl.`,
  })
}
