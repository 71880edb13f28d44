import { lineAndColumn } from '../base/text-place.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf } from '../model/ids.ts'
import type { CanonicalQuery, NestedView } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualifiedName } from '../postgres/identifier.ts'
import { sqlstateOf } from '../postgres/sqlstate.ts'
import {
  callsQuery,
  functionsQuery,
  nestedViewsQuery,
  relationsQuery,
  uniquesQuery,
} from './canonical-queries.ts'

/** A view's query as written. */
export interface WrittenQuery {
  readonly name: RelationName
  /** One SELECT: the compiler has parsed it before it comes here. */
  readonly sql: string
}

/**
 * Lets the server read a query: names resolved by the search_path in force, stars expanded,
 * dependencies known. `declared` are the views that are inputs as they stand and are not looked into.
 *
 * Runs in the caller's transaction, below a savepoint that is rolled back: nothing stays, no lock on
 * what exists but ACCESS SHARE. Needs the right to make temporary tables.
 * Throws `TIDEMARK_SQL_INVALID` in PostgreSQL's words, with line and column in the SQL.
 */
export async function canonicalise(
  transaction: Queryable,
  written: WrittenQuery,
  declared: readonly RelationName[],
): Promise<CanonicalQuery> {
  return undone(transaction, () => readDraft(transaction, written, declared))
}

/**
 * Canonicalises queries that may read one another though none of them exists yet, in any order: one
 * that the server has understood is created under its name, below the same savepoint, for the others to
 * read. A view that exists already is read as it exists.
 * Throws `TIDEMARK_VIEW_CYCLE` when some wait for one another.
 */
export async function canonicaliseAll(
  transaction: Queryable,
  written: readonly WrittenQuery[],
  declared: readonly RelationName[],
): Promise<ReadonlyMap<RelationName, CanonicalQuery>> {
  const done = new Map<RelationName, CanonicalQuery>()
  await undone(transaction, async () => {
    let waiting = written
    while (waiting.length > 0) {
      const faults = new Map<WrittenQuery, Error>()
      const understood: WrittenQuery[] = []
      for (const query of waiting) {
        const result = await canonicalise(transaction, query, declared).catch(ifMissing)
        if (result instanceof Error) faults.set(query, result)
        else {
          done.set(query.name, result)
          understood.push(query)
        }
      }
      waiting = [...faults.keys()]
      if (understood.length === 0) throw cycleOr(faults)
      if (waiting.length > 0) await standIn(transaction, understood)
    }
  })
  return done
}

/**
 * The query of an ordinary or materialized view that exists. Reads only.
 * Throws `TIDEMARK_RELATION_UNKNOWN` or `TIDEMARK_RELATION_UNSUPPORTED`.
 */
export async function canonicaliseExisting(
  transaction: Queryable,
  relation: RelationName,
  declared: readonly RelationName[],
): Promise<CanonicalQuery> {
  const { schema, name } = partsOf(relation)
  const [found] = await transaction.query<{ oid: number; kind: string }>(
    `select c.oid, c.relkind::text as kind
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  )
  if (found === undefined) {
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNKNOWN',
      what: `There is no relation ${relation}`,
      mend: "Correct the name; 'tidemark scan' lists the materialized views of the database.",
    })
  }
  if (found.kind !== 'm' && found.kind !== 'v') {
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNSUPPORTED',
      what: `${relation} is neither a view nor a materialized view and has no query to adopt`,
      mend: 'Name a materialized view, or write the query under sql.',
    })
  }
  return undone(transaction, () => readView(transaction, found.oid, declared))
}

/** Runs a step and takes back whatever it did, settings too; what it throws comes through. */
async function undone<Result>(
  transaction: Queryable,
  step: () => Promise<Result>,
): Promise<Result> {
  const back = 'rollback to savepoint canonicalise; release savepoint canonicalise'
  await transaction.query('savepoint canonicalise')
  let result: Result
  try {
    result = await step()
  } catch (error) {
    // A connection that is lost has taken everything back; what lost it is the news.
    await transaction.query(back).catch(() => [])
    throw error
  }
  await transaction.query(back)
  return result
}

const draftBegin = 'create temporary view tidemark_draft as\n'

async function readDraft(
  transaction: Queryable,
  { sql }: WrittenQuery,
  declared: readonly RelationName[],
): Promise<CanonicalQuery> {
  try {
    await transaction.query(`${draftBegin}${sql}`)
  } catch (error) {
    throw sqlFault(error, sql)
  }
  const [draft] = await transaction.query<{ oid: number }>(
    `select 'pg_temp.tidemark_draft'::regclass::oid as oid`,
  )
  return readView(transaction, draft?.oid ?? 0, declared)
}

interface RelationRow {
  readonly name: RelationName
  readonly kind: string
  readonly temporary: boolean
  readonly system: boolean
  readonly declared: boolean
  readonly hidden_columns: boolean
  readonly columns: readonly string[]
}

interface ColumnRow {
  readonly name: string
  readonly type: string
  readonly collation: string | null
}

interface FunctionsRow {
  readonly opaque: readonly string[]
  readonly time_dependent: boolean
  readonly volatile: boolean
  readonly returns_sets: boolean
}

async function readView(
  transaction: Queryable,
  oid: number,
  declared: readonly RelationName[],
): Promise<CanonicalQuery> {
  // Whatever is not the system's own is then printed with its schema.
  await transaction.query(`select set_config('search_path', 'pg_catalog', true)`)
  const [view] = await transaction.query<{ sql: string }>(
    `select regexp_replace(pg_get_viewdef($1::oid), ';\\s*$', '') as sql`,
    [oid],
  )
  const columns = await transaction.query<ColumnRow>(
    `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
       (select format('%I.%I', n.nspname, k.collname)
        from pg_collation k join pg_namespace n on n.oid = k.collnamespace
        where k.oid = a.attcollation and k.oid <> t.typcollation) as collation
     from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
     order by a.attnum`,
    [oid],
  )
  const relations = await transaction.query<RelationRow>(relationsQuery, [oid, declared])
  const [functions] = await transaction.query<FunctionsRow>(functionsQuery, [oid, declared])
  const views = await transaction.query<NestedView>(nestedViewsQuery, [oid, declared])
  const calls = await transaction.query<{
    name: string
    aggregate: boolean
    returns_set: boolean
  }>(callsQuery, [oid, declared])
  const uniques = await transaction.query<CanonicalQuery['uniques'][number]>(uniquesQuery, [
    relations.map(({ name }) => name),
  ])
  return {
    views,
    uniques,
    aggregates: calls.filter(({ aggregate }) => aggregate).map(({ name }) => name),
    setReturning: calls.filter(({ returns_set: set }) => set).map(({ name }) => name),
    sql: view?.sql ?? '',
    columns: columns.map(({ name, type, collation }) => ({
      name,
      type,
      ...(collation === null ? {} : { collation }),
    })),
    ...sorted(relations),
    opaqueFunctions: functions?.opaque ?? [],
    timeDependent: functions?.time_dependent ?? false,
    volatile: functions?.volatile ?? false,
    returnsSets: functions?.returns_sets ?? false,
  }
}

/** Relations by what can be done about their changes. */
function sorted(
  relations: readonly RelationRow[],
): Pick<CanonicalQuery, 'sources' | 'inputs' | 'uncaptured'> {
  const read = relations.filter(({ kind, system, declared }) => kind !== 'v' || system || declared)
  const capturable = ({ kind, system, temporary, hidden_columns }: RelationRow): boolean =>
    (kind === 'r' || kind === 'p') && !system && !temporary && !hidden_columns
  return {
    sources: read
      .filter((relation) => !relation.declared && capturable(relation))
      .map(({ name, columns }) => ({ relation: name, columns })),
    inputs: read.filter(({ declared }) => declared).map(({ name }) => name),
    uncaptured: read
      .filter((relation) => !relation.declared && !capturable(relation))
      .map(({ name }) => name),
  }
}

/** Creates what has been understood for others to read, unless something of the name is there. */
async function standIn(transaction: Queryable, understood: readonly WrittenQuery[]): Promise<void> {
  for (const { name, sql } of understood) {
    const [there] = await transaction.query<{ there: boolean }>(
      'select to_regclass($1) is not null as there',
      [qualifiedName(name)],
    )
    if (there?.there === true) continue
    await transaction.query(`create view ${qualifiedName(name)} as\n${sql}`)
  }
}

/** A relation that is missing may be a view that comes later; any other fault is final. */
function ifMissing(error: unknown): Error {
  if (error instanceof Error && sqlstateOf(error) === '42P01') return error
  throw error
}

/** A circle when each waits for one of the others; else the fault of the one that does not. */
function cycleOr(faults: ReadonlyMap<WrittenQuery, Error>): Error {
  const names = [...faults.keys()].map(({ name }) => name)
  for (const fault of faults.values()) {
    const missing = /relation "(.+?)" does not exist/.exec(fault.message)?.[1]
    if (!names.some((name) => name === missing || partsOf(name).name === missing)) return fault
  }
  return new TidemarkError({
    code: 'TIDEMARK_VIEW_CYCLE',
    what: `These views wait for one another: ${names.join(', ')}`,
    mend: 'Take one of them out of the query of another.',
  })
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : '')

/** Classes of SQLSTATE by which PostgreSQL refuses a query: features, data, syntax and access, limits. */
const refusals = /^(0A|22|2F|42|54)/

/** PostgreSQL's own words, with the place in the user's SQL. */
function sqlFault(error: unknown, sql: string): unknown {
  const state = sqlstateOf(error)
  if (error instanceof TidemarkError || state === undefined || !refusals.test(state)) return error
  const position = Number(Reflect.get(Object(error), 'position') ?? 0)
  const hint: unknown = Reflect.get(Object(error), 'hint')
  return new TidemarkError({
    code: 'TIDEMARK_SQL_INVALID',
    what: `PostgreSQL does not accept this SQL: ${messageOf(error)}`,
    mend: typeof hint === 'string' && hint !== '' ? hint : 'Correct the SQL there.',
    ...(position > draftBegin.length
      ? { place: lineAndColumn(sql, position - 1 - draftBegin.length) }
      : {}),
    cause: error,
  })
}
