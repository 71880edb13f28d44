import type { Node, SelectStmt, SubLink } from 'libpg-query'
import { must } from '../base/assert.ts'
import { pulledLateral } from './bind-lateral.ts'
import type { Binding, Scope, Where } from './bind-scope.ts'
import { NoRule, freeIn, isBoundInward, resolved } from './bind-scope.ts'
import type { Expression } from './expression.ts'
import { columnIn, columnOf, columnsIn, conjuncts, either, isNull, replaced } from './expression.ts'
import { isNotNull, notNullIn } from './nullability.ts'
import { peel, returnsSets } from './peel.ts'
import { productOf } from './product.ts'
import type { Output, Relation, Scan } from './relation.ts'
import { columnsOf } from './relation.ts'
import { hasSubquery, nodesOf } from './walk.ts'

/** WHERE: plain conditions first, then subqueries as semi and anti joins, then what is left with subqueries in it. */
export function whereOf(binding: Binding, { relation, condition, scope }: Where): Relation {
  const parts = conjuncts(condition === undefined ? undefined : resolved(condition, scope))
  const withSubquery = parts.filter((part) => hasSubquery(part))
  const simple = parts.filter((part) => !hasSubquery(part))
  let result = simple.length === 0 ? relation : productOf([relation], simple)
  const late: Expression[] = []
  for (const part of withSubquery) {
    const matched = matchOf(binding, { relation: result, condition: part, scope })
    if (matched === undefined) late.push(part)
    else result = matched
  }
  if (late.length === 0) return result
  const joined = joinSubqueries(binding, { relation: result, expressions: late, scope })
  return productOf([joined.relation], joined.expressions)
}

/** EXISTS, IN, ANY, ALL and their opposites as a part of WHERE: rows stay or go, nothing else. */
function matchOf(
  binding: Binding,
  {
    relation,
    condition,
    scope,
  }: { readonly relation: Relation; readonly condition: Expression; readonly scope: Scope },
): Relation | undefined {
  const not = 'BoolExpr' in condition && condition.BoolExpr.boolop === 'NOT_EXPR'
  const inner = not ? condition.BoolExpr.args?.[0] : condition
  if (inner === undefined || !('SubLink' in inner)) return undefined
  const link = inner.SubLink
  if (link.testexpr !== undefined && hasSubquery(link.testexpr)) return undefined
  const { subLinkType } = link
  if (subLinkType === 'EXISTS_SUBLINK') {
    const { right, on } = existing(binding, bindLink(binding, link, scope))
    return { kind: 'match', anti: not, left: relation, right, on }
  }
  if (subLinkType !== 'ANY_SUBLINK' && subLinkType !== 'ALL_SUBLINK') return undefined
  const right = inwardLinear(bindLink(binding, link, scope))
  const test = testOf(link, right)
  const sides = { kind: 'match', left: relation, right } as const
  // x op ANY (…) keeps rows for which the test is true for some; x op ALL (…) those for which it is true for each.
  if (subLinkType === 'ALL_SUBLINK') {
    return { ...sides, anti: !not, on: [not ? isFalse(test) : isNot('TRUE', test)] }
  }
  const on = not ? notFalse(binding, { test, left: relation, right }) : test
  return { ...sides, anti: not, on: [on] }
}

const isNot = (what: 'TRUE' | 'FALSE', arg: Expression): Expression => ({
  BooleanTest: { arg, booltesttype: what === 'TRUE' ? 'IS_NOT_TRUE' : 'IS_NOT_FALSE' },
})

const isFalse = (arg: Expression): Expression => ({
  BooleanTest: { arg, booltesttype: 'IS_FALSE' },
})

/** "True or NULL" in a form that an index can serve, where both sides are plain. */
function notFalse(
  { facts }: Binding,
  {
    test,
    left,
    right,
  }: { readonly test: Expression; readonly left: Relation; readonly right: Relation },
): Expression {
  if (!('A_Expr' in test) || test.A_Expr.kind !== 'AEXPR_OP' || test.A_Expr.name?.length !== 1) {
    return isNot('FALSE', test)
  }
  const { lexpr, rexpr } = test.A_Expr
  if (lexpr === undefined || rexpr === undefined || 'RowExpr' in lexpr) return isNot('FALSE', test)
  const known = new Set([...notNullIn(left, facts), ...notNullIn(right, facts)])
  const nulls = [lexpr, rexpr].filter((side) => !isNotNull(side, known)).map((side) => isNull(side))
  return nulls.length === 0 ? test : either([test, ...nulls])
}

function bindLink(binding: Binding, { subselect }: SubLink, scope: Scope): Relation {
  if (subselect === undefined || !('SelectStmt' in subselect))
    throw new NoRule('a subquery of a kind unknown')
  return binding.bind(binding, subselect.SelectStmt, scope).relation
}

/** Partners may depend on the row by any condition, but not through something that is stored. */
function inwardLinear(right: Relation): Relation {
  if (isBoundInward(right))
    throw new NoRule('a subquery groups or limits rows that depend on the query around it')
  return right
}

/**
 * What EXISTS asks for: rows, whatever they look like. Conditions with columns of the query around it stand in ON, so
 * that PostgreSQL can look for partners by an index, from either side.
 */
function existing(
  { facts }: Binding,
  bound: Relation,
): { readonly right: Relation; readonly on: readonly Expression[] } {
  const plain = bound.kind === 'project' && !returnsSets(bound.columns, facts.setReturning)
  const right = plain ? bound.input : bound
  const { relation, on } = lifted(right)
  return { right: inwardLinear(relation), on }
}

/** Takes the conditions out of a relation that refer to the query around it. */
function lifted(relation: Relation): {
  readonly relation: Relation
  readonly on: readonly Expression[]
} {
  if (relation.kind !== 'product') return { relation, on: [] }
  const given = new Set(columnsOf(relation))
  const isOwn = (condition: Expression): boolean =>
    [...columnsIn(condition)].every((id) => given.has(id))
  const on = relation.where.filter((condition) => !isOwn(condition))
  return { relation: productOf([{ ...relation, where: relation.where.filter(isOwn) }], []), on }
}

/** The comparison of IN, ANY and ALL as a condition on columns of the right. */
function testOf({ testexpr, operName, location }: SubLink, right: Relation): Expression {
  const left = must(testexpr, 'IN, ANY and ALL have something on their left')
  const columns = columnsOf(right).map((id) => columnOf(id))
  const name = operName ?? [{ String: { sval: '=' } }]
  const [only] = columns
  if (only === undefined) throw new NoRule('a subquery without columns', location ?? null)
  const rexpr: Expression =
    'RowExpr' in left ? { RowExpr: { args: columns, row_format: 'COERCE_IMPLICIT_CAST' } } : only
  return { A_Expr: { kind: 'AEXPR_OP', name, lexpr: left, rexpr } }
}

/** A relation with expressions over it. */
export interface Expressed {
  readonly relation: Relation
  readonly expressions: readonly Expression[]
}

/**
 * Joins the subqueries within expressions to the relation, each as a column: what EXISTS and ANY say, what a scalar
 * subquery gives.
 */
export function joinSubqueries(
  binding: Binding,
  { relation, expressions, scope }: Expressed & { readonly scope: Scope },
): Expressed {
  let joined = relation
  const lift = (tree: Expression): Expression =>
    replaced(tree, (node) => {
      if (!('SubLink' in node)) return undefined
      const link = node.SubLink
      const testexpr = link.testexpr === undefined ? undefined : lift(link.testexpr)
      const result = joinOne(binding, {
        link: testexpr === undefined ? link : { ...link, testexpr },
        left: joined,
        scope,
      })
      joined = result.relation
      return result.value
    })
  return { expressions: expressions.map((expression) => lift(expression)), relation: joined }
}

interface Link {
  readonly link: SubLink
  readonly left: Relation
  readonly scope: Scope
}

interface Joined {
  readonly relation: Relation
  readonly value: Expression
}

function joinOne(binding: Binding, { link, left, scope }: Link): Joined {
  switch (link.subLinkType) {
    case 'EXISTS_SUBLINK': {
      const { right, on } = existing(binding, bindLink(binding, link, scope))
      return markOf(binding, { test: 'exists', left, right, on })
    }
    case 'ANY_SUBLINK': {
      const right = inwardLinear(bindLink(binding, link, scope))
      return markOf(binding, { test: 'any', left, right, on: [testOf(link, right)] })
    }
    case 'ALL_SUBLINK': {
      const right = inwardLinear(bindLink(binding, link, scope))
      const { relation, value } = markOf(binding, {
        test: 'any',
        left,
        right,
        on: [{ BoolExpr: { boolop: 'NOT_EXPR', args: [testOf(link, right)] } }],
      })
      return { relation, value: { BoolExpr: { boolop: 'NOT_EXPR', args: [value] } } }
    }
    case 'EXPR_SUBLINK':
      return scalarOf(binding, { left, right: bindLink(binding, link, scope) })
    case 'ARRAY_SUBLINK':
      return arrayOf(binding, { link, left, scope })
    default:
      throw new NoRule(`a subquery of kind ${link.subLinkType ?? 'unknown'}`, link.location ?? null)
  }
}

function markOf(
  binding: Binding,
  mark: {
    readonly test: 'exists' | 'any'
    readonly left: Relation
    readonly right: Relation
    readonly on: readonly Expression[]
  },
): Joined {
  const id = binding.fresh('found')
  return { relation: { kind: 'mark', id, ...mark }, value: columnOf(id) }
}

/** ARRAY(SELECT x … ORDER BY o) is array_agg(x ORDER BY o), empty where that is NULL. */
function arrayOf(binding: Binding, { link, left, scope }: Link): Joined {
  const { subselect } = link
  if (subselect === undefined || !('SelectStmt' in subselect))
    throw new NoRule('ARRAY of a kind unknown')
  const { sortClause, ...select } = subselect.SelectStmt
  const [target] = select.targetList ?? []
  const isPlain =
    select.op === 'SETOP_NONE' &&
    [
      select.groupClause,
      select.distinctClause,
      select.limitCount,
      select.limitOffset,
      select.valuesLists,
    ].every((clause) => clause === undefined) &&
    ![...nodesOf(select.targetList)].some(({ kind }) => kind === 'FuncCall' || kind === 'SubLink')
  if (!isPlain || target === undefined || !('ResTarget' in target))
    throw new NoRule('ARRAY of such a subquery')
  const value = must(target.ResTarget.val, 'an item of a select list has a value')
  const call: Node = {
    FuncCall: {
      funcname: [{ String: { sval: 'array_agg' } }],
      args: [value],
      ...(sortClause === undefined ? {} : { agg_order: sortClause }),
      funcformat: 'COERCE_EXPLICIT_CALL',
    },
  }
  const aggregated: SelectStmt = { ...select, targetList: [{ ResTarget: { val: call } }] }
  const facts = {
    ...binding.facts,
    aggregates: new Set([...binding.facts.aggregates, 'array_agg']),
  }
  const right = binding.bind({ ...binding, facts }, aggregated, scope).relation
  const joined = scalarOf(binding, { left, right })
  return {
    relation: joined.relation,
    value: { CoalesceExpr: { args: [joined.value, { A_Const: { sval: { sval: '{}' } } }] } },
  }
}

/** A scalar subquery: no row is NULL, two rows are PostgreSQL's own error. */
function scalarOf(
  binding: Binding,
  { left, right }: { readonly left: Relation; readonly right: Relation },
): Joined {
  const [value] = columnsOf(right)
  if (value === undefined) throw new NoRule('a scalar subquery without a column')
  const given = new Set(columnsOf(left))
  const free = freeIn(right)
  if (![...free].every((id) => given.has(id)))
    throw new NoRule('a subquery refers to a query further out')
  if (givesOneRow(right, binding)) {
    const relation =
      free.size === 0
        ? productOf([left, right], [])
        : pulledLateral(binding, { left, right, outer: true })
    return { relation, value: columnOf(value) }
  }
  if (givesAtMostOne(right, binding)) return leftJoin(left, right, value)
  const only = onlyOf(binding, right, value)
  const [result] = columnsOf(only)
  const relation =
    free.size === 0
      ? productOf([left, only], [])
      : pulledLateral(binding, { left, right: only, outer: true })
  return { relation, value: columnOf(must(result, 'one column')) }
}

/** A partner or none; columns of the right that are nothing but columns can be looked up by ON. */
function leftJoin(left: Relation, right: Relation, value: string): Joined {
  const join = (partner: Relation, on: readonly Expression[]): Relation => ({
    kind: 'outer',
    full: false,
    left,
    right: partner,
    on,
  })
  const column =
    right.kind === 'project' ? right.columns.find(({ id }) => id === value)?.expression : undefined
  if (right.kind !== 'project' || column === undefined || columnIn(column) === null) {
    return { relation: join(right, []), value: columnOf(value) }
  }
  const { relation, on } = lifted(right.input)
  return { relation: join(relation, on), value: column }
}

/** The value of the only row, by aggregates, so that rows with the same key are counted together. */
function onlyOf(binding: Binding, input: Relation, value: string): Relation {
  const call = (name: string, args: readonly Expression[], hint: string): Output => ({
    id: binding.fresh(hint),
    expression: {
      FuncCall: {
        funcname: name.split('.').map((sval) => ({ String: { sval } })),
        ...(args.length === 0 ? { agg_star: true } : { args: [...args] }),
        funcformat: 'COERCE_EXPLICIT_CALL',
      },
    },
  })
  const first = call('tidemark.first', [columnOf(value)], 'first')
  const count = call('count', [], 'rows')
  const aggregate: Relation = { kind: 'aggregate', input, keys: [], calls: [first, count] }
  return {
    kind: 'project',
    input: aggregate,
    columns: [call('tidemark.only', [columnOf(first.id), columnOf(count.id)], 'only')],
  }
}

/** Exactly one row, whatever the tables hold: an aggregate without keys. */
function givesOneRow(relation: Relation, { facts }: Binding): boolean {
  const { core, having } = peel(relation, facts.setReturning)
  return core.kind === 'aggregate' && core.keys.length === 0 && having.length === 0
}

/** At most one row: LIMIT 1, or a table of which every column of a key is compared with something from outside. */
function givesAtMostOne(relation: Relation, { facts }: Pick<Binding, 'facts'>): boolean {
  if (relation.kind === 'project') {
    const calls = relation.columns.some(({ expression }) =>
      [...nodesOf(expression)].some(({ kind }) => kind === 'FuncCall'),
    )
    return !calls && givesAtMostOne(relation.input, { facts })
  }
  if (relation.kind !== 'product' || relation.inputs.length !== 1) return false
  const [scan] = relation.inputs
  if (scan?.kind !== 'scan' || scan.of.kind === 'stage') return false
  const { of } = scan
  const table = [...facts.tables.values()].find(
    ({ target }) => target.kind === of.kind && target.name === of.name,
  )
  const pinned = new Set(relation.where.flatMap((condition) => pinnedBy(condition, scan)))
  return (
    table?.keys.some((key) => key.length > 0 && key.every((column) => pinned.has(column))) ?? false
  )
}

/** The column of a table that a condition `column = something from outside` pins down. */
function pinnedBy(condition: Expression, scan: Scan): readonly string[] {
  if (!('A_Expr' in condition) || condition.A_Expr.kind !== 'AEXPR_OP') return []
  const { name = [], lexpr, rexpr } = condition.A_Expr
  const [sign, another] = name
  if (another !== undefined || sign === undefined) return []
  if (!('String' in sign) || sign.String.sval !== '=') return []
  const own = new Set(columnsOf(scan))
  const sides = [
    [lexpr, rexpr],
    [rexpr, lexpr],
  ] as const
  return sides.flatMap(([side, other]) => {
    const id = side === undefined ? null : columnIn(side)
    const column = scan.columns.find((each) => each.id === id)
    const outside = ![...columnsIn(other)].some((each) => own.has(each))
    return column !== undefined && outside ? [column.name] : []
  })
}
