import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf } from '../model/ids.ts'
import type { CanonicalQuery, CopiedView, NestedView, ResultColumn } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { identifier, qualifiedName } from '../postgres/identifier.ts'
import { sqlstateOf } from '../postgres/sqlstate.ts'
import { queriesQuery } from './canonical-queries.ts'
import { comparesRows, rowsByColumn } from './rows-by-column.ts'
import { sqlFault } from './sql-fault.ts'

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
  const read = await undone(transaction, () => readDrafts(transaction, [written], declared))
  const query = must(read.get(written), 'each query is understood or has a fault')
  if (query instanceof Error) throw query
  return query
}

/**
 * Canonicalises queries that may read one another though none of them exists yet, in any order: one
 * that the server has understood is created under its name, below the same savepoint, for the others to
 * read. So is one that exists with other columns, in the place of which others read what it will be; it
 * is locked against readers meanwhile, as it will be when its columns change.
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
    let faults = new Map<WrittenQuery, Error>()
    // A chain of all has as many links; a circle of views that exist is found by who orders them.
    for (let round = 0; waiting.length > 0 && round <= written.length; round += 1) {
      faults = new Map()
      const understood: WrittenQuery[] = []
      const before = new Map(done)
      const results = await undone(transaction, () => readDrafts(transaction, waiting, declared))
      for (const [query, result] of results) {
        if (!(result instanceof Error)) {
          done.set(query.name, result)
          understood.push(query)
          // What it reads may have gone with what was replaced: it stays as it was understood.
        } else if (!done.has(query.name) || sqlstateOf(result) !== missingRelation)
          faults.set(query, result)
      }
      if (understood.length === 0) break
      const readersOf = (name: RelationName): readonly WrittenQuery[] =>
        written.filter((query) => faults.has(query) || reads(done.get(query.name), name))
      const read = understood.filter(({ name }) => readersOf(name).length > 0)
      const replaced = await standIn(transaction, read, done)
      const changed = read
        .map(({ name }) => name)
        .filter((name) => replaced.includes(name) || !sameColumns(before.get(name), done.get(name)))
      const again = new Set([...faults.keys(), ...changed.flatMap(readersOf)])
      waiting = written.filter((query) => again.has(query))
    }
    if (faults.size > 0) throw cycleOr(faults)
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
  const read = await undone(transaction, () => readViews(transaction, [found.oid], declared))
  return must(read.get(found.oid), 'what was found in this snapshot can be read')
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

/**
 * Queries as the server understands them. One that reads a relation or column that is missing has its fault in place of it;
 * any other fault is thrown.
 */
async function readDrafts(
  transaction: Queryable,
  written: readonly WrittenQuery[],
  declared: readonly RelationName[],
): Promise<ReadonlyMap<WrittenQuery, CanonicalQuery | Error>> {
  const faults = await createDrafts(transaction, written)
  const drafts = await transaction.query<{ oid: number; name: string }>(
    `select c.oid::int8 as oid, c.relname as name from pg_class c
     where c.relnamespace = pg_my_temp_schema() and c.relkind = 'v' and c.relname like 'tidemark draft %'`,
  )
  const queries = await readViews(
    transaction,
    drafts.map(({ oid }) => oid),
    declared,
  )
  const understood = new Map(drafts.map(({ oid, name }) => [name, queries.get(oid)]))
  return new Map(
    written.map((query, at) => [
      query,
      faults.get(query) ??
        must(understood.get(draftName(at)), 'a draft is there until it is rolled back'),
    ]),
  )
}

const draftName = (at: number): string => `tidemark draft ${at}`

const beginOf = (at: number): string => `create temporary view ${identifier(draftName(at))} as\n`

/** Makes a view of each query; returns the faults of those that read what is missing. */
async function createDrafts(
  transaction: Queryable,
  written: readonly WrittenQuery[],
): Promise<ReadonlyMap<WrittenQuery, Error>> {
  const faults = new Map<WrittenQuery, Error>()
  const drafts = written.map((query, at) => ({ query, begin: beginOf(at) }))
  if (await createdTogether(transaction, drafts)) return faults
  // Mostly for want of a view that another of them will be.
  const readers = drafts.filter(({ query }) =>
    written.some((other) => other !== query && mentions(query, other)),
  )
  const others = drafts.filter((draft) => !readers.includes(draft))
  const rest = (await createdTogether(transaction, others)) ? readers : drafts
  for (const { query, begin } of rest) {
    await transaction.query('savepoint draft')
    try {
      await transaction.query(begin + query.sql)
    } catch (error) {
      faults.set(query, ifMissing(sqlFault(error, query.sql, begin.length)))
      await transaction.query('rollback to savepoint draft')
    }
  }
  return faults
}

interface Draft {
  readonly query: WrittenQuery
  /** What stands before its SQL. */
  readonly begin: string
}

/** Whether the server took them all, in one message; if not, none of them is there. */
async function createdTogether(transaction: Queryable, drafts: readonly Draft[]): Promise<boolean> {
  await transaction.query('savepoint draft')
  try {
    // A query may end in a comment.
    await transaction.query(drafts.map(({ query, begin }) => begin + query.sql).join('\n;\n'))
    return true
  } catch {
    await transaction.query('rollback to savepoint draft')
    return false
  }
}

/** Whether a query may read a view; true for some that do not. */
const mentions = ({ sql }: WrittenQuery, { name }: WrittenQuery): boolean =>
  sql.toLowerCase().includes(partsOf(name).name.toLowerCase())

interface RelationRow {
  readonly name: RelationName
  readonly kind: string
  readonly temporary: boolean
  readonly system: boolean
  readonly declared: boolean
  readonly hiddenColumns: boolean
  readonly columns: readonly string[]
  /** All columns of a materialized or declared view; null of any other relation. */
  readonly typed: readonly ColumnRow[] | null
}

type ColumnRow = Omit<ResultColumn, 'collation'> & { readonly collation: string | null }

interface ViewRow {
  readonly oid: number
  readonly sql: string
  readonly columns: readonly ColumnRow[]
  readonly relations: readonly RelationRow[]
  readonly views: readonly NestedView[]
  readonly calls: readonly {
    readonly name: string
    readonly aggregate: boolean
    readonly returnsSet: boolean
  }[]
  readonly parts: CanonicalQuery['parts']
  readonly uniques: CanonicalQuery['uniques']
  readonly opaque: readonly string[]
  readonly time_dependent: boolean
  readonly volatile: boolean
  readonly returns_sets: boolean
}

/** The queries of views by their oids. */
async function readViews(
  transaction: Queryable,
  oids: readonly number[],
  declared: readonly RelationName[],
): Promise<ReadonlyMap<number, CanonicalQuery>> {
  if (oids.length === 0) return new Map()
  // Whatever is not the system's own is then printed with its schema.
  await transaction.query(`select set_config('search_path', 'pg_catalog', true)`)
  const rows = await transaction.query<ViewRow>(queriesQuery, [oids, declared])
  const readable: ViewRow[] = []
  for (const row of rows) readable.push(await withReadableTexts(transaction, row))
  return new Map(readable.map((row) => [row.oid, canonicalQuery(row)]))
}

/** With what the server prints of it, and of the ordinary views that it reads, in a form that the server reads back. */
async function withReadableTexts(transaction: Queryable, row: ViewRow): Promise<ViewRow> {
  const aggregates = row.calls
    .filter(({ aggregate }) => aggregate)
    .map(({ name }) => name.replace(/^.*\./, ''))
  const readable = (of: Printed): Promise<string> => readableText(transaction, of, aggregates)
  const sql = await readable({ relation: String(row.oid), sql: row.sql })
  const views: NestedView[] = []
  for (const view of row.views) {
    const relation = qualifiedName(view.name)
    views.push({ ...view, sql: await readable({ relation, sql: view.sql }) })
  }
  return { ...row, sql, views }
}

/** What the server prints of a view. */
interface Printed {
  /** Its oid, or its name as SQL. */
  readonly relation: string
  readonly sql: string
}

/**
 * What the server prints of a query, or of the same query with rows compared column by column where the server does not
 * read that back, or takes it for a comparison by other operators.
 */
async function readableText(
  transaction: Queryable,
  { relation, sql }: Printed,
  aggregates: readonly string[],
): Promise<string> {
  if (!comparesRows(sql)) return sql
  const meant = await operatorsOf(transaction, relation)
  // PostgreSQL's own are found wherever they are looked for.
  if (!meant.some((name) => /\d{5}/.test(name))) return sql
  const reading = await undone(transaction, async () => {
    const fault = await createReader(transaction, sql)
    return fault ?? operatorsOf(transaction, reader)
  })
  if (!(reading instanceof Error) && reading.join() === meant.join()) return sql
  const byColumn = rowsByColumn(sql, aggregates)
  const printed =
    byColumn === null ? null : await undone(transaction, () => printedAgain(transaction, byColumn))
  if (printed !== null) return printed
  // Whatever else is compared by other operators is written out where it is compiled.
  if (!(reading instanceof Error) || sqlstateOf(reading) === readOnly) return sql
  throw new TidemarkError({
    code: 'TIDEMARK_SQL_INVALID',
    what: `PostgreSQL prints a comparison of rows in this SQL as it cannot read it back: ${messageOf(reading)}`,
    mend: 'Compare column by column: (a, b) in (select x, y from t) is exists (select from t where a = x and b = y).',
    cause: reading,
  })
}

/** The operators in the query of a view, by their oids. */
async function operatorsOf(transaction: Queryable, relation: string): Promise<readonly string[]> {
  const rows = await transaction.query<{ oids: string }>(
    `select found.parts[1] as oids
     from pg_rewrite w, regexp_matches(w.ev_action::text, ':opnos? (\\d+|\\(o [\\d ]+\\))', 'g') as found (parts)
     where w.ev_class = $1::regclass and w.ev_type = '1'
     order by 1`,
    [relation],
  )
  return rows.map(({ oids }) => oids)
}

const reader = 'pg_temp."tidemark rows"'

/** Makes a view of a query; returns the fault where an operator is not found, or nothing may be made. */
async function createReader(transaction: Queryable, sql: string): Promise<Error | null> {
  try {
    await transaction.query(`create temporary view "tidemark rows" as ${sql}`)
    return null
  } catch (error) {
    const expected = [missingOperator, readOnly].includes(sqlstateOf(error) ?? '')
    if (expected && error instanceof Error) return error
    throw error
  }
}

/**
 * What the server prints of a query whose operators are found by the types of their operands, in whatever schema; null
 * where one is not found, and in a transaction that may not write.
 */
async function printedAgain(transaction: Queryable, sql: string): Promise<string | null> {
  await transaction.query(
    `select set_config('search_path', concat_ws(', ', 'pg_catalog', string_agg(distinct quote_ident(n.nspname), ', ')), true)
     from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
     where o.oprname in ('=', '<>', '<', '<=', '>', '>=') and n.nspname <> 'pg_catalog'`,
  )
  if ((await createReader(transaction, sql)) !== null) return null
  await transaction.query(`select set_config('search_path', 'pg_catalog', true)`)
  const [row] = await transaction.query<{ sql: string }>(
    `select regexp_replace(pg_get_viewdef($1::regclass), ';\\s*$', '') as sql`,
    [reader],
  )
  return row?.sql ?? null
}

const canonicalQuery = (row: ViewRow): CanonicalQuery => ({
  views: row.views,
  parts: row.parts,
  uniques: row.uniques,
  aggregates: row.calls.filter(({ aggregate }) => aggregate).map(({ name }) => name),
  setReturning: row.calls.filter(({ returnsSet }) => returnsSet).map(({ name }) => name),
  sql: row.sql,
  columns: row.columns.map(resultColumn),
  ...sorted(row.relations),
  opaqueFunctions: row.opaque,
  timeDependent: row.time_dependent,
  volatile: row.volatile,
  returnsSets: row.returns_sets,
})

const resultColumn = ({ name, type, collation }: ColumnRow): ResultColumn => ({
  name,
  type,
  ...(collation === null ? {} : { collation }),
})

/** Relations by what can be done about their changes. */
function sorted(
  relations: readonly RelationRow[],
): Pick<CanonicalQuery, 'sources' | 'inputs' | 'inputsRead' | 'uncaptured' | 'copied'> {
  const read = relations.filter(({ kind, system, declared }) => kind !== 'v' || system || declared)
  const capturable = ({ kind, system, temporary, hiddenColumns }: RelationRow): boolean =>
    (kind === 'r' || kind === 'p') && !system && !temporary && !hiddenColumns
  return {
    sources: read
      .filter((relation) => !relation.declared && capturable(relation))
      .map(({ name, columns }) => ({ relation: name, columns })),
    inputs: read.filter(({ declared }) => declared).map(({ name }) => name),
    inputsRead: read
      .filter(({ declared, hiddenColumns }) => declared && !hiddenColumns)
      .map(copiedView),
    uncaptured: read
      .filter((relation) => !relation.declared && !capturable(relation))
      .map(({ name }) => name),
    copied: read
      .filter(({ kind, declared, hiddenColumns }) => kind === 'm' && !declared && !hiddenColumns)
      .map(copiedView),
  }
}

function copiedView({ name, columns, typed }: RelationRow): CopiedView {
  const all = (typed ?? []).map(resultColumn)
  const read = all.filter((column) => columns.includes(column.name))
  // Of one that is only counted the rows are stored by some column.
  return {
    name,
    columns: read.length === 0 ? all.slice(0, 1) : read,
    allColumns: all.map((column) => column.name),
  }
}

const reads = (query: CanonicalQuery | undefined, name: RelationName): boolean =>
  query?.inputs.includes(name) === true

/** How long a plan waits for readers of a view; after it the view is read as it is now. */
const standInWaitMs = 1000

/**
 * Lets others read views as they will be; returns those that had other columns. Of these the old ones
 * go last, since others that stand may go with them.
 */
async function standIn(
  transaction: Queryable,
  views: readonly WrittenQuery[],
  done: ReadonlyMap<RelationName, CanonicalQuery>,
): Promise<readonly RelationName[]> {
  if (views.length === 0) return []
  const standing = await undone(transaction, () => standingColumns(transaction, views))
  const absent = views.filter(({ name }) => !standing.has(name))
  if (absent.length > 0) await transaction.query(absent.map(createOf).join('\n;\n'))
  const others = views.flatMap((view) => {
    const found = standing.get(view.name)
    return found === undefined || sameColumns(found, done.get(view.name))
      ? []
      : [{ ...view, kind: found.kind }]
  })
  const replaced: RelationName[] = []
  for (const view of others) {
    if (await replace(transaction, view, view.kind)) replaced.push(view.name)
  }
  return replaced
}

const createOf = ({ name, sql }: WrittenQuery): string =>
  `create view ${qualifiedName(name)} as\n${sql}`

async function replace(transaction: Queryable, view: WrittenQuery, kind: string): Promise<boolean> {
  await transaction.query('savepoint stand_in')
  try {
    await transaction.query(`set local lock_timeout = ${standInWaitMs}`)
    await transaction.query(`drop ${kind} ${qualifiedName(view.name)} cascade`)
    await transaction.query(createOf(view))
    return true
  } catch {
    // Somebody reads it without end, it is not ours to drop, or a table has its name.
    await transaction.query('rollback to savepoint stand_in')
    return false
  }
}

async function standingColumns(
  transaction: Queryable,
  views: readonly WrittenQuery[],
): Promise<ReadonlyMap<RelationName, Standing>> {
  await transaction.query(`select set_config('search_path', 'pg_catalog', true)`)
  const names = views.map(({ name }) => name)
  const rows = await transaction.query<Standing & { readonly name: RelationName }>(
    `select w.name, case c.relkind when 'm' then 'materialized view' else 'view' end as kind,
       (select coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod))
                                 order by a.attnum), '[]')
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from unnest($1::text[], $2::text[]) w (name, qualified)
     join pg_class c on c.oid = to_regclass(w.qualified)`,
    [names, names.map(qualifiedName)],
  )
  return new Map(rows.map((row) => [row.name, row]))
}

interface Standing {
  readonly kind: string
  readonly columns: readonly ResultColumn[]
}

type WithColumns = Pick<CanonicalQuery, 'columns'> | undefined

/** True as well where there is nothing to compare with. */
const sameColumns = (one: WithColumns, other: WithColumns): boolean =>
  one === undefined ||
  (one.columns.length === other?.columns.length &&
    one.columns.every(
      ({ name, type }, i) => name === other.columns[i]?.name && type === other.columns[i].type,
    ))

const missingRelation = '42P01'
const missingColumn = '42703'
const missingOperator = '42883'
const readOnly = '25006'

/** A relation or column that is missing may come with a view that comes later; any other fault is final. */
function ifMissing(error: unknown): Error {
  const state = sqlstateOf(error)
  if (error instanceof Error && (state === missingRelation || state === missingColumn)) return error
  throw error
}

/** A circle when each waits for one of the others; else the fault of the one that does not. */
function cycleOr(faults: ReadonlyMap<WrittenQuery, Error>): Error {
  const names = [...faults.keys()].map(({ name }) => name)
  for (const [{ name: view }, fault] of faults) {
    const missing = /relation "(.+?)" does not exist/.exec(fault.message)?.[1]
    if (!names.some((name) => name === missing || partsOf(name).name === missing)) {
      return placedAt(view, fault)
    }
  }
  return new TidemarkError({
    code: 'TIDEMARK_VIEW_CYCLE',
    what: `These views wait for one another: ${names.join(', ')}`,
    mend: 'Take one of them out of the query of another.',
  })
}

/** The same fault, with the view that has it: read alone, as things stand, it may have none. */
function placedAt(view: RelationName, fault: Error): Error {
  if (!(fault instanceof TidemarkError)) return fault
  const { code, what, mend, place } = fault
  const at = place === undefined ? `views.${view}` : `views.${view}, ${place}`
  return new TidemarkError({ code, what, mend, place: at, cause: fault })
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : '')
