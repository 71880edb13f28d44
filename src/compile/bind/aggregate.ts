import type { FuncCall, Node, SelectStmt } from 'libpg-query'
import { aliasOf } from '../syntax/implied-names.ts'
import type { Binding, Scope } from './scope.ts'
import { scannedType } from '../algebra/references.ts'
import { NoRule, fieldsOf, resolved } from './scope.ts'
import type { Expressed } from './subquery.ts'
import { joinSubqueries } from './subquery.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnOf, columnsIn, conjuncts, replaced, replacedDeep } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import { productOf } from '../algebra/product.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import { hasSubquery, nodesOf, treeText } from '../syntax/walk.ts'

interface Grouped extends Expressed {
  readonly select: SelectStmt
  readonly scope: Scope
}

/** Whether a node calls an aggregate that is not a window function. */
const isAggregateCall = (binding: Binding, node: Node): boolean =>
  'FuncCall' in node &&
  node.FuncCall.over === undefined &&
  (node.FuncCall.agg_within_group === true ||
    binding.facts.aggregates.has(functionName(node.FuncCall)))

/** GROUP BY, HAVING and aggregate calls: what comes back speaks of groups. The same expressions when there are none. */
export function bindAggregates<State extends Grouped>(binding: Binding, state: State): State {
  const { select, scope, expressions } = state
  const having = conjuncts(
    select.havingClause === undefined ? undefined : resolved(select.havingClause, scope),
  )
  const asked = outerCalls(binding, [...expressions, ...having], scope)
  const all = [...asked.expressions, ...asked.calls]
  const calls = all.some((tree) => hasAggregate(binding, tree))
  if (select.groupClause === undefined && having.length === 0 && !calls) return state
  const every = groupingSets((select.groupClause ?? []).map((node) => resolved(node, scope)))
  const written = select.groupDistinct === true ? withoutRepeated(every) : every
  const width = expressions.length
  const lifted = liftKeys(binding, { ...state, expressions: all }, written)
  const sets = lifted.sets
  const prepared = { ...prepare(binding, { ...state, ...lifted }), asked }
  const [only, another] = sets
  if (only !== undefined && another === undefined && !isGroupingSets(select)) {
    const grouped = groupBy(binding, { ...prepared, keys: only, all: only, scope })
    return { ...state, ...withHaving(binding, grouped, width), scope: grouped.scope }
  }
  return { ...state, ...unionOfSets(binding, { ...prepared, scope, sets, width }) }
}

const isGroupingSets = (select: SelectStmt): boolean =>
  (select.groupClause ?? []).some((node) => 'GroupingSet' in node)

function hasAggregate(binding: Binding, tree: unknown): boolean {
  if (Array.isArray(tree)) return tree.some((part) => hasAggregate(binding, part))
  if (typeof tree !== 'object' || tree === null) return false
  if ('SubLink' in tree) {
    const { testexpr } = (tree as { SubLink: { testexpr?: Node } }).SubLink
    return testexpr !== undefined && hasAggregate(binding, testexpr)
  }
  if ('FuncCall' in tree && isAggregateCall(binding, tree as Node)) return true
  if ('GroupingFunc' in tree) return true
  return Object.values(tree).some((part) => hasAggregate(binding, part))
}

/** Joins the subqueries that rows are grouped by; whoever says the same means the same column. */
function liftKeys(
  binding: Binding,
  { relation, expressions, scope }: Grouped,
  sets: readonly (readonly Expression[])[],
): Expressed & { readonly sets: readonly (readonly Expression[])[] } {
  const columns = new Map<string, Expression>()
  let joined = relation
  for (const key of sets.flat()) {
    if (!hasSubquery(key) || columns.has(treeText(key))) continue
    const result = joinSubqueries(binding, { relation: joined, expressions: [key], scope })
    joined = result.relation
    columns.set(treeText(key), result.expressions[0] ?? key)
  }
  if (columns.size === 0) return { relation, expressions, sets }
  const over = <Tree>(tree: Tree): Tree => replaced(tree, (node) => columns.get(treeText(node)))
  return {
    relation: joined,
    expressions: expressions.map(over),
    sets: sets.map((set) => set.map(over)),
  }
}

/** Joins the subqueries that stand within arguments of aggregates or are group keys; each call is then plain. */
function prepare(binding: Binding, state: Grouped): Expressed {
  let { relation } = state
  const expressions = state.expressions.map((expression) =>
    replaced(expression, (node) => {
      if (!isAggregateCall(binding, node) || !hasSubquery(node)) return undefined
      const joined = joinSubqueries(binding, { relation, expressions: [node], scope: state.scope })
      relation = joined.relation
      return joined.expressions[0]
    }),
  )
  return { relation, expressions }
}

interface Keyed extends Expressed {
  readonly scope: Scope
  /** Group keys of this grouping. */
  readonly keys: readonly Expression[]
  /** Those of all groupings: where one is not a key, it is NULL. */
  readonly all: readonly Expression[]
  readonly asked: Asked
}

/** One grouping: expressions over the input become expressions over keys and calls. */
function groupBy(binding: Binding, keyed: Keyed): GroupedBy {
  const { relation, expressions, keys, all, asked, scope } = keyed
  for (const key of keys) if (hasSubquery(key)) throw new NoRule('a subquery in GROUP BY')
  const outputs = new Map<string, Output>()
  const keyOf = (expression: Expression, hint: string): Output => {
    const text = treeText(expression)
    const found = outputs.get(text) ?? { id: binding.fresh(hint), expression }
    outputs.set(text, found)
    return found
  }
  for (const key of keys) keyOf(key, hintOf(key))
  const calls = new Map<string, Output>()
  const absent = new Map(
    all.filter((key) => !outputs.has(treeText(key))).map((key) => [treeText(key), key]),
  )
  const callOf = (expression: Expression, hint: string): Expression => {
    const text = treeText(expression)
    const found = calls.get(text) ?? { id: binding.fresh(hint), expression }
    calls.set(text, found)
    return columnOf(found.id)
  }
  const given = new Set(columnsOf(relation))
  const over = expressions.map((expression) =>
    replaced(expression, (node) => {
      const text = treeText(node)
      const key = outputs.get(text)
      if (key !== undefined) return columnOf(key.id)
      if ('GroupingFunc' in node) return groupingValue(node.GroupingFunc.args ?? [], outputs)
      const missing = absent.get(text)
      if (missing !== undefined) return callOf(typedNull(missing), 'null')
      if ('FuncCall' in node && isAggregateCall(binding, node)) {
        refuseNested(binding, node.FuncCall)
        return callOf(node, functionName(node.FuncCall).replace(/^.*\./, ''))
      }
      // A column that the keys determine (GROUP BY a primary key): as a key more it makes no more groups.
      const [id, another] = 'ColumnRef' in node ? [...columnsIn(node)] : []
      if (id !== undefined && another === undefined && given.has(id)) {
        // Of a type that cannot be a key it is the value of any row of the group: all have the same.
        return cannotBeKey.test(scannedType(relation, id, binding.facts))
          ? callOf(firstOf(node), hintOf(node))
          : columnOf(keyOf(node, hintOf(node)).id)
      }
      return undefined
    }),
  )
  // `select 1 from t having …` asks nothing of its one group, which has to be something all the same.
  if (outputs.size + calls.size === 0) callOf(rowCount, 'rows')
  const aggregate: Relation = {
    kind: 'aggregate',
    input: relation,
    keys: [...outputs.values()],
    calls: [...calls.values()],
  }
  const own = over.length - asked.calls.length
  const above = groupedScope(scope, outputs)
  const columns = over.slice(own).map((is, at) => ({ name: String(at), is }))
  above.tables.set(asked.alias, { columns })
  return { relation: aggregate, expressions: over.slice(0, own), scope: above }
}

/** Calls of the query that subqueries within it ask for, by an alias and their number. They stand last among its expressions. */
interface Asked {
  readonly alias: string
  readonly calls: readonly Expression[]
}

/**
 * An aggregate within a subquery whose arguments are columns of the query around it is one of that query: its value for
 * the group, `(select count(*) from p where p.id < max(o.id))`. Such calls, over the columns of the query, beside
 * the expressions, in which subqueries ask for them by name.
 */
function outerCalls(
  binding: Binding,
  expressions: readonly Expression[],
  scope: Scope,
): Asked & { readonly expressions: readonly Expression[] } {
  const alias = `calls of ${binding.fresh('groups')}`
  const calls = new Map<string, Expression>()
  const lift = (link: Node): Node => {
    const within = new Set(nodesOf(link).flatMap((each) => aliasOf(each)))
    return replacedDeep(link, (node) => {
      if (!isAggregateCall(binding, node) || !isOfScope(node, scope, within)) return undefined
      const text = treeText(node)
      const at = [...calls.keys()].indexOf(text)
      if (at < 0) calls.set(text, resolved(node, scope))
      const name = String(at < 0 ? calls.size - 1 : at)
      return { ColumnRef: { fields: [{ String: { sval: alias } }, { String: { sval: name } }] } }
    })
  }
  const lifted = expressions.map((expression) =>
    replacedDeep(expression, (node) => ('SubLink' in node ? lift(node) : undefined)),
  )
  return { alias, expressions: lifted, calls: [...calls.values()] }
}

/** Whether all columns that a call names are those of one query, and of none within it. */
function isOfScope(call: Node, scope: Scope, within: ReadonlySet<string>): boolean {
  const names = nodesOf(call).flatMap(({ kind, node }) => {
    const [alias, column] = kind === 'ColumnRef' ? (fieldsOf({ ColumnRef: node }) ?? []) : []
    return alias === undefined ? [] : [column === undefined ? '' : alias]
  })
  return names.length > 0 && names.every((name) => scope.tables.has(name) && !within.has(name))
}

const rowCount: Expression = {
  FuncCall: {
    funcname: [{ String: { sval: 'count' } }],
    agg_star: true,
    funcformat: 'COERCE_EXPLICIT_CALL',
  },
}

interface GroupedBy extends Expressed {
  /** Names as subqueries above the groups see them. */
  readonly scope: Scope
}

/** What is no key has no value above the groups; a subquery that asks for it has no rule. */
function groupedScope(scope: Scope, keys: ReadonlyMap<string, Output>): Scope {
  const ofKey = (is: Expression): Expression => {
    const key = keys.get(treeText(is))
    return columnOf(key === undefined ? 'no key of the groups' : key.id)
  }
  const tables = [...scope.tables].map(
    ([alias, { columns }]) =>
      [alias, { columns: columns.map(({ name, is }) => ({ name, is: ofKey(is) })) }] as const,
  )
  const merged = [...scope.merged].map(([name, is]) => [name, ofKey(is)] as const)
  return { ...scope, tables: new Map(tables), merged: new Map(merged) }
}

const hintOf = (key: Expression): string => {
  const [id] = columnsIn(key)
  return id === undefined ? 'key' : id.replace(/_\d+$/, '')
}

function refuseNested(binding: Binding, call: FuncCall): void {
  for (const { kind, node } of nodesOf(call.args ?? [])) {
    if (kind === 'FuncCall' && isAggregateCall(binding, { FuncCall: node })) {
      throw new NoRule('an aggregate within an aggregate')
    }
  }
}

/** Types without equality, or without a hash of it. */
const cannotBeKey =
  /^(json|xml|point|line|lseg|box|path|polygon|circle|tsvector|tsquery|money|bit|bit varying|txid_snapshot|pg_snapshot)\b/

const firstOf = (of: Expression): Extract<Expression, { FuncCall: unknown }> => ({
  FuncCall: {
    funcname: [{ String: { sval: 'tidemark' } }, { String: { sval: 'first' } }],
    args: [of],
    funcformat: 'COERCE_EXPLICIT_CALL',
  },
})

/** NULL of the type of an expression: nothing of it is ever looked at. */
const typedNull = (of: Expression): Expression => ({
  FuncCall: { ...firstOf(of).FuncCall, agg_filter: { A_Const: { boolval: {} } } },
})

/** GROUPING(a, b): a bit for each argument that is no key of this grouping. */
function groupingValue(args: readonly Node[], keys: ReadonlyMap<string, Output>): Expression {
  const value = args.reduce((bits, node) => bits * 2 + (keys.has(treeText(node)) ? 0 : 1), 0)
  return { A_Const: { ival: value === 0 ? {} : { ival: value } } }
}

/** As many expressions as `width` are the select list; those after them are HAVING. */
function withHaving(binding: Binding, grouped: GroupedBy, width: number): Expressed {
  const { scope } = grouped
  const having = grouped.expressions.slice(width)
  const expressions = grouped.expressions.slice(0, width)
  if (having.length === 0) return { relation: grouped.relation, expressions }
  const joined = joinSubqueries(binding, { relation: grouped.relation, expressions: having, scope })
  return { relation: productOf([joined.relation], joined.expressions), expressions }
}

interface Sets extends Expressed {
  readonly scope: Scope
  readonly asked: Asked
  readonly width: number
  readonly sets: readonly (readonly Expression[])[]
}

/** GROUPING SETS: a grouping for each set, one after the other. */
function unionOfSets(
  binding: Binding,
  { relation, expressions, sets, scope, asked, width }: Sets,
): Expressed {
  const all = [...new Map(sets.flat().map((key) => [treeText(key), key])).values()]
  const branches = sets.map(
    (keys): { readonly relation: Relation; readonly ids: readonly ColumnId[] } => {
      const grouped = groupBy(binding, { relation, expressions, keys, all, asked, scope })
      const joined = joinSubqueries(binding, {
        ...withHaving(binding, grouped, width),
        scope: grouped.scope,
      })
      const columns = joined.expressions.map((expression): Output => ({
        id: binding.fresh('item'),
        expression,
      }))
      return {
        relation: { kind: 'project', input: joined.relation, columns },
        ids: columns.map(({ id }) => id),
      }
    },
  )
  const columns = expressions.slice(0, width).map(() => binding.fresh('item'))
  const union: Relation = {
    kind: 'union',
    inputs: branches.map((branch) => branch.relation),
    columns,
  }
  return { relation: union, expressions: columns.map((id) => columnOf(id)) }
}

/** The groupings that GROUP BY asks for: the product of what its items ask for. */
function groupingSets(items: readonly Node[]): readonly (readonly Expression[])[] {
  return items.reduce<readonly (readonly Expression[])[]>(
    (sets, item) => sets.flatMap((set) => setsOf(item).map((more) => [...set, ...more])),
    [[]],
  )
}

/** GROUP BY DISTINCT: of groupings by the same keys, in whatever order and however often each, only one. */
function withoutRepeated(
  sets: readonly (readonly Expression[])[],
): readonly (readonly Expression[])[] {
  const keyed = sets.map(
    (set) => [[...new Set(set.map((key) => treeText(key)))].sort().join('\n'), set] as const,
  )
  return [...new Map(keyed).values()]
}

function setsOf(item: Node): readonly (readonly Expression[])[] {
  if (!('GroupingSet' in item)) return [elements(item)]
  const { kind, content = [] } = item.GroupingSet
  if (kind === 'GROUPING_SET_EMPTY') return [[]]
  if (kind === 'GROUPING_SET_SIMPLE') return [content.flatMap((part) => elements(part))]
  if (kind === 'GROUPING_SET_SETS') return content.flatMap((part) => setsOf(part))
  const parts = content.map((part) => elements(part))
  if (kind === 'GROUPING_SET_ROLLUP') {
    return Array.from({ length: parts.length + 1 }, (_, at) =>
      parts.slice(0, parts.length - at).flat(),
    )
  }
  if (kind === 'GROUPING_SET_CUBE') {
    if (parts.length > 6) throw new NoRule('CUBE of more than six')
    return Array.from({ length: 2 ** parts.length }, (_, mask) =>
      parts.filter((_part, at) => ((mask >> at) & 1) === 0).flat(),
    )
  }
  throw new NoRule('a grouping of a kind unknown')
}

/** `(a, b)` as two keys. */
function elements(item: Node): readonly Expression[] {
  if ('RowExpr' in item && item.RowExpr.row_format === 'COERCE_IMPLICIT_CAST')
    return item.RowExpr.args ?? []
  return [item]
}
