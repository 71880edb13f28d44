import type { FuncCall } from 'libpg-query'
import type { ColumnType } from '../model/view.ts'
import type { Expression } from './expression.ts'
import { columnOf, columnsIn } from './expression.ts'
import { functionName } from './functions.ts'
import { scalesOf } from './numeric-scale.ts'
import type { Aggregate } from './relation.ts'
import type { Stage } from './stages.ts'
import { treeText } from './walk.ts'

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

/**
 * Plans how the aggregates of a stage follow from what changed: sums and counts by weight, minimum and maximum by the
 * better value. Null when one of them has no such rule; groups are then computed afresh.
 *
 * Floats are never added up so: what is taken away again would leave its rounding behind.
 */
export function accumulationOf(
  { core }: Stage,
  typeOf: (expression: Expression) => ColumnType,
): Accumulation | null {
  if (core.kind !== 'aggregate') return null
  if (core.keys.some(({ expression }) => !typeOf(expression).imageEqual)) return null
  const plan = new Plan(typeOf)
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
  readonly #inputs = new Map<string, { readonly name: string; readonly expression: Expression }>()
  readonly #columns = new Map<string, Accumulator>()
  readonly #distinct = new Map<
    string,
    { base: Omit<DistinctValues, 'accumulators'>; own: Map<string, Accumulator> }
  >()
  readonly #special = new Set<string>()
  readonly #results: { id: string; sql: string }[] = []

  constructor(typeOf: (expression: Expression) => ColumnType) {
    this.#typeOf = typeOf
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
    const name = functionName(call)
    const [argument, another] = call.args ?? []
    if (another !== undefined || call.agg_within_group === true || call.func_variadic === true)
      return false
    const where = call.agg_filter === undefined ? [] : [this.#input(call.agg_filter)]
    const put = (sql: string): true => {
      this.#results.push({ id, sql })
      return true
    }
    if (name === 'tidemark.first' && isNever(call)) {
      return argument === undefined ? false : put(`null::${this.#typeOf(argument).type}`)
    }
    if (name === 'count' && argument === undefined) return put(this.#count(where))
    if (argument === undefined) return false
    const type = this.#typeOf(argument)
    const value = this.#input(argument)
    const present = [...where, `${value} is not null`]
    if (call.agg_distinct === true)
      return this.#distinctCall({ name, value, type, present, put, argument })
    if (name === 'count') return put(this.#count(present))
    if (/^(bool_and|bool_or|every)$/.test(name)) {
      const [yes, no] = [this.#count([...where, value]), this.#count([...where, `not ${value}`])]
      const first =
        name === 'bool_or'
          ? `when ${yes} > 0 then true when ${no} > 0 then false`
          : `when ${no} > 0 then false when ${yes} > 0 then true`
      return put(`case ${first} end`)
    }
    if (name === 'min' || name === 'max') {
      if (!type.imageEqual) return false
      return put(this.#extremum({ name, value, type, where }))
    }
    if (name !== 'sum' && name !== 'avg') return false
    const sum = this.#sum({ value, argument, type, present })
    if (sum === null) return false
    const count = this.#count(present)
    return put(resultOfSum(name, { sum, count, type }))
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
    return this.#column('count', {
      type: 'bigint',
      change: `coalesce(sum(w)${filtered(conditions)}, 0)`,
      total: `count(*)${filtered(conditions)}`,
      merge: 'add',
      gone: null,
    })
  }

  #extremum({
    name,
    value,
    type,
    where,
  }: {
    name: 'min' | 'max'
    value: string
    type: ColumnType
    where: readonly string[]
  }): string {
    return this.#column(name, {
      type: declared(type),
      change: `${name}(${value})${filtered([...where, 'w > 0'])}`,
      total: `${name}(${value})${filtered(where)}`,
      merge: name === 'min' ? 'least' : 'greatest',
      gone: `${name}(${value})${filtered([...where, 'w < 0'])}`,
    })
  }

  /** The sum as a numeric that looks as PostgreSQL's own would; null when it cannot be told. */
  #sum({
    value,
    argument,
    type,
    present,
  }: {
    value: string
    argument: Expression
    type: ColumnType
    present: readonly string[]
  }): string | null {
    if (integers.includes(type.type)) {
      return this.#column('sum', {
        type: 'numeric',
        change: `coalesce(sum(${value}::numeric * w)${filtered(present)}, 0)`,
        total: `coalesce(sum(${value})${filtered(present)}, 0)`,
        merge: 'add',
        gone: null,
      })
    }
    if (!/^numeric(\(|$)/.test(type.type)) return null
    const scales = scalesOf(argument, this.#typeOf)
    const odd = [
      `${value} = 'NaN'`,
      // A numeric with a scale of its own is never infinite.
      ...(type.type === 'numeric' ? [`abs(${value}) = 'Infinity'`] : []),
      ...(scales === null ? [`scale(${value}) > ${String(finestScale)}`] : []),
    ].join(' or ')
    this.#special.add(this.#count([...present, `(${odd})`]))
    const plain = [...present, `not (${odd})`]
    const sum = this.#column('sum', {
      type: 'numeric',
      change: `coalesce(sum(${value} * w)${filtered(plain)}, 0)`,
      total: `coalesce(sum(${value})${filtered(plain)}, 0)`,
      merge: 'add',
      gone: null,
    })
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

  #distinctCall({
    name,
    value,
    type,
    present,
    put,
    argument,
  }: {
    name: string
    value: string
    type: ColumnType
    present: readonly string[]
    put: (sql: string) => true
    argument: Expression
  }): boolean {
    if (!type.imageEqual || !type.hashable) return false
    if (name === 'min' || name === 'max')
      return put(this.#extremum({ name, value, type, where: present }))
    if (name !== 'count' && name !== 'sum' && name !== 'avg') return false
    const key = `${value} ${present.join(' and ')}`
    const found = this.#distinct.get(key) ?? {
      base: { number: this.#distinct.size + 1, value, type, counts: present.join(' and ') },
      own: new Map<string, Accumulator>(),
    }
    this.#distinct.set(key, found)
    const prefix = `distinct ${String(found.base.number)} `
    const count = columnIn(found.own, `${prefix}count`, {
      type: 'bigint',
      change: 'coalesce(sum(w), 0)',
      total: 'count(*)',
      merge: 'add',
      gone: null,
    })
    if (name === 'count') return put(count)
    const scales = integers.includes(type.type) ? [0] : scalesOf(argument, this.#typeOf)
    const [only, another] = scales ?? []
    if (
      only === undefined ||
      another !== undefined ||
      !/^(smallint|integer|bigint|numeric)/.test(type.type)
    )
      return false
    const sum = columnIn(found.own, `${prefix}sum`, {
      type: 'numeric',
      change: 'coalesce(sum(value::numeric * w), 0)',
      total: 'coalesce(sum(value), 0)',
      merge: 'add',
      gone: null,
    })
    // NaN is one value more that cannot be added up.
    if (!integers.includes(type.type)) return false
    return put(resultOfSum(name, { sum, count, type }))
  }
}

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
