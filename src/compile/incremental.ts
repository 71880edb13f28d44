import type { SelectStmt } from 'libpg-query'
import type { SourceShape } from '../model/capture.ts'
import { logsPairs } from '../model/capture.ts'
import type { RelationName } from '../model/ids.ts'
import type { CanonicalQuery, ColumnType } from '../model/view.ts'
import type { BindFacts, ReadableTable } from './algebra/facts.ts'
import { NoRule } from './bind/scope.ts'
import { ownExpressions, rowTypesAmong } from './algebra/references.ts'
import type { Bound } from './bind/query.ts'
import { bindQuery } from './bind/query.ts'
import { asksClock, movingCalls, withOneClock } from './algebra/clock.ts'
import { isFloat } from './algebra/determine.ts'
import type { IncrementalProgram } from './emit/incremental.ts'
import { emitIncremental, inlineNames } from './emit/incremental.ts'
import type { ReadSource } from './emit/read-changes.ts'
import type { ReadView } from './emit/inputs.ts'
import type { TargetNames } from './emit/relation.ts'
import type { ColumnId, Expression } from './algebra/expression.ts'
import { columnIn, columnOf, columnsIn } from './algebra/expression.ts'
import { functionName } from './syntax/functions.ts'
import type { Recomputing } from './propose/indexes.ts'
import { lookupsInStages } from './propose/indexes.ts'
import { scalesOf } from './algebra/numeric-scale.ts'
import { isNotNull, notNullIn } from './algebra/nullability.ts'
import { withReadColumns } from './algebra/read-columns.ts'
import { reduced } from './algebra/reduce.ts'
import { firstByte, parseQuery } from './syntax/parse.ts'
import type { Output, Relation } from './algebra/relation.ts'
import { columnsOf, inputsOf, relationsIn, scansIn } from './algebra/relation.ts'
import { sqlName } from './syntax/sql-text.ts'
import { stageIndexes, throughKey } from './propose/stage-indexes.ts'
import type { IncrementalDraft, IncrementalWish, Obstacle } from './emit/draft.ts'
import { storedStage } from './emit/store-stage.ts'
import type { StoredColumn, StoredStage } from './emit/stored-stage.ts'
import type { Stage } from './algebra/stages.ts'
import { stagesOf, withKeyOf } from './algebra/stages.ts'
import { nodesOf, treeText } from './syntax/walk.ts'
import type { Spot } from './syntax/written-place.ts'
import { probesOf } from './emit/type-probes.ts'

/**
 * Binds a query and cuts it into stages.
 * Obstacles that concern the query altogether come alone: then there is nothing to finish.
 */
export async function draftIncremental(
  given: IncrementalWish,
): Promise<IncrementalDraft | readonly Obstacle[]> {
  const refusals = refusalsOf(given)
  if (refusals.length > 0) return refusals
  const found = await boundWish(given)
  if (!('bound' in found)) return found
  const { wish, facts, bound, select } = found
  const { fresh } = bound.binding
  const relation = reduced(bound.relation, { facts, fresh })
  const stages = withReadColumns(stagesOf({ relation }, facts))
  const selects = [select, ...[...facts.views.values()].map((view) => view.select)]
  // As it is written: a clock that nobody reads is in no stage.
  if (wish.query.timeDependent && !selects.some((each) => asksClock(withOneClock(each))))
    return [{ reason: 'it asks the clock in a way that was not understood' }]
  if (!stages.some(({ core }) => scansIn(core).length > 0)) return [{ reason: 'it reads no table' }]
  const context = { facts, names: probingNames(wish, facts, stages) }
  const obstacles = stages.flatMap(({ core }) =>
    [...relationsIn(core)].flatMap((each) => obstaclesOf(each, selects)),
  )
  return {
    wish,
    facts,
    relation: bound.relation,
    stages,
    names: bound.names,
    obstacles,
    probes: stages.flatMap((stage) => probesOf(context, stage)),
    strategy: 'incremental',
    judgeTypes: () => [],
  }
}

/** A wish with its query bound, and the columns of tables that it reads, others left out. */
export interface BoundWish {
  readonly wish: IncrementalWish
  readonly facts: BindFacts
  readonly bound: Bound
  /** The query as the server printed it. */
  readonly select: SelectStmt
}

/** Binds the query of a wish, which also reads `more` of the columns of its sources; obstacles when it cannot be bound. */
export async function boundWish(
  given: IncrementalWish,
  more: ReadonlyMap<string, ReadonlySet<string>> = new Map(),
): Promise<BoundWish | readonly Obstacle[]> {
  const { select } = await parseQuery(given.query.sql)
  const whole = boundOrNot(select, await factsOf(given, null))
  if (whole instanceof NoRule) {
    return [{ reason: whole.message, at: [{ kind: 'place', select, byte: whole.byte }] }]
  }
  // A second time with the columns alone that the first one used: what nobody reads need not be captured.
  const used = new Map(
    [...usedColumns(whole.relation)].map(([name, columns]) => [
      name,
      new Set([...columns, ...(more.get(name) ?? [])]),
    ]),
  )
  const wish = withUsedColumns(given, used)
  const facts = await factsOf(given, used)
  return { wish, facts, select, bound: bindQuery(select, facts) }
}

/** How the SELECTs that types are asked of call what a query reads. */
export const probingNames = (
  wish: IncrementalWish,
  facts: BindFacts,
  stages: readonly Stage[],
): TargetNames =>
  inlineNames({ facts, typeOf: () => unknownType }, stages, (target) =>
    target.kind === 'source' || target.kind === 'member'
      ? // A member has the columns of its root.
        rowsText(wish.query, target.name)
      : emptyRows([...(wish.inputs ?? []), ...wish.query.copied], target.name),
  )

/** What keeps a part of a query, which is made of these SELECTs, from being cheaper than the whole. */
function obstaclesOf(relation: Relation, selects: readonly SelectStmt[]): readonly Obstacle[] {
  if (relation.kind === 'whole') {
    if (relation.refused === null) return []
    const { reason, ...place } = relation.refused
    return [{ reason, at: [{ kind: 'place', ...place }] }]
  }
  const calls = relation.kind === 'moving' ? movingCalls(relation.mark.expression) : []
  if (calls.length === 0) return []
  return [
    {
      reason: 'a value is reckoned from now(), so that every row changes as time passes',
      at: selects.flatMap((select) => spotsIn(select, calls)),
    },
  ]
}

/** Where calls stand in a SELECT. */
const spotsIn = (select: SelectStmt, calls: readonly Expression[]): readonly Spot[] =>
  nodesOf(select).flatMap(({ kind, node }): readonly Spot[] => {
    const { location } = node
    return typeof location === 'number' &&
      calls.some((call) => kind in call && firstByte(call) === location)
      ? [{ kind: 'place', select, byte: location }]
      : []
  })

function withUsedColumns(
  wish: IncrementalWish,
  used: ReadonlyMap<string, ReadonlySet<string>>,
): IncrementalWish {
  const sources = wish.query.sources.map((source) => ({
    ...source,
    columns: source.columns.filter((name) => used.get(source.relation)?.has(name)),
  }))
  return { ...wish, query: { ...wish.query, sources } }
}

/** The columns of each table that something depends on. */
function usedColumns(relation: Relation): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = new Set<string>(columnsOf(relation))
  const all = [...relationsIn(relation)]
  for (const each of all) {
    for (const id of columnsIn(ownExpressions(each))) ids.add(id)
    const whole = each.kind === 'union' || each.kind === 'set' || each.kind === 'whole'
    if (whole) inputsOf(each).forEach((input) => columnsOf(input).forEach((id) => ids.add(id)))
  }
  const used = new Map<string, Set<string>>()
  for (const each of all) {
    if (each.kind !== 'scan' || each.of.kind === 'stage') continue
    const names = used.get(each.of.name) ?? new Set<string>()
    for (const { id, name } of each.columns) if (ids.has(id)) names.add(name)
    used.set(each.of.name, names)
  }
  return used
}

/** Some queries cannot be computed even as a whole: they read what is not captured. */
function boundOrNot(...query: Parameters<typeof bindQuery>): Bound | NoRule {
  try {
    return bindQuery(...query)
  } catch (error) {
    if (error instanceof NoRule) return error
    throw error
  }
}

/** What is taken where nothing is known: nothing is promised. */
const unknownType: ColumnType = {
  type: 'text',
  collation: null,
  imageEqual: true,
  hashable: true,
  float: false,
  equality: null,
}

/** The rows of a table with the columns that the query reads, as they are called now. */
function rowsText(query: CanonicalQuery, name: RelationName): string {
  const columns = query.sources.find(({ relation }) => relation === name)?.columns ?? []
  const dot = name.indexOf('.')
  const list = columns.map((column) => sqlName(column)).join(', ')
  return `(select ${list} from ${sqlName(name.slice(0, dot))}.${sqlName(name.slice(dot + 1))})`
}

/** Rows of a view that may not exist yet, not be filled, or have other columns: none, of the right types. */
function emptyRows(views: readonly ReadView[], name: RelationName): string {
  const columns = views.find((view) => view.name === name)?.columns ?? []
  const list = columns.map((column) => {
    const collate = column.collation === undefined ? '' : ` collate ${column.collation}`
    return `null::${column.type}${collate} as ${sqlName(column.name)}`
  })
  return `(select ${list.join(', ')})`
}

/** Functions that are volatile wherever they are called. */
const volatileFunctions = [
  'random', 'gen_random_uuid', 'clock_timestamp', 'timeofday', 'nextval', 'currval', 'setseed', 'random_normal',
] // prettier-ignore

/** Why a query cannot be kept up from what changes, whatever is in it. */
export function refusalsOf(wish: IncrementalWish): readonly Obstacle[] {
  const { query, shapes, inputs = [] } = wish
  const { volatile, opaqueFunctions, uncaptured, copied, sources } = query
  const unseen = uncaptured.filter((name) => !copied.some((each) => each.name === name))
  const about = (
    kind: 'function' | 'relation' | 'column',
    names: readonly string[],
    reason: string,
  ): Obstacle => ({ reason, at: names.map((name) => ({ kind, name })) })
  const silent = query.inputs.filter((name) => !inputs.some((input) => input.name === name))
  return [
    ...(volatile ? [about('function', volatileFunctions, 'it calls a volatile function')] : []),
    ...opaqueFunctions.map((name) =>
      about('function', [name], `it calls ${name}, and what a function reads cannot be told`),
    ),
    ...unseen.map((name) =>
      about('relation', [name], `it reads ${name}, which cannot be captured`),
    ),
    ...silent.map((name) =>
      about(
        'relation',
        [name],
        `it reads ${name}, which is computed in full and does not tell what changes`,
      ),
    ),
    ...sources.flatMap(({ relation, columns }) =>
      columns
        .filter((name) => isComputedOnReading(shapes.get(relation), name))
        .map((name) =>
          about(
            'column',
            [name],
            `it reads ${relation}.${name}, computed on reading and in no trigger's row`,
          ),
        ),
    ),
  ]
}

const isComputedOnReading = (shape: SourceShape | undefined, name: string): boolean =>
  shape?.columns.some((column) => column.name === name && column.generatedVirtual) ?? false

async function factsOf(
  { query, shapes, inputs = [] }: IncrementalWish,
  used: ReadonlyMap<string, ReadonlySet<string>> | null,
): Promise<BindFacts> {
  const tables = new Map<string, ReadableTable>()
  for (const { name, columns } of inputs) {
    tables.set(name, {
      target: { kind: 'view', name },
      columns: columns.map(({ name: column, type }) => ({ name: column, notNull: false, type })),
      allColumns: columns.map((column) => column.name),
      used: null,
      keys: [],
    })
  }
  for (const { name, columns, allColumns } of query.copied) {
    tables.set(name, {
      target: { kind: 'copied', name },
      columns: columns.map(({ name: column, type }) => ({ name: column, notNull: false, type })),
      allColumns,
      used: null,
      keys: [],
    })
  }
  for (const { relation, columns } of query.sources) {
    const shape = shapes.get(relation)
    tables.set(relation, {
      target: { kind: 'source', name: relation },
      columns: columns.map((name) => {
        const column = shape?.columns.find((each) => each.name === name)
        return { name, notNull: column?.notNull ?? false, type: column?.baseType ?? 'text' }
      }),
      allColumns: shape?.columns.map(({ name }) => name) ?? columns,
      used: used === null ? null : (used.get(relation) ?? new Set()),
      keys: query.uniques
        .filter((unique) => unique.relation === relation)
        .map((unique) => unique.columns),
    })
  }
  for (const { name, root, allColumns } of query.parts) {
    const table = tables.get(root)
    if (table === undefined) continue
    const target = { kind: 'member', name: root, member: name, only: false } as const
    tables.set(name, { ...table, target, allColumns, keys: [] })
  }
  const views = new Map<
    string,
    { columns: readonly string[]; select: Awaited<ReturnType<typeof parseQuery>>['select'] }
  >()
  for (const { name, sql, columns } of query.views) {
    views.set(name, { columns, select: (await parseQuery(sql)).select })
  }
  return {
    tables,
    views,
    aggregates: new Set(query.aggregates),
    setReturning: new Set(query.setReturning),
  }
}

/** The stages of a draft with the tables that hold them. */
export function storedStages(
  given: IncrementalDraft,
  types: readonly (readonly ColumnType[])[],
): readonly StoredStage[] {
  const typeOf = typesByText(given, types)
  const stages = given.stages.map((stage) => withKeyOf(stage, (part) => typeOf(part).hashable))
  const draft = { ...given, stages }
  const scanned = new Set(
    stages.flatMap(({ core }) =>
      scansIn(core).map(({ of }) => (of.kind === 'stage' ? of.number : 0)),
    ),
  )
  const stored = stages.map((stage) => storedStage(draft, stage, { typeOf, scanned }))
  const recomputing = ({ number }: Stage): Recomputing =>
    recomputingOf(stored.find(({ stage }) => stage.number === number))
  const lookups = lookupsInStages(stages, recomputing)
  return stored.map((each) => {
    const columns = [...each.outputs, ...each.hiddenKey]
    const { lookups: all, byKey } = throughKey(
      lookups.get(each.stage.number) ?? [],
      keyColumnsOf(each, draft),
    )
    const named = columns.map(({ name }) => ({ id: name, expression: columnOf(name) }))
    const columnTypes = columns.map(({ type }) => type)
    return {
      ...each,
      indexes: stageIndexes(all, { outputs: named }, columnTypes),
      foundByKey: byKey,
    }
  })
}

/** The columns of a stage that have its key, where none of them is ever NULL. */
function keyColumnsOf(
  { stage, outputs, hiddenKey, keyNames }: Omit<StoredStage, 'indexes' | 'foundByKey'>,
  { facts }: IncrementalDraft,
): readonly StoredColumn[] {
  const notNull = notNullIn(stage.core, facts)
  const known = stage.key.every(({ expression }) => isNotNull(expression, notNull))
  const columns = [...outputs, ...hiddenKey].filter(({ name }) => keyNames.includes(name))
  return known ? columns : []
}

/** Groups that are kept by weight are computed afresh where an extremum went; that a value cannot be added up is rare. */
export function recomputingOf(stored: Pick<StoredStage, 'groups'> | undefined): Recomputing {
  const plan = stored?.groups?.plan
  if (plan === undefined) return 'always'
  return plan.accumulators.some(({ gone }) => gone !== null) ? 'lost' : 'never'
}

/** Writes the program of a draft whose types are known; obstacles when a type forbids it. */
export function finishIncremental(
  draft: IncrementalDraft,
  types: readonly (readonly ColumnType[])[],
): IncrementalProgram | readonly Obstacle[] {
  const { wish, facts, stages, strategy } = draft
  const isUntyped = draft.probes.some(
    ({ expressions }, at) => expressions.length > 0 && types[at]?.length === 0,
  )
  if (isUntyped) return [{ reason: 'a part of it is of type record, which no table can hold' }]
  const typeOf = typesByText(draft, types)
  const obstacles = [
    ...stages.flatMap((stage) => (stage.core.kind === 'apply' ? [] : keyObstacles(stage, typeOf))),
    ...draft.judgeTypes(typeOf),
  ]
  if (obstacles.length > 0) return obstacles
  const stored = storedStages(draft, types)
  const sources = wish.query.sources.map(({ relation, columns }): ReadSource => ({
    name: relation,
    pairs: isLoggedInPairs(wish.shapes.get(relation)),
    columns: columns.map((name) => ({
      name,
      logType: logTypeOf(wish.shapes.get(relation), name),
    })),
  }))
  const program = emitIncremental({
    view: wish.view,
    strategy,
    sources,
    inputs: wish.inputs ?? [],
    copied: wish.query.copied,
    publishes: wish.publishes ?? false,
    stages: stored,
    facts,
    typeOf,
    timeZone: wish.timeZone,
    columns: wish.query.columns,
    key: wish.key,
  })
  const named = [
    ...wish.query.sources.map(({ relation }) => relation),
    ...wish.query.views.map(({ name }) => name),
  ]
  return { ...program, sources: wish.query.sources, rowTypes: rowTypesAmong(named, draft.relation) }
}

const isLoggedInPairs = (shape: SourceShape | undefined): boolean =>
  shape !== undefined && logsPairs(shape)

/** The type of a column in a change log; the log itself compares nothing and has no collations. */
function logTypeOf(shape: SourceShape | undefined, name: string): string {
  const column = shape?.columns.find((each) => each.name === name)
  if (column === undefined) return 'text'
  const { baseType, collation } = column
  return collation === null ? baseType : `${baseType} collate ${collation}`
}

function typesByText(
  { probes, stages, wish }: IncrementalDraft,
  types: readonly (readonly ColumnType[])[],
): (expression: Expression) => ColumnType {
  const known = new Map<string, ColumnType>()
  probes.forEach(({ expressions }, probe) => {
    expressions.forEach((expression, at) => {
      const type = types[probe]?.[at]
      if (type !== undefined) known.set(treeText(expression), type)
    })
  })
  for (const { outputs } of stages) {
    for (const { id, expression } of outputs) {
      const type = known.get(treeText(expression))
      if (type !== undefined) known.set(treeText(columnOf(id)), type)
    }
  }
  const typeOf = (expression: Expression): ColumnType =>
    known.get(treeText(expression)) ?? { ...unknownType, imageEqual: false, float: true }
  const definitions = definitionsIn(stages)
  const approximate = wish.floatSums === 'approximate'
  return (expression) => {
    const type = typeOf(expression)
    if (approximate && isFloat(type)) return { ...type, addsUp: true }
    if (type.imageEqual || type.type !== 'numeric') return type
    const defined = { typeOf, definitions }
    const scale = oneScale(expression, defined)
    if (scale !== null) return { ...type, imageEqual: true, scale }
    return { ...type, imageEqual: isFixedPart(expression, defined) }
  }
}

/** What columns are computed from, through projections. */
function definitionsIn(stages: readonly Stage[]): ReadonlyMap<ColumnId, Expression> {
  const definitions = new Map<ColumnId, Expression>()
  const note = ({ id, expression }: Output): unknown => definitions.set(id, expression)
  for (const { core, outputs } of stages) {
    outputs.forEach(note)
    for (const each of relationsIn(core)) {
      if (each.kind === 'project') each.columns.forEach(note)
      if (each.kind === 'aggregate') [...each.keys, ...each.calls].forEach(note)
    }
  }
  return definitions
}

interface Known {
  readonly typeOf: (expression: Expression) => ColumnType
  readonly definitions: ReadonlyMap<ColumnId, Expression>
}

/** Parts of a date that extract() gives with always as many decimal places. */
const fixedParts =
  /^(century|day|decade|dow|doy|epoch|hour|isodow|isoyear|microseconds|millennium|milliseconds|minute|month|quarter|second|week|year)$/

/** How many decimal places every value of an expression of type numeric has; null where they differ or are not known. */
function oneScale(expression: Expression, known: Known): number | null {
  const [scale, another] = scalesOf(expression, known.typeOf) ?? []
  if (scale !== undefined && another === undefined) return scale
  const defined = definitionOf(expression, known)
  if (defined !== null) return oneScale(defined, known)
  if (!('FuncCall' in expression)) return null
  // A sum, least or greatest of values with so many places has as many itself.
  const name = functionName(expression.FuncCall).replace(/^pg_catalog\./, '')
  const { args: [first, more] = [], over } = expression.FuncCall
  if (first === undefined || more !== undefined || over !== undefined) return null
  return ['sum', 'min', 'max'].includes(name) ? oneScale(first, known) : null
}

/** Whether an expression is a part of a date that has always as many decimal places. */
function isFixedPart(expression: Expression, known: Known): boolean {
  const defined = definitionOf(expression, known)
  if (defined !== null) return isFixedPart(defined, known)
  if (!('FuncCall' in expression)) return false
  const name = functionName(expression.FuncCall).replace(/^pg_catalog\./, '')
  const { args: [first, another] = [], over } = expression.FuncCall
  if (first === undefined || over !== undefined) return false
  if (name === 'extract') {
    return 'A_Const' in first && fixedParts.test((first.A_Const.sval?.sval ?? '').toLowerCase())
  }
  return another === undefined && /^(sum|min|max)$/.test(name) && isFixedPart(first, known)
}

/** What a column is computed from; null of any other expression, and of a column of a table. */
function definitionOf(expression: Expression, { definitions }: Known): Expression | null {
  const id = columnIn(expression)
  const definition = id === null ? undefined : definitions.get(id)
  return definition === undefined || columnIn(definition) === id ? null : definition
}

function keyObstacles(
  { key }: Stage,
  typeOf: (expression: Expression) => ColumnType,
): readonly Obstacle[] {
  return key.flatMap(({ expression }) => {
    const { type, hashable } = typeOf(expression)
    return hashable ? [] : [{ reason: `rows are grouped by type ${type}, which has no hash` }]
  })
}
