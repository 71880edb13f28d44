import type { SortBy } from 'libpg-query'
import { parseSync } from 'libpg-query'
import type { RelationName } from '../../model/ids.ts'
import type { IndexProposal, LookupTable } from '../../model/index-proposal.ts'
import { ownExpressions } from '../algebra/references.ts'
import { timeIn } from '../emit/cut.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import {
  asksForNull,
  columnIn,
  columnOf,
  columnsIn,
  equalSides,
  replacedDeep,
  sqlOf,
  substituted,
} from '../algebra/expression.ts'
import type { Output, Relation, Scan, ScanTarget } from '../algebra/relation.ts'
import { columnsOf, relationsIn } from '../algebra/relation.ts'
import { sqlName, sqlRelation } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'
import { treeText } from '../syntax/walk.ts'

/** Rows that a refresh looks up: any one of the choices makes it cheap. */
export interface Lookup {
  readonly use: string
  readonly choices: readonly LookupChoice[]
}

/** Columns or expressions of one table, each with what follows it in an index. */
interface LookupChoice {
  readonly table: RelationName
  readonly columns: readonly IndexedColumn[]
}

/** A column or an expression of an index, and what follows it. */
export interface IndexedColumn {
  readonly expression: Expression
  readonly direction: string
}

/** A {@link Lookup} in whatever is read. */
interface AnyLookup {
  readonly use: string
  readonly choices: readonly {
    readonly of: ScanTarget
    readonly columns: readonly IndexedColumn[]
  }[]
}

/** How the rows of a stage are found anew: by key where the input changed, only where they were lost, or not at all. */
export type Recomputing = 'always' | 'lost' | 'never'

/**
 * What a refresh looks up in the tables of a query: the partners of changed rows, the rows of a key at which something
 * changed, the first rows in an order. Everything else it reads from changes, or from what it stores.
 */
export const lookupsOf = (
  stages: readonly Stage[],
  recomputing: (stage: Stage) => Recomputing,
): readonly Lookup[] =>
  allLookups(stages, recomputing).map(({ use, choices }) => ({
    use,
    choices: choices.flatMap(({ of, columns }) =>
      of.kind === 'source' ? [{ table: of.name, columns }] : [],
    ),
  }))

/** What a refresh looks up in each stage, by its number: each time as the columns by which, or in whose order. */
export function lookupsInStages(
  stages: readonly Stage[],
  recomputing: (stage: Stage) => Recomputing,
): ReadonlyMap<number, readonly (readonly IndexedColumn[])[]> {
  const found = new Map<number, (readonly IndexedColumn[])[]>()
  for (const { of, columns } of allLookups(stages, recomputing).flatMap(({ choices }) => choices)) {
    if (of.kind !== 'stage') continue
    found.set(of.number, [...(found.get(of.number) ?? []), columns])
  }
  return found
}

function allLookups(
  stages: readonly Stage[],
  recomputing: (stage: Stage) => Recomputing,
): readonly AnyLookup[] {
  return stages.flatMap((stage) => {
    const definitions = definitionsIn(stage.core)
    const lookups = [...relationsIn(stage.core)].flatMap((relation) =>
      partnersOf(relation, definitions),
    )
    return [...lookups, ...keysOf(stage, definitions, recomputing(stage))]
  })
}

/** What a column is: one of a table, an expression over others, or one of several. */
type Definition =
  | { readonly kind: 'column'; readonly scan: Scan; readonly name: string }
  | { readonly kind: 'expression'; readonly expression: Expression }
  | { readonly kind: 'either'; readonly ids: readonly ColumnId[] }

type Definitions = ReadonlyMap<ColumnId, Definition>

const definitionsIn = (core: Relation): Definitions =>
  new Map([...relationsIn(core)].flatMap((relation) => definitionsOf(relation)))

function definitionsOf(relation: Relation): readonly (readonly [ColumnId, Definition])[] {
  switch (relation.kind) {
    case 'scan':
      return relation.columns.map(({ id, name }) => [id, { kind: 'column', scan: relation, name }])
    case 'project':
      return computed(relation.columns)
    case 'aggregate':
      return computed(relation.keys)
    case 'union':
      return eitherOf(relation.columns, relation.inputs)
    case 'set':
      return eitherOf(relation.columns, [relation.left, relation.right])
    default:
      return []
  }
}

const computed = (outputs: readonly Output[]): readonly (readonly [ColumnId, Definition])[] =>
  outputs
    .filter(({ id, expression }) => columnIn(expression) !== id)
    .map(({ id, expression }) => [id, { kind: 'expression', expression }])

const eitherOf = (
  columns: readonly ColumnId[],
  inputs: readonly Relation[],
): readonly (readonly [ColumnId, Definition])[] =>
  columns.map((id, at) => [
    id,
    { kind: 'either', ids: inputs.flatMap((input) => columnsOf(input)[at] ?? []) },
  ])

/** An expression over columns of one table. */
interface Traced {
  readonly scan: Scan
  /** With the names of the columns in it. */
  readonly expression: Expression
}

const tracedMax = 8

/**
 * What an expression is in terms of tables, in each branch of a UNION: null where it depends on several tables, or on
 * what no table has.
 */
function traced(expression: Expression, definitions: Definitions): readonly (Traced | null)[] {
  return expanded(expression, definitions).map((each) => {
    const found = [...columnsIn(each)].map((id) => definitions.get(id))
    const [first] = found
    if (first?.kind !== 'column' || first.scan.of.kind === 'view') return null
    const alone = found.every((one) => one?.kind === 'column' && one.scan === first.scan)
    return alone ? { scan: first.scan, expression: withNames(each, definitions) } : null
  })
}

const isTraced = (one: Traced | null): one is Traced => one !== null

/** An expression in all its forms over the columns of tables. */
function expanded(expression: Expression, definitions: Definitions): readonly Expression[] {
  for (const id of columnsIn(expression)) {
    const definition = definitions.get(id)
    if (definition === undefined || definition.kind === 'column') continue
    const instead =
      definition.kind === 'expression' ? [definition.expression] : definition.ids.map(columnOf)
    return instead
      .slice(0, tracedMax)
      .flatMap((one) => expanded(substituted(expression, new Map([[id, one]])), definitions))
      .slice(0, tracedMax)
  }
  return [expression]
}

const withNames = (expression: Expression, definitions: Definitions): Expression =>
  replacedDeep(expression, (node) => {
    const id = 'ColumnRef' in node ? columnIn(node) : null
    const definition = id === null ? undefined : definitions.get(id)
    return definition?.kind === 'column' ? columnOf(definition.name) : undefined
  })

/** The tables that an expression depends on. */
const tablesIn = (expression: Expression, definitions: Definitions): ReadonlySet<Scan> =>
  new Set(
    expanded(expression, definitions).flatMap((each) =>
      [...columnsIn(each)].flatMap((id) => {
        const definition = definitions.get(id)
        return definition?.kind === 'column' ? [definition.scan] : []
      }),
    ),
  )

/** One side of an equality of a join. */
interface Partner extends Traced {
  /** The tables on the other side. */
  readonly from: string
}

/** Where rows that meet the conditions of a join are looked up, from either side. */
function partnersOf(relation: Relation, definitions: Definitions): readonly AnyLookup[] {
  const joins = ['product', 'outer', 'match', 'mark']
  if (!joins.includes(relation.kind)) return []
  const partners = (ownExpressions(relation) as readonly Expression[]).flatMap((condition) =>
    equality(condition).flatMap(([side, other]) => partnersIn(side, other, definitions)),
  )
  // Conditions between the same two tables serve one lookup.
  const lookups = new Map<Scan, Map<string, Expression[]>>()
  for (const { scan, from, expression } of partners) {
    const known = lookups.get(scan) ?? new Map<string, Expression[]>()
    lookups.set(scan, known.set(from, [...(known.get(from) ?? []), expression]))
  }
  return [...lookups].flatMap(([scan, known]) =>
    [...known].map(([from, columns]) => ({
      use: `partners of changed rows of ${from}`,
      choices: choiceOf(scan, columns),
    })),
  )
}

function partnersIn(
  side: Expression,
  other: Expression,
  definitions: Definitions,
): readonly Partner[] {
  const others = tablesIn(other, definitions)
  const from = [...others].map((scan) => nameOf(scan)).join(', ')
  return traced(side, definitions)
    .filter(isTraced)
    .filter(({ scan }) => others.size > 0 && !others.has(scan))
    .map((one) => ({ ...one, from }))
}

const nameOf = ({ of }: Scan): string =>
  of.kind === 'stage' ? `stage ${String(of.number)}` : of.name

function choiceOf(scan: Scan, columns: readonly Expression[]): AnyLookup['choices'] {
  const once = new Map(columns.map((expression) => [treeText(expression), expression]))
  const list = [...once.values()].map((expression) => ({ expression, direction: '' }))
  return [{ of: scan.of, columns: list }]
}

/** Both ways to read `a = b`, also where NULLs are let through; nothing for any other condition. */
function equality(condition: Expression): readonly (readonly [Expression, Expression])[] {
  if ('BoolExpr' in condition && condition.BoolExpr.boolop === 'OR_EXPR') {
    const [first, ...rest] = condition.BoolExpr.args ?? []
    const nulls = rest.every(asksForNull)
    return first !== undefined && nulls ? equality(first) : []
  }
  return equalSides(condition)
}

const uses: Readonly<Record<string, string>> = {
  aggregate: 'rows of a group in which something changed',
  window: 'rows of a partition in which something changed',
  top: 'rows of a key at which something changed',
  set: 'rows that look like a changed one',
  partition: 'rows of a partition in which something changed',
}

function keysOf(
  stage: Stage,
  definitions: Definitions,
  recomputing: Recomputing,
): readonly AnyLookup[] {
  const { core } = stage
  if (core.kind === 'top' && core.per.length === 0) return firstRows(stage, core.order, definitions)
  if (recomputing === 'never' || stage.linear) return []
  const use =
    recomputing === 'lost'
      ? 'rows of a group that lost its smallest or greatest value'
      : (uses[core.kind] ?? 'rows of a key at which something changed')
  return keysToFind(stage).flatMap((key) => {
    const parts = key.map((part) => traced(part, definitions))
    const branches = Math.max(0, ...parts.map((part) => part.length))
    return Array.from({ length: branches }, (_, branch) => {
      const found = parts.map((part) => part[part.length === 1 ? 0 : branch] ?? null)
      return { use, choices: choicesOf(found.filter(isTraced)) }
    }).filter(({ choices }) => choices.length > 0)
  })
}

/** The keys by which rows of inputs are found; of one that is reckoned from a time, that time: ranges of it are looked up. */
function keysToFind(stage: Stage): readonly (readonly Expression[])[] {
  const { core } = stage
  if (core.kind !== 'partition') return inputKeys(stage).map(({ key }) => key)
  return core.cuts.map(({ key }) => {
    const time = timeIn(key)
    return [time === null ? key : columnOf(time)]
  })
}

/** Rows may be found by the columns of any one of the tables; the others are joined to it. */
function choicesOf(found: readonly Traced[]): AnyLookup['choices'] {
  const byScan = new Map<Scan, Expression[]>()
  for (const { scan, expression } of found) {
    byScan.set(scan, [...(byScan.get(scan) ?? []), expression])
  }
  return [...byScan].flatMap(([scan, columns]) => choiceOf(scan, columns))
}

/**
 * The order of a LIMIT, as far as it is one of a single table. A stage of first rows is read as a whole, and one that they
 * are the first of so seldom that its changes would pay for an index each time.
 */
function firstRows(
  { firstRows: kept }: Stage,
  order: readonly SortBy[],
  definitions: Definitions,
): readonly AnyLookup[] {
  const columns: { expression: Expression; direction: string }[] = []
  let of: Scan | undefined
  for (const item of order) {
    const [one, another] = item.node === undefined ? [] : traced(item.node, definitions)
    if (one == null || another !== undefined || (of ?? one.scan) !== one.scan) break
    of = one.scan
    columns.push({ expression: one.expression, direction: directionOf(item) })
  }
  const seldom = of?.of.kind === 'stage' && (kept !== undefined || of.of.firstRows === true)
  if (of === undefined || seldom) return []
  return [{ use: 'the first rows in the order of a LIMIT', choices: [{ of: of.of, columns }] }]
}

function directionOf({ sortby_dir, sortby_nulls }: SortBy): string {
  const down = sortby_dir === 'SORTBY_DESC' ? ' desc' : ''
  if (sortby_nulls === 'SORTBY_NULLS_FIRST' && down === '') return ' nulls first'
  return sortby_nulls === 'SORTBY_NULLS_LAST' && down !== '' ? ' desc nulls last' : down
}

/** Values of which there are fewer than this make an index that PostgreSQL would not use. */
const distinctMin = 20

/**
 * The indexes that are missing for what is looked up. None is proposed where one that begins with one of the columns
 * exists, nor on a column that is known to have few values.
 */
export function proposedIndexes(
  lookups: readonly Lookup[],
  tables: ReadonlyMap<RelationName, LookupTable>,
): readonly IndexProposal[] {
  const proposals = new Map<string, IndexProposal>()
  for (const { use, choices } of lookups) {
    if (choices.some((choice) => isServed(choice, tables.get(choice.table)))) continue
    const [best] = choices
      .map((choice) => ({ choice, distinct: distinctOf(choice, tables.get(choice.table)) }))
      .filter(({ distinct }) => distinct === null || distinct >= distinctMin)
      .sort((one, other) => (other.distinct ?? 0) - (one.distinct ?? 0))
    if (best === undefined) continue
    const proposal = proposalOf(best.choice, tables.get(best.choice.table))
    const found = proposals.get(proposal.sql)
    const known = found?.uses ?? []
    proposals.set(proposal.sql, {
      ...proposal,
      uses: known.includes(use) ? known : [...known, use],
    })
  }
  return withoutPrefixes([...proposals.values()])
}

/** What a longer index serves as well needs no index of its own. */
function withoutPrefixes(proposals: readonly IndexProposal[]): readonly IndexProposal[] {
  const covers = (long: IndexProposal, short: IndexProposal): boolean =>
    long !== short &&
    long.table === short.table &&
    long.columns.length > short.columns.length &&
    short.columns.every((column, at) => bare(column) === bare(long.columns[at] ?? ''))
  return proposals
    .filter((short) => !proposals.some((long) => covers(long, short)))
    .map((long) => ({
      ...long,
      uses: [
        ...new Set([
          ...long.uses,
          ...proposals.filter((short) => covers(long, short)).flatMap((short) => short.uses),
        ]),
      ],
    }))
}

const bare = (column: string): string => column.replace(/( desc)?( nulls (first|last))?$/, '')

function isServed({ columns }: LookupChoice, table: LookupTable | undefined): boolean {
  const indexed = new Set((table?.indexed ?? []).map((text) => parsedText(text)))
  return columns.some(({ expression }) => indexed.has(treeText(expression)))
}

/** An expression that the server printed, so that it can be compared. */
function parsedText(text: string): string {
  try {
    const statement = parseSync(`select ${text}`).stmts?.[0]?.stmt
    if (statement === undefined || !('SelectStmt' in statement)) return text
    const [target] = statement.SelectStmt.targetList ?? []
    return target !== undefined && 'ResTarget' in target ? treeText(target.ResTarget.val) : text
  } catch {
    return text
  }
}

/** How many different values the columns have together, at least; null when nothing is known. */
function distinctOf({ columns }: LookupChoice, table: LookupTable | undefined): number | null {
  const counts = columns.map(({ expression }) => {
    const name = columnIn(expression)
    return name === null ? undefined : table?.distinct.get(name)
  })
  const known = counts.filter((count) => count !== undefined)
  return known.length < counts.length || known.length === 0 ? null : Math.max(...known)
}

function proposalOf(
  { table, columns }: LookupChoice,
  facts: LookupTable | undefined,
): IndexProposal {
  const distinct = (expression: Expression): number => {
    const name = columnIn(expression)
    return name === null ? 0 : (facts?.distinct.get(name) ?? 0)
  }
  // The column with the most values first: it serves other lookups best. An order is kept as it is.
  const ordered = columns.some(({ direction }) => direction !== '')
    ? columns
    : columns.toSorted((one, other) => distinct(other.expression) - distinct(one.expression))
  const list = ordered.map(({ expression, direction }) => `${indexText(expression)}${direction}`)
  const concurrently = facts?.partitioned === true ? '' : ' concurrently'
  return {
    table,
    columns: list,
    sql: `create index${concurrently} on ${sqlRelation(table)} (${list.join(', ')})`,
    uses: [],
    rows: facts?.rows ?? null,
  }
}

/** An expression as CREATE INDEX takes it: in parentheses, unless it is a column or a call. */
function indexText(expression: Expression): string {
  const name = columnIn(expression)
  if (name !== null) return sqlName(name)
  const sql = sqlOf(expression)
  return 'FuncCall' in expression && /^[\w.]+\(/.test(sql) ? sql : `(${sql})`
}
