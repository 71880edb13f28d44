import type { Binding } from './bind-scope.ts'
import { freeIn } from './bind-scope.ts'
import type { ColumnId, Expression } from './expression.ts'
import { columnIn, columnOf, columnsIn, operation, substituted } from './expression.ts'
import { functionName } from './functions.ts'
import { peel } from './peel.ts'
import { isWithin, productOf } from './product.ts'
import type { Aggregate, Output, Relation } from './relation.ts'
import { columnsOf } from './relation.ts'

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
  return (
    pulledKeyed(binding, lateral) ?? {
      kind: 'apply',
      outer: lateral.outer,
      left: lateral.left,
      right: lateral.right,
    }
  )
}

function pulledKeyed(binding: Binding, { left, right, outer }: Lateral): Relation | undefined {
  const { core, outputs, having } = peel(right, binding.facts.setReturning)
  if (having.some((condition) => !isWithin(condition, core))) return undefined
  if (core.kind !== 'aggregate' && core.kind !== 'top' && core.kind !== 'window') return undefined
  const pulled = equalitiesOf(binding, core.input)
  if (pulled === undefined || pulled.keys.length === 0) return undefined
  const keys = pulled.keys.map(({ inner }): Output => ({
    id: binding.fresh('key'),
    expression: columnOf(inner),
  }))
  const on = (ids: readonly ColumnId[]): readonly Expression[] =>
    pulled.keys.map(({ outer: value }, at) => operation('=', columnOf(ids[at] ?? ''), value))
  const keyIds = keys.map(({ id }) => id)
  if (core.kind === 'aggregate') {
    const aggregate: Aggregate = { ...core, input: pulled.relation, keys: [...keys, ...core.keys] }
    if (core.keys.length > 0)
      return joined({ left, right: filtered(aggregate, having), outer, on: on(keyIds), outputs })
    const whenEmpty = emptyValues(core)
    if (whenEmpty === undefined || having.length > 0) return undefined
    const values = outputs.map(({ id, expression }) => ({
      id,
      expression: substituted(expression, whenEmpty),
    }))
    return joined({ left, right: aggregate, outer: true, on: on(keyIds), outputs: values })
  }
  // The keys are columns of what is ordered, so they come along.
  const inner = pulled.keys.map((key) => key.inner)
  const keyed: Relation =
    core.kind === 'top'
      ? { ...core, input: pulled.relation, per: [...inner.map((id) => columnOf(id)), ...core.per] }
      : {
          ...core,
          input: pulled.relation,
          partition: [...inner.map((id) => columnOf(id)), ...core.partition],
        }
  // A LIMIT over DISTINCT ON would need two keys at once.
  if (core.kind === 'top' && core.per.length > 0) return undefined
  return joined({ left, right: filtered(keyed, having), outer, on: on(inner), outputs })
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
  const kept = columnsOf(left).map((id): Output => ({ id, expression: columnOf(id) }))
  return { kind: 'project', input: input, columns: [...kept, ...outputs] }
}

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

interface Equalities {
  readonly relation: Relation
  readonly keys: readonly { readonly inner: ColumnId; readonly outer: Expression }[]
}

/**
 * Takes the conditions `inner = outer` out of a relation, so that it stands by itself and the inner sides are columns
 * of it. Undefined when it depends on the query around it in another way.
 */
function equalitiesOf(binding: Binding, relation: Relation): Equalities | undefined {
  if (freeIn(relation).size === 0) return { relation, keys: [] }
  if (relation.kind === 'project') {
    const below = equalitiesOf(binding, relation.input)
    if (below === undefined) return undefined
    const exposed = below.keys.map(({ inner }) => ({
      id: binding.fresh('key'),
      expression: columnOf(inner),
    }))
    const result: Relation = {
      ...relation,
      input: below.relation,
      columns: [...relation.columns, ...exposed],
    }
    if (freeIn(result).size > 0) return undefined
    return {
      relation: result,
      keys: below.keys.map(({ outer }, at) => ({ inner: exposed[at]?.id ?? '', outer })),
    }
  }
  if (relation.kind === 'outer' && !relation.full) return ofLeft(binding, relation)
  if (relation.kind === 'match' || relation.kind === 'mark') return ofLeft(binding, relation)
  if (relation.kind !== 'product') return undefined
  return ofProduct(binding, relation)
}

function ofLeft(
  binding: Binding,
  relation: Extract<Relation, { kind: 'outer' | 'match' | 'mark' }>,
): Equalities | undefined {
  const below = equalitiesOf(binding, relation.left)
  if (below === undefined) return undefined
  const result: Relation = { ...relation, left: below.relation }
  return freeIn(result).size > 0 ? undefined : { relation: result, keys: below.keys }
}

function ofProduct(
  binding: Binding,
  relation: Extract<Relation, { kind: 'product' }>,
): Equalities | undefined {
  const keys: { inner: ColumnId; outer: Expression }[] = []
  const inputs: Relation[] = []
  for (const input of relation.inputs) {
    const below = equalitiesOf(binding, input)
    if (below === undefined) return undefined
    inputs.push(below.relation)
    keys.push(...below.keys)
  }
  const where: Expression[] = []
  const computed: Output[] = []
  const whole: Relation = { ...relation, inputs, where: [] }
  for (const condition of relation.where) {
    const sides = equality(condition)
    const found = sides?.find(
      ([inner, outer]) =>
        isWithin(inner, whole) && columnsIn(inner).size > 0 && isOutside(outer, whole),
    )
    if (isWithin(condition, whole)) where.push(condition)
    else if (found === undefined) return undefined
    else {
      const [inner, outer] = found
      const plain = columnIn(inner)
      const id = plain ?? binding.fresh('key')
      if (plain === null) computed.push({ id, expression: inner })
      keys.push({ inner: id, outer })
    }
  }
  const result: Relation = { kind: 'product', inputs, where }
  if (freeIn(result).size > 0) return undefined
  if (computed.length === 0) return { relation: result, keys }
  const kept = columnsOf(result).map((id): Output => ({ id, expression: columnOf(id) }))
  return { relation: { kind: 'project', input: result, columns: [...kept, ...computed] }, keys }
}

const isOutside = (expression: Expression, relation: Relation): boolean => {
  const given = new Set(columnsOf(relation))
  return ![...columnsIn(expression)].some((id) => given.has(id))
}

type Sides = readonly (readonly [Expression, Expression])[]

/** Both ways to read `a = b`; undefined for anything else. */
function equality(condition: Expression): Sides | undefined {
  if (!('A_Expr' in condition) || condition.A_Expr.kind !== 'AEXPR_OP') return undefined
  const { name, lexpr, rexpr } = condition.A_Expr
  const [sign] = name ?? []
  if (name?.length !== 1 || sign === undefined || !('String' in sign) || sign.String.sval !== '=')
    return undefined
  if (lexpr === undefined || rexpr === undefined) return undefined
  return [
    [lexpr, rexpr],
    [rexpr, lexpr],
  ]
}
