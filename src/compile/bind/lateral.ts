import type { Binding } from './scope.ts'
import { freeIn, isBoundInward } from '../algebra/references.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import {
  both,
  columnIn,
  columnOf,
  columnsIn,
  operation,
  ownEqualSides,
  substituted,
} from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Peeled } from '../algebra/peel.ts'
import { peel } from '../algebra/peel.ts'
import { isWithin, productOf } from '../algebra/product.ts'
import type { Aggregate, Output, Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import { treeText } from '../syntax/walk.ts'

interface Lateral {
  readonly left: Relation
  /** Refers to columns of the left, within something that is stored. */
  readonly right: Relation
  /** Rows of the left without a partner are kept. */
  readonly outer: boolean
}

/**
 * Joins a relation that depends on the row of the left and groups, orders or limits: once for all rows of the left,
 * with the columns that they are compared by as further keys. Where the right depends otherwise, it is computed for
 * each row (`apply`). Gives the columns of the left and those of the right.
 */
export function pulledLateral(binding: Binding, lateral: Lateral): Relation {
  const { core, outputs, having } = peel(lateral.right, binding.facts.setReturning)
  const pulled =
    core.kind === 'aggregate' && core.keys.length === 0
      ? pulledScalar(binding, lateral, { core, outputs, having })
      : pulledKeyed(binding, lateral, { core, outputs, having })
  const { left, right, outer } = lateral
  return pulled ?? { kind: 'apply', outer, left, right }
}

/** The left with the rows of a relation that may refer to it; without any, with NULLs. */
export const leftLateral = (binding: Binding, left: Relation, right: Relation): Relation =>
  dependsInward(right, left)
    ? pulledLateral(binding, { left, right, outer: true })
    : { kind: 'outer', full: false, left, right, on: [] }

/** Whether a relation groups or limits by the row of the left; who refers further out is seen to further out. */
export function dependsInward(relation: Relation, left: Relation): boolean {
  const free = freeIn(relation)
  return isBoundInward(relation) && columnsOf(left).some((id) => free.has(id))
}

/** Parts of a query that depends on the row of the left, its core of the kind that is wanted. */
interface Parts<Core extends Relation> extends Omit<Peeled, 'core'> {
  readonly core: Core
}

/**
 * Rows that are found by the columns that they are compared by. Conditions with columns of the left say which of them
 * are partners; what is computed of a row is computed below the join, where a row without partner has none of it.
 */
function pulledKeyed(
  binding: Binding,
  { left, outer }: Lateral,
  { core, outputs, having }: Parts<Relation>,
): Relation | undefined {
  const standing = standingAlone(binding, core)
  if (standing === undefined || standing.keys.length === 0) return undefined
  const { relation, keys } = standing
  const own = having.filter((condition) => isWithin(condition, relation))
  const between = having.filter((condition) => !isWithin(condition, relation))
  if (outputs.some(({ expression }) => !isWithin(expression, relation))) return undefined
  const shown = new Set(outputs.map(({ id }) => id))
  const kept = columnsOf(relation)
    .filter((id) => !shown.has(id))
    .map((id): Output => ({ id, expression: columnOf(id) }))
  const partners: Relation = {
    kind: 'project',
    input: filtered(relation, own),
    columns: [...outputs, ...kept],
  }
  // A column that is shown and renamed at once would be another one above.
  if (
    outputs.some(
      ({ id, expression }) => columnsOf(relation).includes(id) && columnIn(expression) !== id,
    )
  )
    return undefined
  return joined({
    left,
    right: partners,
    outer,
    on: [...keys.map((key) => equalityOf(key)), ...between],
    outputs: outputs.map(({ id }) => ({ id, expression: columnOf(id) })),
  })
}

/**
 * An aggregate without keys gives a row even of nothing: for a row of the left without partner the values that
 * aggregates have over no rows, and no row, or NULLs, where these do not meet HAVING.
 */
function pulledScalar(
  binding: Binding,
  { left, outer }: Lateral,
  { core, outputs, having }: Parts<Aggregate>,
): Relation | undefined {
  const standing = standingAlone(binding, core.input)
  const whenEmpty = emptyValues(core)
  if (standing === undefined || standing.keys.length === 0 || whenEmpty === undefined)
    return undefined
  const keys = standing.keys.map(({ inner }): Output => ({
    id: binding.fresh('key'),
    expression: columnOf(inner),
  }))
  const aggregate: Aggregate = { ...core, input: standing.relation, keys }
  if (freeIn(aggregate).size > 0) return undefined
  const on = standing.keys.map((key, at) => equalityOf({ ...key, inner: keys[at]?.id ?? '' }))
  const met = having.map((condition) => substituted(condition, whenEmpty))
  const values = outputs.map(({ id, expression }): Output => {
    const value = substituted(expression, whenEmpty)
    return { id, expression: outer ? valueWhere(met, value) : value }
  })
  const sides = { kind: 'outer', full: false, left, right: aggregate, on } as const
  const input: Relation = outer || met.length === 0 ? sides : productOf([sides], met)
  return { kind: 'project', input, columns: [...identities(left), ...values] }
}

/** A value where conditions are met, else NULL. */
function valueWhere(conditions: readonly Expression[], value: Expression): Expression {
  const [first, another] = conditions
  if (first === undefined) return value
  const expr = another === undefined ? first : both(conditions)
  return { CaseExpr: { args: [{ CaseWhen: { expr, result: value } }] } }
}

const filtered = (relation: Relation, having: readonly Expression[]): Relation =>
  having.length === 0 ? relation : productOf([relation], having)

interface Join {
  readonly left: Relation
  readonly right: Relation
  readonly outer: boolean
  readonly on: readonly Expression[]
  /** Columns that the right was to give, over those that it gives now. */
  readonly outputs: readonly Output[]
}

function joined({ left, right, outer, on, outputs }: Join): Relation {
  const input: Relation = outer
    ? { kind: 'outer', full: false, left, right, on }
    : productOf([left, right], on)
  return { kind: 'project', input, columns: [...identities(left), ...outputs] }
}

const identities = (relation: Relation): readonly Output[] =>
  columnsOf(relation).map((id) => ({ id, expression: columnOf(id) }))

const zeroWhenEmpty: readonly string[] = ['count', 'regr_count']
const nullWhenEmpty =
  /^(sum|avg|min|max|bool_and|bool_or|every|string_agg|array_agg|jsonb?_agg|jsonb?_object_agg|stddev(_pop|_samp)?|var(iance|_pop|_samp)|corr|covar_(pop|samp)|regr_(avgx|avgy|intercept|r2|slope|sxx|sxy|syy)|bit_(and|or|xor)|percentile_(cont|disc)|mode|any_value|range_agg|range_intersect_agg|tidemark\.first)$/

/** What aggregate calls give over no rows; undefined when that is not known of one. */
function emptyValues({ calls }: Aggregate): ReadonlyMap<ColumnId, Expression> | undefined {
  const values = new Map<ColumnId, Expression>()
  for (const { id, expression } of calls) {
    const name = 'FuncCall' in expression ? functionName(expression.FuncCall) : ''
    if (zeroWhenEmpty.includes(name)) {
      values.set(id, { CoalesceExpr: { args: [columnOf(id), { A_Const: { ival: {} } }] } })
    } else if (!nullWhenEmpty.test(name)) return undefined
  }
  return values
}

/** A column of a relation and what outside of it that is compared with. */
interface KeyPair {
  readonly inner: ColumnId
  readonly outer: Expression
}

const equalityOf = ({ inner, outer }: KeyPair): Expression => operation('=', columnOf(inner), outer)

interface Standing {
  readonly relation: Relation
  readonly keys: readonly KeyPair[]
}

/** A relation that stands by itself, with the conditions under which its rows are those for a row outside of it. */
export function decorrelated(
  binding: Binding,
  relation: Relation,
): { readonly relation: Relation; readonly on: readonly Expression[] } | undefined {
  const standing = standingAlone(binding, relation)
  return standing === undefined
    ? undefined
    : { relation: standing.relation, on: standing.keys.map((key) => equalityOf(key)) }
}

/**
 * Takes the conditions `inner = outer` out of a relation, so that it stands by itself and the inner sides are columns
 * of it: for each row outside, the rows that the relation had are those of the result with `inner = outer`. What groups,
 * numbers or limits rows does so for each value of the inner sides, which a row outside meets one of at most. Undefined
 * when the relation depends on the query around it in another way, or gives a row even of no rows.
 */
function standingAlone(binding: Binding, relation: Relation): Standing | undefined {
  if (freeIn(relation).size === 0) return { relation, keys: [] }
  const standing = withoutOutside(binding, relation)
  return standing === undefined || freeIn(standing.relation).size > 0 ? undefined : standing
}

function withoutOutside(binding: Binding, relation: Relation): Standing | undefined {
  switch (relation.kind) {
    case 'product':
      return ofProduct(binding, relation)
    case 'project':
    case 'aggregate':
      return ofColumns(binding, relation)
    case 'window':
    case 'top': {
      // WITH TIES after OFFSET counts rows and their ranks at once.
      if (relation.kind === 'top' && relation.ties && relation.offset !== null) return undefined
      const below = standingAlone(binding, relation.input)
      if (below === undefined) return undefined
      const inner = below.keys.map((key) => columnOf(key.inner))
      return {
        relation: partitioned({ ...relation, input: below.relation }, inner),
        keys: below.keys,
      }
    }
    case 'outer':
      return relation.full ? undefined : ofLeft(binding, relation)
    case 'match':
    case 'mark':
      return ofLeft(binding, relation)
    case 'union':
    case 'set':
      return ofSides(binding, relation)
    default:
      return undefined
  }
}

/** The keys come along as columns, by which an aggregate groups as well. */
function ofColumns(
  binding: Binding,
  relation: Extract<Relation, { kind: 'project' | 'aggregate' }>,
): Standing | undefined {
  if (relation.kind === 'aggregate' && relation.keys.length === 0) return undefined
  const below = standingAlone(binding, relation.input)
  if (below === undefined) return undefined
  const exposed = below.keys.map(({ inner }): Output => ({
    id: binding.fresh('key'),
    expression: columnOf(inner),
  }))
  const input = below.relation
  return {
    relation:
      relation.kind === 'project'
        ? { ...relation, input, columns: [...relation.columns, ...exposed] }
        : { ...relation, input, keys: [...exposed, ...relation.keys] },
    keys: below.keys.map(({ outer }, at) => ({ inner: exposed[at]?.id ?? '', outer })),
  }
}

/** Rows numbered, or limited, for each value of further keys. */
function partitioned(
  relation: Extract<Relation, { kind: 'window' | 'top' }>,
  by: readonly Expression[],
): Relation {
  if (relation.kind === 'top') return { ...relation, per: [...by, ...relation.per] }
  const calls = relation.calls.map(({ id, expression }): Output => {
    if (!('FuncCall' in expression)) return { id, expression }
    const { over = {} } = expression.FuncCall
    const partitionClause = [...by, ...(over.partitionClause ?? [])]
    return {
      id,
      expression: { FuncCall: { ...expression.FuncCall, over: { ...over, partitionClause } } },
    }
  })
  return { ...relation, calls, partition: [...by, ...relation.partition] }
}

function ofLeft(
  binding: Binding,
  relation: Extract<Relation, { kind: 'outer' | 'match' | 'mark' }>,
): Standing | undefined {
  const below = standingAlone(binding, relation.left)
  return below === undefined
    ? undefined
    : { relation: { ...relation, left: below.relation }, keys: below.keys }
}

/** Branches that are compared with the same outside: the keys are columns of each, and of the whole. */
function ofSides(
  binding: Binding,
  relation: Extract<Relation, { kind: 'union' | 'set' }>,
): Standing | undefined {
  const inputs = relation.kind === 'union' ? relation.inputs : [relation.left, relation.right]
  const sides = inputs.map((input) => {
    const standing = standingAlone(binding, input)
    return standing === undefined
      ? undefined
      : { input, ...standing, keys: sortedKeys(standing.keys) }
  })
  const found = sides.filter((side) => side !== undefined)
  const [first] = found
  const outers = (keys: readonly KeyPair[]): string => treeText(keys.map(({ outer }) => outer))
  if (first === undefined || found.length < sides.length) return undefined
  if (found.some(({ keys }) => outers(keys) !== outers(first.keys))) return undefined
  const [one, other, ...more] = found.map(({ input, relation: standing, keys }): Relation => ({
    kind: 'project',
    input: standing,
    columns: [...columnsOf(input), ...keys.map(({ inner }) => inner)].map((id) => ({
      id: binding.fresh('side'),
      expression: columnOf(id),
    })),
  }))
  const keys = first.keys.map(({ outer }) => ({ inner: binding.fresh('key'), outer }))
  const columns = [...relation.columns, ...keys.map(({ inner }) => inner)]
  if (one === undefined || other === undefined) return undefined
  return {
    relation:
      relation.kind === 'union'
        ? { ...relation, inputs: [one, other, ...more], columns }
        : { ...relation, left: one, right: other, columns },
    keys,
  }
}

const sortedKeys = (keys: readonly KeyPair[]): readonly KeyPair[] =>
  [...keys].sort((one, other) => (treeText(one.outer) < treeText(other.outer) ? -1 : 1))

function ofProduct(
  binding: Binding,
  relation: Extract<Relation, { kind: 'product' }>,
): Standing | undefined {
  const below = relation.inputs.map((input) => standingOrWithin(binding, input, relation))
  const found = below.filter((each) => each !== undefined)
  if (found.length < below.length) return undefined
  const inputs = found.map((each) => each.relation)
  const whole: Relation = { kind: 'product', inputs, where: [] }
  const conditions = [...relation.where]
  const keys: KeyPair[] = []
  // What one input is compared with may be a column of another one.
  for (const key of found.flatMap((each) => each.keys)) {
    if (isWithin(key.outer, whole)) conditions.push(equalityOf(key))
    else keys.push(key)
  }
  const where: Expression[] = []
  const computed: Output[] = []
  for (const condition of conditions) {
    const pair = ownEqualSides(condition).find(
      ([inner, outer]) =>
        isWithin(inner, whole) && columnsIn(inner).size > 0 && isOutside(outer, whole),
    )
    if (isWithin(condition, whole)) where.push(condition)
    else if (pair === undefined) return undefined
    else {
      const [inner, outer] = pair
      const plain = columnIn(inner)
      const id = plain ?? binding.fresh('key')
      if (plain === null) computed.push({ id, expression: inner })
      keys.push({ inner: id, outer })
    }
  }
  const result: Relation = { kind: 'product', inputs, where }
  if (computed.length === 0) return { relation: result, keys }
  const columns = [...identities(result), ...computed]
  return { relation: { kind: 'project', input: result, columns }, keys }
}

/** An input that refers to those before it alone stays as it is, unless it groups or limits. */
function standingOrWithin(
  binding: Binding,
  input: Relation,
  product: Extract<Relation, { kind: 'product' }>,
): Standing | undefined {
  const given = new Set(columnsOf(product))
  const within = [...freeIn(input)].every((id) => given.has(id))
  return within && !isBoundInward(input)
    ? { relation: input, keys: [] }
    : standingAlone(binding, input)
}

const isOutside = (expression: Expression, relation: Relation): boolean => {
  const given = new Set(columnsOf(relation))
  return ![...columnsIn(expression)].some((id) => given.has(id))
}
