import type { JoinExpr, Node, RangeSubselect, RangeVar, SelectStmt } from 'libpg-query'
import { must } from '../base/assert.ts'
import { relationName } from '../model/ids.ts'
import type {
  Operand,
  QueryParameter,
  ReadColumn,
  ReadRelation,
  SourceRead,
  UnderstoodQuery,
} from '../model/query-reads.ts'
import { impliedNames, stringOf } from './syntax/implied-names.ts'
import { parseSelect } from './syntax/parse.ts'
import type { Conjunct, Ctes, Item, Level, NamedColumn, Restriction } from './query-restrictions.ts'
import { conjunctsOf, namedColumn, settleFacts } from './query-restrictions.ts'
import { isFields, nodesOf, treeText } from './syntax/walk.ts'

/*
 * Which rows a query reads.
 *
 * Law: the result of the query is the same when each table that it names is cut down, at that place, to the rows of a read with
 * its name. So a transaction that changes none of these rows, before or after, does not change the result.
 *
 * Why. A condition `t.c = v` that every row of the result of FROM and WHERE has to meet is met by no row that holds a row of t with
 * another c: cutting t down takes only rows away that are refused anyway, and what an outer join puts in their place has a
 * null for t.c and is refused too. Of an ON condition the same is true beneath its join: for all that is joined, where the join is inner,
 * and for the side that may be missing, where it is outer. Once t is cut down, a condition `s.d = t.c` says the same of s: one
 * step after the other, each over tables that were cut down before. A condition on a column of a subquery, an ordinary view or WITH is one
 * on the column that it is made of, where nothing within lies between that looks at rows of several values together: LIMIT, windows,
 * DISTINCT ON, groups by something else. A subquery in an expression is computed for rows of what is around it, which has been
 * cut down by then. What is not understood cuts nothing down.
 */

/** Queries that are looked into, each as often as it is named; with more, nothing is cut down. */
const levelsMax = 1_000

/** What is asked of the columns of a result, by their places. */
type Pushed = ReadonlyMap<number, readonly Operand[]>

const nothing: Pushed = new Map()

interface Walk {
  readonly relations: UnderstoodQuery['relations']
  readonly parameters: readonly QueryParameter[]
  readonly views: ReadonlyMap<string, SelectStmt>
  readonly reads: SourceRead[]
  levels: number
  /** Something was met that may read tables in a way that is not understood. */
  lost: boolean
}

/** Where an expression stands. */
interface Place {
  /** What its names may mean. */
  readonly level: Level | null
  readonly ctes: Ctes
}

/** The rows that a query reads, place by place; of every table that it reads there is at least one. */
export async function queryReads(query: UnderstoodQuery): Promise<readonly SourceRead[]> {
  const { sql, relations, parameters } = query
  const views = new Map<string, SelectStmt>()
  for (const { name, definition } of relations.values()) {
    if (definition !== null) views.set(name, await parseSelect(definition))
  }
  const walk: Walk = { relations, parameters, views, reads: [], levels: 0, lost: false }
  readSelect(walk, await parseSelect(sql), { level: null, ctes: new Map() }, nothing)
  const tables = [...relations.values()].filter(({ definition }) => definition === null)
  const missed = tables.filter(
    (table) => walk.lost || !walk.reads.some(({ source }) => source === table.source),
  )
  const whole = missed.map(({ source }): SourceRead => ({ source, equals: new Map() }))
  return walk.lost ? whole : [...walk.reads, ...whole]
}

function readSelect(walk: Walk, select: SelectStmt, outer: Place, asked: Pushed): void {
  walk.levels += 1
  if (walk.levels > levelsMax) {
    walk.lost = true
    return
  }
  const place = { level: outer.level, ctes: withCtes(select, outer.ctes) }
  const pushed = isPassable(select) ? asked : nothing
  const { larg, rarg, withClause: _, fromClause = [], ...expressions } = select
  if (larg === undefined || rarg === undefined) {
    const level = readLevel(walk, select, place, pushed)
    readExpressions(walk, [expressions, conditionsOfJoins(fromClause)], { ...place, level })
    return
  }
  readSelect(walk, larg, place, pushed)
  readSelect(walk, rarg, place, pushed)
  readExpressions(walk, expressions, place)
}

/** Whether a condition on the result may be asked of the rows that it is made of. */
function isPassable({ limitCount, limitOffset, distinctClause, ...select }: SelectStmt): boolean {
  if (limitCount !== undefined || limitOffset !== undefined) return false
  if (distinctClause?.some((item) => Object.keys(item).length > 0) === true) return false
  const parts = [...nodesOf([select.targetList, select.groupClause, select.sortClause])]
  return !parts.some(
    ({ kind, node }) => kind === 'GroupingSet' || (kind === 'FuncCall' && 'over' in node),
  )
}

function withCtes({ withClause }: SelectStmt, outer: Ctes): Ctes {
  if (withClause === undefined) return outer
  const ctes = new Map(outer)
  for (const node of withClause.ctes ?? []) {
    if (!('CommonTableExpr' in node)) continue
    const { ctename = '', ctequery } = node.CommonTableExpr
    if (ctequery === undefined || !('SelectStmt' in ctequery)) continue
    const recursive = withClause.recursive === true
    ctes.set(ctename, { select: ctequery.SelectStmt, recursive, ctes: new Map(ctes) })
  }
  return ctes
}

function readLevel(walk: Walk, select: SelectStmt, place: Place, pushed: Pushed): Level {
  const conjuncts: Conjunct[] = []
  const from = { ctes: place.ctes, conjuncts }
  const items = (select.fromClause ?? []).flatMap((node) => itemsOf(walk, node, from))
  const level: Level = { items, outer: place.level }
  conjuncts.push(...conjunctsOf(select.whereClause, items))
  const demanded = [...pushed].flatMap(([at, operands]): Restriction[] => {
    const column = outputColumn(select, at, level)
    if (column === null || !items.includes(column.item)) return []
    // A null may be one that an outer join has put there.
    const isNull = operands.some(
      ({ kind, ...of }) => kind === 'constant' && 'text' in of && of.text === null,
    )
    return isNull && column.item.nullable ? [] : [{ ...column, operands }]
  })
  settleFacts(level, conjuncts, demanded)
  for (const item of items) readItem(walk, item, { ...place, level })
  return level
}

/** The column that an output is, if it is one, and all rows of a group have it alike. */
function outputColumn(
  { targetList = [], groupClause }: SelectStmt,
  at: number,
  level: Level,
): NamedColumn | null {
  const target = targetList[at]
  const val = target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined
  if (val === undefined) return null
  const isGrouped =
    groupClause === undefined || groupClause.some((node) => treeText(node) === treeText(val))
  return isGrouped ? namedColumn(val, level) : null
}

interface FromPlace {
  readonly ctes: Ctes
  /** Gets the conditions of joins. */
  readonly conjuncts: Conjunct[]
}

/** What stands in FROM, leaf by leaf. */
function itemsOf(walk: Walk, node: Node, place: FromPlace): Item[] {
  if ('JoinExpr' in node) return joinedItems(walk, node.JoinExpr, place)
  if ('RangeVar' in node) return [tableItem(walk, node.RangeVar, place.ctes)]
  if ('RangeSubselect' in node) return [subqueryItem(node.RangeSubselect, place.ctes)]
  return [{ ...unknownItem(''), kind: 'other', node }]
}

const unknownItem = (alias: string): Pick<Item, 'alias' | 'columns' | 'facts' | 'nullable'> => ({
  alias,
  columns: null,
  facts: new Map(),
  nullable: false,
})

function joinedItems(walk: Walk, join: JoinExpr, place: FromPlace): Item[] {
  const { larg, rarg, jointype, alias } = join
  const left = larg === undefined ? [] : itemsOf(walk, larg, place)
  const right = rarg === undefined ? [] : itemsOf(walk, rarg, place)
  const both = [...left, ...right]
  const lacking =
    jointype === 'JOIN_LEFT'
      ? right
      : jointype === 'JOIN_RIGHT'
        ? left
        : jointype === 'JOIN_FULL'
          ? both
          : []
  for (const item of lacking) item.nullable = true
  // A full join keeps what meets its condition nowhere, of either side.
  const cut = jointype === 'JOIN_INNER' ? both : jointype === 'JOIN_FULL' ? [] : lacking
  place.conjuncts.push(...joinConjuncts(join, { left, right, cut }))
  // Behind a name of the join its columns have other names.
  for (const item of alias === undefined ? [] : both) item.alias = ''
  return both
}

interface Sides {
  readonly left: readonly Item[]
  readonly right: readonly Item[]
  /** What the condition of the join cuts down. */
  readonly cut: readonly Item[]
}

function joinConjuncts(join: JoinExpr, { left, right, cut }: Sides): readonly Conjunct[] {
  const { quals, usingClause = [] } = join
  const equalities = usingClause.flatMap((node): Conjunct[] => {
    const name = stringOf(node) ?? ''
    const one = columnAmong(left, name)
    const another = columnAmong(right, name)
    return one === null || another === null ? [] : [{ equal: [one, another], cut: new Set(cut) }]
  })
  return [...conjunctsOf(quals, cut), ...equalities]
}

/** The one column of this name; null when it is not certain which that is. */
function columnAmong(items: readonly Item[], name: string): NamedColumn | null {
  const [item, another] = items.filter(({ columns }) => columns?.has(name) ?? true)
  const column = item?.columns?.get(name)
  if (item === undefined || another !== undefined || column === undefined) return null
  return { item, column: column.name, family: column.family }
}

function tableItem(walk: Walk, table: RangeVar, ctes: Ctes): Item {
  const { schemaname, relname = '', alias } = table
  const item = unknownItem(alias?.aliasname ?? relname)
  const isRenamed = alias?.colnames !== undefined
  const cte = schemaname === undefined ? ctes.get(relname) : undefined
  // The recursive query as it is seen from within.
  if (cte === null) return { ...item, kind: 'other', node: null }
  if (cte !== undefined) {
    const { select, recursive } = cte
    const within = recursive ? new Map([...cte.ctes, [relname, null]]) : cte.ctes
    return { ...item, kind: 'query', select, ctes: within, passable: !recursive && !isRenamed }
  }
  const name = relationName(schemaname ?? 'pg_catalog', relname)
  const relation = walk.relations.get(name)
  if (relation === undefined) {
    walk.lost = true
    return { ...item, kind: 'other', node: null }
  }
  const columns = columnsHere(relation, alias?.colnames ?? [])
  const select = walk.views.get(name)
  return select === undefined
    ? { ...item, kind: 'table', columns, source: relation.source }
    : { ...item, kind: 'query', columns, select, ctes: new Map(), passable: true }
}

/** The columns of a relation by the names that they have here. */
const columnsHere = (
  { columns }: ReadRelation,
  renamed: readonly Node[],
): ReadonlyMap<string, ReadColumn> =>
  new Map(columns.map((column, at) => [stringOf(renamed[at]) ?? column.name, column]))

function subqueryItem({ subquery, alias }: RangeSubselect, ctes: Ctes): Item {
  const node = must(subquery, 'a subquery in FROM has a query')
  const item = unknownItem(alias?.aliasname ?? '')
  if (!('SelectStmt' in node)) return { ...item, kind: 'other', node }
  const passable = alias?.colnames === undefined
  return { ...item, kind: 'query', select: node.SelectStmt, ctes, passable }
}

function readItem(walk: Walk, item: Item, place: Place): void {
  switch (item.kind) {
    case 'table':
      walk.reads.push({ source: item.source, equals: comparable(walk, item) })
      return
    case 'query': {
      const names = impliedNames(item.select)
      const pushed = [...item.facts].map(
        ([name, operands]) => [names.indexOf(name), operands] as const,
      )
      // The query of a view is a text of its own, and its names mean nothing here.
      const level = item.columns === null ? place.level : null
      const asked = item.passable ? new Map(pushed) : nothing
      readSelect(walk, item.select, { level, ctes: item.ctes }, asked)
      return
    }
    case 'other':
      readExpressions(walk, item.node, place)
  }
}

/** What is known of a table's columns by values of their own family. */
function comparable(walk: Walk, { columns, facts }: Item): SourceRead['equals'] {
  const families = new Map([...(columns?.values() ?? [])].map(({ name, family }) => [name, family]))
  const familyOf = (operand: Operand): string | null => {
    if (operand.kind === 'constant') return operand.family
    const parameter = walk.parameters[operand.number - 1]
    return (operand.kind === 'parameter' ? parameter?.family : parameter?.elementFamily) ?? null
  }
  return new Map(
    [...facts].filter(([column, operands]) => {
      const family = families.get(column) ?? null
      return family !== null && operands.every((operand) => familyOf(operand) === family)
    }),
  )
}

/** Subqueries in expressions, and whatever else may read tables there. */
function readExpressions(walk: Walk, tree: unknown, place: Place): void {
  if (Array.isArray(tree)) for (const part of tree) readExpressions(walk, part, place)
  if (!isFields(tree)) return
  for (const [kind, value] of Object.entries(tree)) {
    if (kind === 'SelectStmt') readSelect(walk, value as SelectStmt, place, nothing)
    else if (kind === 'RangeVar') walk.lost = true
    else readExpressions(walk, value, place)
  }
}

/** What joins are made by. */
const conditionsOfJoins = (from: readonly Node[]): readonly unknown[] =>
  from.flatMap((node) => {
    if (!('JoinExpr' in node)) return []
    const { larg, rarg, quals } = node.JoinExpr
    return [quals, ...conditionsOfJoins([larg, rarg].filter((side) => side !== undefined))]
  })
