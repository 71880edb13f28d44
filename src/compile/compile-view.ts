import { nearest } from '../base/nearest.ts'
import type { DefinitionSource, ViewDeclaration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { viewNames } from '../model/names.ts'
import type { CanonicalQuery, CompiledView } from '../model/view.ts'
import { digestOfQuery } from './syntax/digest.ts'
import type { MaintenanceParts } from './emit/maintain.ts'
import { emitDiffFunction, emitRefreshFunction } from './emit/maintain.ts'
import { emitTable } from './emit/table.ts'
import type { FunctionCall } from './syntax/functions.ts'
import { timeCalls } from './syntax/functions.ts'
import type { IncrementalProgram } from './emit/incremental.ts'
import type { Obstacle } from './emit/draft.ts'
import { inferKey } from './key.ts'
import type { ParsedQuery } from './syntax/parse.ts'
import { parseQuery } from './syntax/parse.ts'
import { sqlName } from './syntax/sql-text.ts'
import type { QueryTexts } from './syntax/written-place.ts'
import { placedReason } from './syntax/written-place.ts'

/** A view as declared and as the server understood it. */
export interface ViewToCompile {
  readonly declaration: Pick<ViewDeclaration, 'name' | 'as' | 'key' | 'maintain' | 'definition'> &
    Partial<Pick<ViewDeclaration, 'primaryKey'>>
  readonly query: CanonicalQuery
  /** Zone in which the query is run, whoever runs it. */
  readonly timeZone: string
  /** The state table will have unique indexes other than on the key. Say true when in doubt. */
  readonly uniqueBesidesKey: boolean
  /** How it is kept from what changes, or why it is not. */
  readonly incremental: IncrementalProgram | readonly Obstacle[]
  /** Why it is not incremental, or which parts of it have no rule though it is. */
  readonly obstacles?: readonly Obstacle[]
  /** The parts of it that are computed afresh altogether by their rule. */
  readonly altogether?: readonly Obstacle[]
  /** Columns of its result that can be hashed; asked for with `as: 'table'`. */
  readonly hashable?: readonly string[]
}

/**
 * Compiles a view: how it is refreshed, by which function, and why so.
 * Throws `TIDEMARK_CONFIG_INVALID` when the declared key is none that rows could be paired by.
 */
export async function compileView(view: ViewToCompile): Promise<CompiledView> {
  const { declaration, query, timeZone, uniqueBesidesKey } = view
  const program = isProgram(view.incremental) ? view.incremental : null
  const { name } = declaration
  const parsed = await parseQuery(query.sql)
  if (query.columns.length === 0) throw noColumns(view)
  const key =
    declaration.key === null
      ? inferKey(parsed, factsOf(query))
      : checkedKey(view, 'key', declaration.key)
  if (declaration.primaryKey) checkedKey(view, 'primary key', declaration.primaryKey)
  const method = declaration.as === 'matview' ? 'refresh' : 'diff'
  const parts: MaintenanceParts = {
    view: name,
    sql: liveQuery(name, query),
    columns: query.columns,
    volatile: query.volatile,
    timeZone,
  }
  return {
    name,
    query: program === null ? query : { ...query, sources: program.sources },
    digest: await digestOfQuery(query.sql),
    key,
    method,
    reasons: [
      ...strategyReasons(view, await textsOf(declaration.definition, query)),
      ...queryReasons(query, await asWritten(view, parsed), program !== null),
      ...(method === 'diff' ? [keyReason(key, declaration.key !== null)] : []),
    ],
    incremental: program,
    table:
      declaration.as === 'table'
        ? emitTable({ ...parts, key, hashable: view.hashable ?? [] })
        : null,
    maintainSql:
      program !== null
        ? program.maintainSql
        : method === 'diff'
          ? emitDiffFunction(parts, { key, uniqueBesidesKey })
          : emitRefreshFunction(parts),
  }
}

/**
 * The program reads the live view of the query, which PostgreSQL binds to objects: a table, column or schema that is
 * renamed stays the one that is captured.
 */
const liveQuery = (view: RelationName, { columns }: CanonicalQuery): string =>
  `select ${columns.map(({ name }) => sqlName(name)).join(', ')}\nfrom tidemark_state.${sqlName(viewNames.fallback(view))}`

const factsOf = ({ columns, returnsSets }: CanonicalQuery): Parameters<typeof inferKey>[1] => ({
  columns: columns.map(({ name }) => name),
  returnsSets,
})

/** Places in messages point into the text that the reader wrote, not into the server's print of it. */
async function asWritten(
  { declaration }: ViewToCompile,
  printed: ParsedQuery,
): Promise<ParsedQuery> {
  const { definition } = declaration
  return definition.kind === 'adopt' ? printed : parseQuery(definition.sql)
}

const isProgram = (incremental: ViewToCompile['incremental']): incremental is IncrementalProgram =>
  'maintainSql' in incremental

/** The texts in which places of a view are found. */
export async function textsOf(
  definition: DefinitionSource,
  query: CanonicalQuery,
): Promise<QueryTexts> {
  const views = query.views.map(async ({ name, sql }) => ({ name, query: await parseQuery(sql) }))
  return {
    written: definition.kind === 'adopt' ? null : await parseQuery(definition.sql),
    printed: await parseQuery(query.sql),
    views: await Promise.all(views),
  }
}

function strategyReasons(
  { declaration, incremental, obstacles = [], altogether = [] }: ViewToCompile,
  texts: QueryTexts,
): readonly string[] {
  if (isProgram(incremental)) {
    if (incremental.strategy === 'partition') {
      return [
        ...incremental.reasons.map((reason) => `partition: ${reason}`),
        ...obstacles.map((obstacle) => `not incremental: ${placedReason(obstacle, texts)}`),
      ]
    }
    const afresh = altogether.map(
      (part) =>
        `incremental, computed afresh altogether when something that it reads has changed: ${placedReason(part, texts)}`,
    )
    if (obstacles.length === 0) {
      return afresh.length > 0 ? afresh : ['incremental: every part of the query has a rule']
    }
    const parts = obstacles.map((obstacle) => placedReason(obstacle, texts)).join('; ')
    return [
      `incremental, as declared; computed as a whole whenever something that it reads changes: ${parts}`,
      ...afresh,
    ]
  }
  if (declaration.maintain === 'full') return ['full: declared so']
  if (declaration.as === 'matview') return ['full: a materialized view can only be refreshed whole']
  return incremental.map((obstacle) => `full: ${placedReason(obstacle, texts)}`)
}

function queryReasons(
  query: CanonicalQuery,
  written: ParsedQuery,
  isKeptUp: boolean,
): readonly string[] {
  const reasons: string[] = []
  if (query.timeDependent) reasons.push(`moves with time: ${timeReason(timeCalls(written))}`)
  if (query.volatile) {
    reasons.push('calls a volatile function: two runs may differ, so a refresh cannot check itself')
  }
  if (query.opaqueFunctions.length > 0) {
    reasons.push(
      `calls ${query.opaqueFunctions.join(', ')}: what a function reads cannot be told; declare it under reads`,
    )
  }
  if (query.uncaptured.length > 0) {
    const what = isKeptUp
      ? 'what changes there is seen by refreshes alone'
      : 'changes there cannot be captured'
    reasons.push(`reads ${query.uncaptured.join(', ')}: ${what}`)
  }
  return reasons
}

function timeReason(calls: readonly FunctionCall[]): string {
  if (calls.length === 0) return 'a view or a function that it uses asks the clock'
  return `calls ${calls.map(({ name, place }) => `${name} at ${place}`).join(', ')}`
}

function keyReason(key: readonly string[] | null, declared: boolean): string {
  if (key === null)
    return 'rows are paired whole: no key is declared and none follows from the query'
  return `rows are paired by ${key.join(', ')}: ${declared ? 'the declared key' : 'the query returns each once'}`
}

/** Types without an equality that rows could be joined by. */
const unkeyable =
  /^(json|xml|point|line|lseg|box|path|polygon|circle|txid_snapshot|pg_snapshot|jsonpath|aclitem)(\[\])*$/

function checkedKey(
  { declaration, query }: ViewToCompile,
  noun: 'key' | 'primary key',
  declared: readonly string[],
): readonly string[] {
  const known = query.columns.map(({ name }) => name)
  const key = [...new Set(declared)]
  for (const name of key) {
    const column = query.columns.find((each) => each.name === name)
    if (column === undefined) {
      const meant = nearest(name, known)
      throw keyInvalid(
        `The ${noun} of ${declaration.name} names ${name}, which is no column of its result`,
        `${meant === undefined ? '' : `Did you mean ${meant}? `}Its columns are ${known.join(', ')}.`,
      )
    }
    if (unkeyable.test(column.type)) {
      throw keyInvalid(
        `The ${noun} of ${declaration.name} names ${name}, and type ${column.type} has no equality to pair rows by`,
        'Name other columns, or leave the key out: whole rows are paired then.',
      )
    }
  }
  if (key.length === 0) {
    throw keyInvalid(
      `The ${noun} of ${declaration.name} names no column`,
      'Name the columns that identify a row, or leave the key out.',
    )
  }
  return key
}

function keyInvalid(what: string, mend: string): TidemarkError {
  return new TidemarkError({ code: 'TIDEMARK_CONFIG_INVALID', what, mend })
}

function noColumns({ declaration }: ViewToCompile): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_SQL_NOT_A_QUERY',
    what: `The query of ${declaration.name} returns no columns`,
    mend: 'Name at least one after SELECT.',
  })
}
