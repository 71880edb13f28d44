import type { FuncCall } from 'libpg-query'
import type { ColumnType } from '../../model/view.ts'
import type { ColumnId, Expression } from './expression.ts'
import type { BindFacts } from './facts.ts'
import { isNotNull, notNullIn } from './nullability.ts'
import { columnOf, columnsIn } from './expression.ts'
import { functionName } from '../syntax/functions.ts'
import { scalesOf } from './numeric-scale.ts'
import type { Aggregate } from './relation.ts'
import type { Stage } from './stages.ts'
import { treeText } from '../syntax/walk.ts'
import { isPlain } from './determine.ts'

/** A column of the table of groups: what a group is known by without its rows. */
export interface Accumulator {
  readonly name: string
  readonly type: string
  /** SQL over rows of the input with their weight, `w`. */
  readonly change: string
  /** The same over rows that count once each. */
  readonly total: string
  /** Sums are added to; an extremum is replaced by a better one. */
  readonly merge: 'add' | 'least' | 'greatest'
  /** Of an extremum: SQL for the best of the values that went, by which it is seen that it may be lost. */
  readonly gone: string | null
}

/** Values of which each counts once: kept with how often they occur in each group. */
export interface DistinctValues {
  readonly number: number
  /** The column of the input's rows that has the value. */
  readonly value: string
  readonly type: ColumnType
  /** SQL: which rows count. */
  readonly counts: string
  /** What is added up when a value comes (`w` = 1) or goes (−1). */
  readonly accumulators: readonly Accumulator[]
}

/** How the aggregates of a stage are kept up by weight. */
export interface Accumulation {
  /** `expression as "name"`: what is needed of a row of the input, beside the key. */
  readonly inputs: readonly { readonly name: string; readonly expression: Expression }[]
  readonly accumulators: readonly Accumulator[]
  readonly distinct: readonly DistinctValues[]
  /** Columns of the table of groups that count rows which cannot be added up: where there are any, the group is computed afresh. */
  readonly special: readonly string[]
  /** What each call gives, as SQL over the columns of the table of groups. */
  readonly results: readonly { readonly id: string; readonly sql: string }[]
}

/** What decides how aggregates are kept up. */
interface AccumulatedFrom {
  readonly typeOf: (expression: Expression) => ColumnType
  readonly facts: BindFacts
}

/**
 * Plans how the aggregates of a stage follow from what changed: sums and counts by weight, minimum and maximum by the
 * better value. Null when one of them has no such rule; groups are then computed afresh.
 *
 * Floats are never added up as they are: what is taken away again would leave its rounding behind.
 */
export function accumulationOf(
  { core }: Stage,
  { typeOf, facts }: AccumulatedFrom,
): Accumulation | null {
  if (core.kind !== 'aggregate') return null
  if (core.keys.some(({ expression }) => !typeOf(expression).imageEqual)) return null
  const plan = new Plan(typeOf, notNullIn(core.input, facts))
  for (const { id, expression } of core.calls) {
    if (!('FuncCall' in expression) || !plan.add(id, expression.FuncCall)) return null
  }
  return plan.result()
}

const integers: readonly string[] = ['smallint', 'integer', 'bigint']

/** Sums by scale are counted up to this one; rows with a finer value are special. */
const finestScale = 6

class Plan {
  readonly #typeOf: (expression: Expression) => ColumnType
  /** Columns of the input that are never NULL. */
  readonly #notNull: ReadonlySet<ColumnId>
  readonly #inputs = new Map<string, { readonly name: string; readonly expression: Expression }>()
  readonly #columns = new Map<string, Accumulator>()
  readonly #distinct = new Map<
    string,
    { base: Omit<DistinctValues, 'accumulators'>; own: Map<string, Accumulator> }
  >()
  readonly #special = new Set<string>()
  readonly #results: { id: string; sql: string }[] = []

  constructor(typeOf: (expression: Expression) => ColumnType, notNull: ReadonlySet<ColumnId>) {
    this.#typeOf = typeOf
    this.#notNull = notNull
  }

  result(): Accumulation {
    return {
      inputs: [...this.#inputs.values()],
      accumulators: [...this.#columns.values()],
      distinct: [...this.#distinct.values()].map(({ base, own }) => ({
        ...base,
        accumulators: [...own.values()],
      })),
      special: [...this.#special],
      results: this.#results,
    }
  }

  /** Plans one call; false when it has no rule. */
  add(id: string, call: FuncCall): boolean {
    const sql = this.#resultOf(call)
    if (sql !== null) this.#results.push({ id, sql })
    return sql !== null
  }

  /** What a call gives, over the columns of the table of groups; null without a rule. */
  #resultOf(call: FuncCall): string | null {
    const name = functionName(call)
    const [argument, another] = call.args ?? []
    const plain = call.agg_within_group !== true && call.func_variadic !== true
    if (another !== undefined || !plain) return null
    const where = call.agg_filter === undefined ? [] : [this.#input(call.agg_filter)]
    if (argument === undefined) return name === 'count' ? this.#count(where) : null
    const type = this.#typeOf(argument)
    if (name === 'tidemark.first' && isNever(call)) return `null::${type.type}`
    const value = this.#input(argument)
    const hasNulls = !isNotNull(argument, this.#notNull)
    const given: Given = { name, argument, type, value, where, hasNulls }
    return call.agg_distinct === true ? this.#ofDistinct(given) : this.#ofAll(given)
  }

  #ofAll(given: Given): string | null {
    const { name, type } = given
    if (name === 'count') return this.#count(present(given))
    if (name === 'min' || name === 'max')
      return type.imageEqual ? this.#extremum(name, given) : null
    if (/^(bool_and|bool_or|every)$/.test(name)) return this.#truth(given)
    if (name !== 'sum' && name !== 'avg') return null
    if (type.addsUp === true) return this.#decimalSum(given)
    const sum = this.#sum(given)
    return sum === null
      ? null
      : resultOfSum(name, { sum, count: this.#count(present(given)), type })
  }

  #truth({ name, value, where }: Given): string {
    const [yes, no] = [this.#count([...where, value]), this.#count([...where, `not ${value}`])]
    return name === 'bool_or'
      ? `case when ${yes} > 0 then true when ${no} > 0 then false end`
      : `case when ${no} > 0 then false when ${yes} > 0 then true end`
  }

  #input(expression: Expression): string {
    const text = treeText(expression)
    const found = this.#inputs.get(text) ?? {
      name: `"value ${String(this.#inputs.size + 1)}"`,
      expression,
    }
    this.#inputs.set(text, found)
    return found.name
  }

  #column(kind: string, accumulator: Omit<Accumulator, 'name'>): string {
    return columnIn(this.#columns, kind, accumulator)
  }

  #count(conditions: readonly string[]): string {
    if (conditions.length === 0) return '"rows"'
    return this.#column('count', {
      type: 'bigint',
      change: `coalesce(sum(w)${filtered(conditions)}, 0)::bigint`,
      total: `count(*)${filtered(conditions)}`,
      merge: 'add',
      gone: null,
    })
  }

  #extremum(name: 'min' | 'max', { value, type, where }: Given): string {
    return this.#column(name, {
      type: declared(type),
      change: `${name}(${value})${filtered([...where, 'w > 0'])}`,
      total: `${name}(${value})${filtered(where)}`,
      merge: name === 'min' ? 'least' : 'greatest',
      gone: `${name}(${value})${filtered([...where, 'w < 0'])}`,
    })
  }

  /** The sum as a numeric that looks as PostgreSQL's own would; null when it cannot be told. */
  #sum(given: Given): string | null {
    const { type, value } = given
    if (type.type === 'bigint') return this.#added(`${value}::numeric * w`, value, given.where)
    if (integers.includes(type.type)) return this.#added(`${value}::bigint * w`, value, given.where)
    return /^numeric(\(|$)/.test(type.type) ? this.#numericSum(given) : null
  }

  #numericSum(given: Given): string {
    const { value, argument, type } = given
    const scales = scalesOf(argument, this.#typeOf)
    const addable = [
      // A numeric with a scale of its own is never infinite; NaN is greater than all others.
      type.type === 'numeric'
        ? `${value} > '-Infinity' and ${value} < 'Infinity'`
        : `${value} <> 'NaN'`,
      ...(scales === null ? [`scale(${value}) <= ${String(finestScale)}`] : []),
    ].join(' and ')
    this.#special.add(this.#count([...given.where, `not (${addable})`]))
    const plain = [...given.where, addable]
    // Nearly all rows come once or go once.
    const weighed = `case w when 1 then ${value} when -1 then -${value} else ${value} * w end`
    const sum = this.#added(weighed, value, plain)
    const possible = scales ?? Array.from({ length: finestScale + 1 }, (_, scale) => scale)
    const [only, another] = possible
    if (only !== undefined && another === undefined) return `round(${sum}, ${String(only)})`
    const cases = possible
      .toSorted((one, other) => other - one)
      .map(
        (scale) =>
          `when ${this.#count([...plain, `scale(${value}) = ${String(scale)}`])} > 0 then ${String(scale)}`,
      )
    return `round(${sum}, case ${cases.join(' ')} else 0 end)`
  }

  /** Computed afresh it would be the same: see `decimalSum` of determine.ts. */
  #decimalSum(given: Given): string {
    const { name, value, type, where } = given
    // NaN is greater than all others.
    const addable = `${value} > '-Infinity' and ${value} < 'Infinity'`
    this.#special.add(this.#count([...where, `not (${addable})`]))
    const decimal = `${value}::numeric`
    const sum = this.#added(`${decimal} * w`, decimal, [...where, addable])
    const count = this.#count(present(given))
    if (name === 'avg') return `case when ${count} > 0 then ${sum}::float8 / ${count}::float8 end`
    return `case when ${count} > 0 then ${sum}::${type.type} end`
  }

  #added(weighed: string, value: string, conditions: readonly string[]): string {
    return this.#column('sum', {
      type: 'numeric',
      change: `coalesce(sum(${weighed})${filtered(conditions)}, 0)`,
      total: `coalesce(sum(${value})${filtered(conditions)}, 0)`,
      merge: 'add',
      gone: null,
    })
  }

  #ofDistinct(given: Given): string | null {
    const { name, type, value } = given
    if (!type.imageEqual || !type.hashable) return null
    if (name === 'min' || name === 'max') return this.#extremum(name, given)
    const sums = name === 'sum' || name === 'avg'
    // NaN is one value more that cannot be added up.
    if (name !== 'count' && !(sums && integers.includes(type.type))) return null
    const counts = present(given).join(' and ') || 'true'
    const key = `${value} ${counts}`
    const found = this.#distinct.get(key) ?? {
      base: { number: this.#distinct.size + 1, value, type, counts },
      own: new Map<string, Accumulator>(),
    }
    this.#distinct.set(key, found)
    const prefix = `distinct ${String(found.base.number)} `
    const count = columnIn(found.own, `${prefix}count`, {
      type: 'bigint',
      change: 'coalesce(sum(w), 0)::bigint',
      total: 'count(*)',
      merge: 'add',
      gone: null,
    })
    if (name === 'count') return count
    const sum = columnIn(found.own, `${prefix}sum`, {
      type: 'numeric',
      change: 'coalesce(sum(value::numeric * w), 0)',
      total: 'coalesce(sum(value), 0)',
      merge: 'add',
      gone: null,
    })
    return resultOfSum(name === 'avg' ? 'avg' : 'sum', { sum, count, type })
  }
}

/** A call of one argument. */
interface Given {
  readonly name: string
  readonly argument: Expression
  readonly type: ColumnType
  /** The column of the input's rows that has the argument. */
  readonly value: string
  /** SQL: which rows count. */
  readonly where: readonly string[]
  /** It may be NULL, as far as can be told. */
  readonly hasNulls: boolean
}

/** A row with NULLs in it is a value all the same, though IS NOT NULL says otherwise of it. */
const present = ({ where, value, type, hasNulls }: Given): readonly string[] => [
  ...where,
  ...(hasNulls ? [isPlain(type) ? `${value} is not null` : `${value} is distinct from null`] : []),
]

function columnIn(
  columns: Map<string, Accumulator>,
  kind: string,
  accumulator: Omit<Accumulator, 'name'>,
): string {
  const text = `${accumulator.change} ${accumulator.merge}`
  const found = columns.get(text) ?? {
    ...accumulator,
    name: `"${kind} ${String(columns.size + 1)}"`,
  }
  columns.set(text, found)
  return found.name
}

const filtered = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : ` filter (where ${conditions.join(' and ')})`

/** A type as a column of a table has it. */
export const declared = ({ type, collation }: ColumnType): string =>
  collation === null ? type : `${type} collate ${collation}`

interface Summed {
  readonly sum: string
  readonly count: string
  readonly type: ColumnType
}

/** Over no values a sum is NULL, not 0. */
function resultOfSum(name: 'sum' | 'avg', { sum, count, type }: Summed): string {
  if (name === 'avg') return `case when ${count} > 0 then ${sum} / ${count}::numeric end`
  const small = type.type === 'smallint' || type.type === 'integer'
  return `case when ${count} > 0 then ${sum}${small ? '::bigint' : ''} end`
}

const isNever = ({ agg_filter }: FuncCall): boolean =>
  agg_filter !== undefined &&
  'A_Const' in agg_filter &&
  agg_filter.A_Const.boolval?.boolval !== true &&
  agg_filter.A_Const.boolval !== undefined

/** What the arguments of calls are made of: types decide how sums look. */
export function argumentsOf({ calls }: Aggregate): readonly Expression[] {
  const args = calls.flatMap(({ expression }) =>
    'FuncCall' in expression ? (expression.FuncCall.args ?? []) : [],
  )
  const columns = [...columnsIn(args)].map((id) => columnOf(id))
  const all = new Map([...args, ...columns].map((each) => [treeText(each), each]))
  return [...all.values()]
}
