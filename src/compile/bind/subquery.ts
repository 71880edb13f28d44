import type { SubLink } from 'libpg-query'
import { must } from '../../base/assert.ts'
import { arrayAsAggregate } from './array.ts'
import { decorrelated, pulledLateral } from './lateral.ts'
import type { Binding, Scope, Where } from './scope.ts'
import type { BindFacts } from '../algebra/facts.ts'
import { NoRule, resolved } from './scope.ts'
import { freeIn, isBoundInward, scannedType } from '../algebra/references.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import {
  both,
  columnIn,
  columnOf,
  columnsIn,
  conjuncts,
  either,
  isAbsent,
  isNull,
  operation,
  ownEqualSides,
  replaced,
} from '../algebra/expression.ts'
import { isNotNull, notNullIn } from '../algebra/nullability.ts'
import { peel, returnsSets } from '../algebra/peel.ts'
import { productOf } from '../algebra/product.ts'
import type { Output, Relation, Scan } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import { hasSubquery, nodesOf } from '../syntax/walk.ts'

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

interface Test {
  readonly relation: Relation
  readonly condition: Expression
  readonly scope: Scope
}

/** EXISTS, IN, ANY, ALL and their opposites as a part of WHERE: rows stay or go, nothing else. */
function matchOf(binding: Binding, { relation, condition, scope }: Test): Relation | undefined {
  const negated = 'BoolExpr' in condition && condition.BoolExpr.boolop === 'NOT_EXPR'
  const inner = negated ? condition.BoolExpr.args?.[0] : condition
  if (inner === undefined || !('SubLink' in inner)) return undefined
  const link = inner.SubLink
  if (link.testexpr !== undefined && hasSubquery(link.testexpr)) return undefined
  if (link.subLinkType === 'EXISTS_SUBLINK') {
    const partners = existing(binding, bindLink(binding, link, scope))
    return partners && { kind: 'match', anti: negated, left: relation, ...partners }
  }
  if (link.subLinkType !== 'ANY_SUBLINK' && link.subLinkType !== 'ALL_SUBLINK') return undefined
  return comparedMatch(binding, { link, left: relation, scope }, negated)
}

/** x op ANY (…) keeps rows for which the test is true for some; x op ALL (…) those for which it is true for each. */
function comparedMatch(
  binding: Binding,
  { link, left, scope }: Link,
  negated: boolean,
): Relation | undefined {
  const partners = partnersOf(binding, bindLink(binding, link, scope))
  if (partners === undefined) return undefined
  const { right, on, columns } = partners
  const test = testOf(link, columns)
  const sides = { kind: 'match', left, right } as const
  if (link.subLinkType === 'ALL_SUBLINK') {
    const failing = negated ? isFalse(test) : isNot('TRUE', test)
    return { ...sides, anti: !negated, on: [...on, failing] }
  }
  const met = negated ? notFalse(binding, { test, left, right }) : test
  return { ...sides, anti: negated, on: [...on, met] }
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
  const nulls = [lexpr, rexpr]
    .filter((side) => !isNotNull(side, known))
    .map((side) =>
      isColumnOfPlainType(side, [left, right], facts) ? isNull(side) : isAbsent(side),
    )
  return nulls.length === 0 ? test : either([test, ...nulls])
}

/** Whether an expression is a column of a table, of a type of PostgreSQL's own: not a row, of which IS NULL asks its fields. */
function isColumnOfPlainType(
  expression: Expression,
  relations: readonly Relation[],
  facts: BindFacts,
): boolean {
  const id = columnIn(expression)
  const types = relations.map((each) => (id === null ? '' : scannedType(each, id, facts)))
  return types.some((type) => type !== '' && !type.includes('.'))
}

function bindLink(binding: Binding, { subselect }: SubLink, scope: Scope): Relation {
  if (subselect === undefined || !('SelectStmt' in subselect))
    throw new NoRule('a subquery of a kind unknown')
  return binding.bind(binding, subselect.SelectStmt, scope).relation
}

/** The rows of a subquery as partners of a row: those that meet some conditions. */
interface Partners {
  readonly right: Relation
  readonly on: readonly Expression[]
}

/**
 * Partners may depend on the row by any condition, but not through something that is stored: what groups or limits the
 * rows for one row of the query around it does so for each of the values that these are compared by. Undefined when
 * it depends on the row otherwise.
 */
function partnersOf(
  binding: Binding,
  right: Relation,
): (Partners & { readonly columns: readonly ColumnId[] }) | undefined {
  const columns = columnsOf(right)
  if (!isBoundInward(right)) return { right, on: [], columns }
  const alone = decorrelated(binding, right)
  return alone && { right: alone.relation, on: alone.on, columns }
}

/**
 * What EXISTS asks for: rows, whatever they look like. Conditions with columns of the query around it stand in ON, so
 * that PostgreSQL can look for partners by an index, from either side.
 */
function existing(binding: Binding, bound: Relation): Partners | undefined {
  const { relation, on } = lifted(rowsAtAll(binding, bound))
  const partners = partnersOf(binding, relation)
  return partners && { right: partners.right, on: [...on, ...partners.on] }
}

/** The rows of the left for which a relation that may refer to it has none. */
export function withoutPartners(binding: Binding, left: Relation, right: Relation): Relation {
  const partners = existing(binding, right)
  if (partners !== undefined) return { kind: 'match', anti: true, left, ...partners }
  const counted = countsOf(binding, { left, right, tests: [null] })
  return productOf([counted.relation], [operation('=', counted.counts[0], zero)])
}

/** There is a row of the one if and only if there is a row of the other: groups are never empty, LIMIT 1 leaves one. */
function rowsAtAll(binding: Binding, relation: Relation): Relation {
  const { setReturning } = binding.facts
  switch (relation.kind) {
    case 'project':
      return returnsSets(relation.columns, setReturning)
        ? relation
        : rowsAtAll(binding, relation.input)
    case 'aggregate':
      return relation.keys.length === 0 ? relation : rowsAtAll(binding, relation.input)
    case 'top':
      return relation.offset === null && leavesSome(relation.limit)
        ? rowsAtAll(binding, relation.input)
        : relation
    default:
      return relation
  }
}

const leavesSome = (limit: Expression | null): boolean =>
  limit === null || ('A_Const' in limit && (limit.A_Const.ival?.ival ?? 0) > 0)

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
function testOf({ testexpr, operName, location }: SubLink, ids: readonly ColumnId[]): Expression {
  const left = must(testexpr, 'IN, ANY and ALL have something on their left')
  const columns = ids.map((id) => columnOf(id))
  const name = operName ?? [{ String: { sval: '=' } }]
  const [only] = columns
  if (only === undefined) throw new NoRule('a subquery without columns', location ?? null)
  const sign = name.at(-1)
  // The server prints one operator for all columns; rows are equal where each of their columns is.
  if ('RowExpr' in left && sign !== undefined && 'String' in sign && sign.String.sval === '=') {
    const values = left.RowExpr.args ?? []
    return both(
      values.map((value, at) => operation('=', value, must(columns[at], 'rows are as wide'))),
    )
  }
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
      const right = bindLink(binding, link, scope)
      const partners = existing(binding, right)
      if (partners !== undefined) return markOf(binding, { test: 'exists', left, ...partners })
      const counted = countsOf(binding, { left, right, tests: [null] })
      return { relation: counted.relation, value: operation('>', counted.counts[0], zero) }
    }
    case 'ANY_SUBLINK':
      return anyOf(binding, { link, left, scope }, (test) => test)
    case 'ALL_SUBLINK': {
      const { relation, value } = anyOf(binding, { link, left, scope }, not)
      return { relation, value: not(value) }
    }
    case 'EXPR_SUBLINK':
      return scalarOf(binding, { left, right: bindLink(binding, link, scope) })
    case 'ARRAY_SUBLINK':
      return arrayOf(binding, { link, left, scope })
    default:
      throw new NoRule(`a subquery of kind ${link.subLinkType ?? 'unknown'}`, link.location ?? null)
  }
}

const zero: Expression = { A_Const: { ival: {} } }

const not = (arg: Expression): Expression => ({ BoolExpr: { boolop: 'NOT_EXPR', args: [arg] } })

const isTrue = (arg: Expression): Expression => ({
  BooleanTest: { arg, booltesttype: 'IS_TRUE' },
})

/** Whether a test is true for some row: NULL when it is for none, but NULL for some. */
function anyOf(
  binding: Binding,
  { link, left, scope }: Link,
  change: (test: Expression) => Expression,
): Joined {
  const right = bindLink(binding, link, scope)
  const partners = partnersOf(binding, right)
  if (partners !== undefined) {
    const test = change(testOf(link, partners.columns))
    // A row that is no partner says nothing, not even that it is not known.
    const on = [...partners.on.map((condition) => isTrue(condition)), test]
    return markOf(binding, { test: 'any', left, right: partners.right, on })
  }
  const test = change(testOf(link, columnsOf(right)))
  const counted = countsOf(binding, { left, right, tests: [test, isNull(test)] })
  const [yes, unknown] = counted.counts.map((count) => operation('>', count, zero))
  const when = (expr: Expression, result: Expression): Expression => ({
    CaseWhen: { expr, result },
  })
  return {
    relation: counted.relation,
    value: {
      CaseExpr: {
        args: [
          when(must(yes, 'a count'), truth(true)),
          when(must(unknown, 'a count'), unknownTruth),
        ],
        defresult: truth(false),
      },
    },
  }
}

const truth = (boolval: boolean): Expression => ({
  A_Const: { boolval: boolval ? { boolval } : {} },
})

const unknownTruth: Expression = {
  TypeCast: {
    arg: { A_Const: { isnull: true } },
    typeName: { names: [{ String: { sval: 'bool' } }], typemod: -1 },
  },
}

/** For each row of the left how many rows of the right meet each test; null is met by all. */
function countsOf(
  binding: Binding,
  {
    left,
    right,
    tests,
  }: {
    readonly left: Relation
    readonly right: Relation
    readonly tests: readonly [Expression | null, ...Expression[]]
  },
): { readonly relation: Relation; readonly counts: readonly [Expression, ...Expression[]] } {
  const call = (test: Expression | null): Output => ({
    id: binding.fresh('found'),
    expression: {
      FuncCall: {
        funcname: [{ String: { sval: 'count' } }],
        agg_star: true,
        funcformat: 'COERCE_EXPLICIT_CALL',
        ...(test === null ? {} : { agg_filter: test }),
      },
    },
  })
  const [first, ...more] = tests
  const [one, ...others] = [call(first), ...more.map((test) => call(test))] as const
  const counts: Relation = { kind: 'aggregate', input: right, keys: [], calls: [one, ...others] }
  return {
    relation: pulledLateral(binding, { left, right: counts, outer: true }),
    counts: [columnOf(one.id), ...others.map(({ id }) => columnOf(id))],
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
  const facts = {
    ...binding.facts,
    aggregates: new Set([...binding.facts.aggregates, 'array_agg']),
  }
  const aggregated = arrayAsAggregate(subselect.SelectStmt)
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
  if (isOneAtMost(right, binding))
    return { relation: besides(binding, left, right), value: columnOf(value) }
  if (givesAtMostOne(right, binding)) return leftJoin(left, right, value)
  const only = onlyOf(binding, right, value)
  const [result] = columnsOf(only)
  return {
    relation: besides(binding, left, only),
    value: columnOf(must(result, 'one column')),
  }
}

/** Each row of the left beside the only row of the right, or NULLs where there is none. */
function besides(binding: Binding, left: Relation, right: Relation): Relation {
  if (freeIn(right).size > 0) return pulledLateral(binding, { left, right, outer: true })
  return givesOneRow(right, binding)
    ? productOf([left, right], [])
    : { kind: 'outer', full: false, left, right, on: [] }
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

/** One row or none, as the query says itself: an aggregate without keys, of which HAVING asks something, or LIMIT 1. */
function isOneAtMost(relation: Relation, { facts }: Binding): boolean {
  const { core } = peel(relation, facts.setReturning)
  if (core.kind === 'aggregate') return core.keys.length === 0
  if (core.kind !== 'top' || core.per.length > 0 || core.ties) return false
  return core.limit !== null && 'A_Const' in core.limit && core.limit.A_Const.ival?.ival === 1
}

/** At most one row: a table of which every column of a key is compared with something from outside. */
function givesAtMostOne(relation: Relation, { facts }: Pick<Binding, 'facts'>): boolean {
  if (relation.kind === 'project') {
    const calls = relation.columns.some(({ expression }) =>
      nodesOf(expression).some(({ kind }) => kind === 'FuncCall'),
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
  const own = new Set(columnsOf(scan))
  return ownEqualSides(condition).flatMap(([side, other]) => {
    const id = columnIn(side)
    const column = scan.columns.find((each) => each.id === id)
    const outside = ![...columnsIn(other)].some((each) => own.has(each))
    return column !== undefined && outside ? [column.name] : []
  })
}
