import type { CommonTableExpr, Node, SelectStmt, SortBy } from 'libpg-query'
import { must } from '../../base/assert.ts'
import { impliedName, stringOf } from '../syntax/implied-names.ts'
import { bindAggregates } from './aggregate.ts'
import { withClocks } from './clock.ts'
import { bindFrom } from './from.ts'
import { numberedTop } from './limit.ts'
import { withOperators } from './operators.ts'
import { bindRecursive, isRecursive } from './recursive.ts'
import type { Binding, BoundQuery, Scope } from './scope.ts'
import type { BindFacts } from '../algebra/facts.ts'
import { NoRule, innerScope, newBinding, resolved, wholeRowsIn } from './scope.ts'
import { freeIn, ownExpressions } from '../algebra/references.ts'
import { joinSubqueries, whereOf } from './subquery.ts'
import { bindWhole } from './whole.ts'
import { bindWindows, withWindows } from './window.ts'
import type { Expression } from '../algebra/expression.ts'
import { columnOf, columnsIn, unprintable } from '../algebra/expression.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { columnsOf, inputsOf } from '../algebra/relation.ts'
import { hasSubquery, nodesOf, treeText } from '../syntax/walk.ts'

/** A query bound to the algebra. */
export interface Bound {
  readonly relation: Relation
  readonly names: readonly string[]
  readonly binding: Binding
}

/**
 * Binds a query, as the server printed it, to the algebra.
 *
 * Guarantees: the relation gives the rows of the query at every state of the tables, as a bag, but for what SQL
 * leaves PostgreSQL to choose; a part for which there is no rule is a `whole` with the reason, in the end the query
 * itself. Throws {@link NoRule} when even that is none: it reads what is not captured, or asks the clock where no rule
 * is known.
 */
export function bindQuery(select: SelectStmt, facts: BindFacts): Bound {
  const binding = newBinding(facts, { bind: bindSelect, where: whereOf })
  const bound = bindSelect(binding, select, null)
  const relation = withClocks(binding, withOperators(bound.relation, facts))
  return { ...bound, relation, binding }
}

/** Binds a SELECT in the scope of the queries around it; one that stands by itself is whole if it must be. */
function bindSelect(binding: Binding, select: SelectStmt, parent: Scope | null): BoundQuery {
  try {
    const bound = bindParts(binding, select, parent)
    refuseUnprintable(bound.relation)
    // The outermost query knows all names; what it does not know no row of it has.
    if (parent === null && freeIn(bound.relation).size > 0)
      throw new NoRule('a subquery refers to what no row of the query around it has')
    return bound
  } catch (error) {
    if (!(error instanceof NoRule)) throw error
    return bindWhole(binding, { select, parent, reason: error })
  }
}

function refuseUnprintable(relation: Relation): void {
  for (const expression of ownExpressions(relation).flat()) {
    const fault = isExpression(expression) ? unprintable(expression) : null
    if (fault !== null) throw new NoRule(fault)
  }
  for (const input of inputsOf(relation)) if (!checked.has(input)) refuseUnprintable(input)
  checked.add(relation)
}

const checked = new WeakSet<Relation>()

const isExpression = (value: unknown): value is Expression =>
  typeof value === 'object' &&
  value !== null &&
  /^[A-Z]/.test(Object.keys(value)[0] ?? '') &&
  !('RangeFunction' in value || 'RangeSubselect' in value)

function bindParts(binding: Binding, select: SelectStmt, parent: Scope | null): BoundQuery {
  const scope = innerScope(parent)
  bindCtes(binding, select, scope)
  if (select.op !== undefined && select.op !== 'SETOP_NONE') {
    return bindSetOperation(binding, select, scope)
  }
  if (select.valuesLists !== undefined) return bindValues(binding, select, scope)
  return bindPlain(binding, select, scope)
}

function bindCtes(binding: Binding, { withClause }: SelectStmt, scope: Scope): void {
  if (withClause === undefined) return
  for (const node of withClause.ctes ?? []) {
    if (!('CommonTableExpr' in node)) continue
    const written = node.CommonTableExpr
    const { ctename = '', ctequery } = written
    if (ctequery === undefined || !('SelectStmt' in ctequery)) throw new NoRule('WITH that writes')
    const bound =
      withClause.recursive === true && isRecursive(written)
        ? bindRecursive(binding, written, scope)
        : boundCte(binding, written, { select: ctequery.SelectStmt, scope })
    scope.ctes.set(ctename, { bound, written })
  }
}

function boundCte(
  binding: Binding,
  { aliascolnames }: CommonTableExpr,
  { select, scope }: { readonly select: SelectStmt; readonly scope: Scope },
): BoundQuery {
  const { relation, names } = binding.bind(binding, select, scope)
  return { relation, names: names.map((name, at) => stringOf(aliascolnames?.[at]) ?? name) }
}

function bindSetOperation(binding: Binding, select: SelectStmt, scope: Scope): BoundQuery {
  const { larg, rarg, op, all } = select
  const left = binding.bind(binding, must(larg, 'a set operation has a left'), scope)
  const right = binding.bind(binding, must(rarg, 'a set operation has a right'), scope)
  const columns = left.names.map((name) => binding.fresh(name))
  let relation: Relation
  if (op === 'SETOP_UNION') {
    const union: Relation = { kind: 'union', inputs: [left.relation, right.relation], columns }
    relation = all === true ? union : distinct(binding, union, left.names)
  } else {
    relation = {
      kind: 'set',
      operation: op === 'SETOP_INTERSECT' ? 'intersect' : 'except',
      all: all === true,
      left: left.relation,
      right: right.relation,
      columns,
    }
  }
  const bound = { relation, names: left.names }
  return limited(binding, bound, { select, scope, item: (item) => byPosition(item, relation) })
}

/** Items of ORDER BY after a set operation are positions, as the server prints them. */
function byPosition(item: Node, relation: Relation): Expression {
  const position = 'A_Const' in item ? item.A_Const.ival?.ival : undefined
  const id = position === undefined ? undefined : columnsOf(relation)[position - 1]
  if (id === undefined) throw new NoRule('ORDER BY of a set operation names no position')
  return columnOf(id)
}

function bindValues(binding: Binding, select: SelectStmt, scope: Scope): BoundQuery {
  const {
    valuesLists,
    withClause: _with,
    sortClause: _sort,
    limitCount: _limit,
    limitOffset: _offset,
    ...rest
  } = select
  if (hasSubquery(valuesLists)) return bindRows(binding, select, scope)
  const [first] = valuesLists ?? []
  const width = first !== undefined && 'List' in first ? (first.List.items ?? []).length : 0
  const names = Array.from({ length: width }, (_, at) => `column${String(at + 1)}`)
  const columns = names.map((name) => binding.fresh(name))
  const item: Expression = {
    RangeSubselect: {
      subquery: { SelectStmt: { ...rest, valuesLists: resolved(valuesLists ?? [], scope) } },
    },
  }
  const relation: Relation = { kind: 'rows', item, columns, ordinality: false }
  return limitedValues(binding, { relation, names }, { select, scope })
}

/** VALUES with subqueries among them: a row each, one after the other; the server has written their types out. */
function bindRows(binding: Binding, select: SelectStmt, scope: Scope): BoundQuery {
  const inputs = (select.valuesLists ?? []).map((row): Relation => {
    const { relation, expressions } = joinSubqueries(binding, {
      relation: { kind: 'product', inputs: [], where: [] },
      expressions: ('List' in row ? (row.List.items ?? []) : []).map((item) =>
        resolved(item, scope),
      ),
      scope,
    })
    const columns = expressions.map((expression): Output => ({
      id: binding.fresh('column'),
      expression,
    }))
    return { kind: 'project', input: relation, columns }
  })
  const [first] = inputs
  const names = columnsOf(must(first, 'VALUES has a row')).map((_, at) => `column${String(at + 1)}`)
  const columns = names.map((name) => binding.fresh(name))
  const relation: Relation = { kind: 'union', inputs, columns }
  return limitedValues(binding, { relation, names }, { select, scope })
}

/** ORDER BY after VALUES names the columns of it. */
function limitedValues(
  binding: Binding,
  bound: BoundQuery,
  { select, scope }: Pick<Limited, 'select' | 'scope'>,
): BoundQuery {
  const table = named(bound.names, columnsOf(bound.relation))
  const item = (node: Node): Expression =>
    resolved(node, { ...innerScope(scope), tables: new Map([['', table]]) })
  return limited(binding, bound, { select, scope, item })
}

const named = (
  names: readonly string[],
  ids: readonly string[],
): { readonly columns: readonly { readonly name: string; readonly is: Expression }[] } => ({
  columns: names.map((name, at) => ({ name, is: columnOf(ids[at] ?? '') })),
})

function refuseSubqueries(tree: unknown): void {
  for (const { kind } of nodesOf(tree)) {
    if (kind === 'SubLink') throw new NoRule('a subquery stands where it cannot be joined')
  }
}

/** One expression of the select list with the name of its column. */
interface Target {
  readonly name: string
  readonly expression: Expression
}

function bindPlain(binding: Binding, written: SelectStmt, scope: Scope): BoundQuery {
  const select = withWindows(written)
  if (select.lockingClause !== undefined) throw new NoRule('row locks')
  for (const alias of wholeRowsIn(written)) scope.rows.add(alias)
  const from = bindFrom(binding, select.fromClause ?? [], scope)
  const filtered = whereOf(binding, { relation: from, condition: select.whereClause, scope })
  const targets = (select.targetList ?? []).map((node, at) => targetOf(node, at, scope))
  const plainDistinct = isPlainDistinct(select)
  const distinctOn = plainDistinct ? [] : (select.distinctClause ?? [])
  const sort = isOrdered(select) ? sortsOf(select.sortClause ?? []) : []
  const extra = [
    ...distinctOn.map((node) => resolved(node, scope)),
    ...sort.map(({ node }) => resolved(must(node, 'an item of ORDER BY'), scope)),
  ]
  // What follows FROM and WHERE, from the inside out: groups, windows, subqueries, the select list.
  const expressions = [...targets.map(({ expression }) => expression), ...extra]
  const grouped = bindAggregates(binding, { relation: filtered, expressions, select, scope })
  const windowed = bindWindows(binding, grouped)
  const state = joinSubqueries(binding, windowed)
  refuseSubqueries(state.expressions)
  const columns = state.expressions.map((expression, at): Output => ({
    id: binding.fresh(targets[at]?.name ?? 'order'),
    expression,
  }))
  const shown = columns.slice(0, targets.length)
  const names = targets.map(({ name }) => name)
  // What is ordered by may be shown as well, and then is one column.
  const once = onceEach(columns, targets.length)
  let relation: Relation = { kind: 'project', input: state.relation, columns: once }
  if (plainDistinct) {
    relation = distinct(binding, { ...relation, columns: shown }, names)
    const parts = { select, scope, sort, columns, shown: shown.length }
    return limitedDistinct(binding, { relation, names }, parts)
  }
  if (!isOrdered(select)) return { relation: { ...relation, columns: shown }, names }
  const ids = columns
    .slice(targets.length)
    .map((column) => columnOf((once.find((one) => isSame(one, column)) ?? column).id))
  const per = ids.slice(0, distinctOn.length)
  const order = sort.map((item, at): SortBy => ({
    ...item,
    node: must(ids[distinctOn.length + at], 'every item of ORDER BY has a column'),
  }))
  if (per.length > 0) {
    relation = { kind: 'top', input: relation, per, order, limit: one, offset: null, ties: false }
  }
  relation = topOf(binding, relation, { select, scope, order })
  return { relation: { kind: 'project', input: relation, columns: outputs(shown) }, names }
}

const isSame = (one: Output, other: Output): boolean =>
  treeText(one.expression) === treeText(other.expression)

/** The columns that are shown, and of what is ordered by those that are not among them or before them. */
const onceEach = (columns: readonly Output[], shown: number): readonly Output[] =>
  columns.filter(
    (column, at) => at < shown || columns.findIndex((one) => isSame(one, column)) === at,
  )

const one: Expression = { A_Const: { ival: { ival: 1 } } }

const outputs = (columns: readonly Output[]): readonly Output[] =>
  columns.map(({ id }) => ({ id, expression: columnOf(id) }))

/** Whether the order matters: some rows are left out by it. */
const isOrdered = (select: SelectStmt): boolean =>
  isLimited(select) || (select.distinctClause !== undefined && !isPlainDistinct(select))

const isLimited = ({ limitCount, limitOffset }: SelectStmt): boolean =>
  (limitCount !== undefined && !isNullConstant(limitCount)) || limitOffset !== undefined

const isNullConstant = (node: Node): boolean => 'A_Const' in node && node.A_Const.isnull === true

/** Plain DISTINCT comes as one empty node; DISTINCT ON as its expressions. */
const isPlainDistinct = ({ distinctClause }: SelectStmt): boolean =>
  distinctClause !== undefined && distinctClause.every((node) => Object.keys(node).length === 0)

const sortsOf = (clause: readonly Node[]): readonly SortBy[] =>
  clause.map((node) => {
    if (!('SortBy' in node)) throw new NoRule('ORDER BY of a kind unknown')
    return node.SortBy
  })

function targetOf(node: Node, at: number, scope: Scope): Target {
  if (!('ResTarget' in node)) throw new NoRule('a select list of a kind unknown')
  const { name, val } = node.ResTarget
  const value = must(val, 'an item of a select list has a value')
  return {
    name: name ?? impliedName(value) ?? `column${String(at + 1)}`,
    expression: resolved(value, scope),
  }
}

/** DISTINCT: a group of each row. */
function distinct(binding: Binding, input: Relation, names: readonly string[]): Relation {
  const keys = columnsOf(input).map((id, at): Output => ({
    id: binding.fresh(names[at] ?? 'c'),
    expression: columnOf(id),
  }))
  return { kind: 'aggregate', input, keys, calls: [] }
}

/** After DISTINCT, ORDER BY can only name what is selected. */
function limitedDistinct(
  binding: Binding,
  bound: BoundQuery,
  parts: {
    readonly select: SelectStmt
    readonly scope: Scope
    readonly sort: readonly SortBy[]
    readonly columns: readonly Output[]
    readonly shown: number
  },
): BoundQuery {
  if (!isLimited(parts.select)) return bound
  const ids = columnsOf(bound.relation)
  const order = parts.sort.map((item, at): SortBy => {
    const wanted = parts.columns[parts.shown + at]
    const found = parts.columns
      .slice(0, parts.shown)
      .findIndex(({ expression }) => treeText(expression) === treeText(wanted?.expression))
    const id = ids[found]
    if (id === undefined) throw new NoRule('ORDER BY after DISTINCT of what is not selected')
    return { ...item, node: columnOf(id) }
  })
  return { ...bound, relation: topOf(binding, bound.relation, { ...parts, order }) }
}

interface Limited {
  readonly select: SelectStmt
  readonly scope: Scope
  /** What an item of ORDER BY stands for. */
  readonly item: (node: Node) => Expression
}

function limited(
  binding: Binding,
  bound: BoundQuery,
  { select, scope, item }: Limited,
): BoundQuery {
  if (!isLimited(select)) return bound
  const order = sortsOf(select.sortClause ?? []).map((sort): SortBy => ({
    ...sort,
    node: item(must(sort.node, 'an item of ORDER BY')),
  }))
  return { ...bound, relation: topOf(binding, bound.relation, { select, scope, order }) }
}

interface Ordered {
  readonly select: SelectStmt
  readonly scope: Scope
  readonly order: readonly SortBy[]
}

function topOf(binding: Binding, input: Relation, { select, scope, order }: Ordered): Relation {
  if (!isLimited(select)) return input
  const { limitCount, limitOffset, limitOption } = select
  const limit = limitCount === undefined || isNullConstant(limitCount) ? null : limitCount
  const offset = limitOffset ?? null
  const ties = limitOption === 'LIMIT_OPTION_WITH_TIES'
  const bounds = [limit, offset].filter((bound) => bound !== null)
  // A column is one of a query around this one: no other row has a say in how many rows there are.
  const isFixed = (bound: Node): boolean =>
    !hasSubquery(bound) && columnsIn(resolved(bound, scope)).size === 0
  if (!bounds.every(isFixed)) {
    return numberedTop(binding, { input, scope, order, limit, offset, ties })
  }
  return { kind: 'top', input, per: [], order, limit, offset, ties }
}
