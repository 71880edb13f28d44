import type { ColumnType } from '../../model/view.ts'
import type { FuncCall, Node, SortBy } from 'libpg-query'
import type { Expression } from './expression.ts'
import { functionName } from '../syntax/functions.ts'

/*
 * Where SQL leaves PostgreSQL a choice, programs choose always alike, so that a row that was computed in a refresh
 * of few rows is the one that a refresh of all would compute.
 */

/** Whether a type is one of PostgreSQL's own: no row and no domain. */
export const isPlain = ({ type }: Pick<ColumnType, 'type'>): boolean => !type.includes('.')

/** SQL: whether there is no value. Of a row, IS NULL asks whether there is none in any of its fields. */
export const absentText = (sql: string, type: Pick<ColumnType, 'type'> | undefined): string =>
  type !== undefined && isPlain(type) ? `${sql} is null` : `${sql} is not distinct from null`

/** Types whose cast to text is what they look like. That of a char, or of a domain over it, drops blanks. */
const castWhole = /^(numeric|double precision|real|interval|jsonb|(.*\.)?citext)$/

/**
 * What a value looks like, as a text to order by: another one for each of several equal values that look different. Within
 * a row nothing is lost of any type.
 *
 * Nothing is appended to the cast for its own sake: of a citext that is grouped by, PostgreSQL 16 and later would take
 * the bare cast for the value itself, hold the input for sorted already, and let any of several spellings come first.
 */
export const imageText = (sql: string, { type }: ColumnType): string =>
  castWhole.test(type) ? `((${sql})::text || '')` : `row(${sql})::text`

/** One of equal values that may look different: the one whose text comes first. */
export const determined = (name: string, type: ColumnType): string =>
  type.imageEqual ? name : `tidemark.first(${name} order by ${imageText(name, type)} collate "C")`

/** Aggregates whose value does not depend on the order of their input, if their arguments look alike when equal. */
const orderless =
  /^(count|bool_and|bool_or|every|bit_and|bit_or|bit_xor|min|max|range_agg|range_intersect_agg|percentile_(cont|disc)|mode|rank|dense_rank|percent_rank|cume_dist|tidemark\.only)$/

/** Those that add up: exact, and so without an order, but for floats. */
const sums = /^(sum|avg|stddev(_pop|_samp)?|var(iance|_pop|_samp))$/

/** A call that leaves nothing to choose: with an order of its input, or as a sum that needs none. */
export function determinedCall(
  call: Expression,
  typeOf: (expression: Expression) => ColumnType,
): Expression {
  const own = 'FuncCall' in call ? call.FuncCall : null
  const [argument] = own?.args ?? []
  if (own === null || argument === undefined || own.agg_distinct === true)
    return orderedCall(call, typeOf)
  const name = functionName(own)
  const type = typeOf(argument)
  const adds = type.addsUp === true && (name === 'sum' || name === 'avg')
  return adds ? decimalSum(own, name, type) : orderedCall(call, typeOf)
}

function orderedCall(call: Expression, typeOf: (expression: Expression) => ColumnType): Expression {
  if (!('FuncCall' in call)) return call
  const { agg_within_group, agg_distinct, agg_star, args = [], agg_order = [] } = call.FuncCall
  const name = functionName(call.FuncCall)
  if (agg_within_group === true || agg_star === true || agg_distinct === true) return call
  if (name === 'count' || args.length === 0) return call
  const types = args.map((argument) => typeOf(argument))
  if (orderless.test(name) && types.every(({ imageEqual }) => imageEqual)) return call
  if (sums.test(name) && types.every(({ float }) => !float)) return call
  // Values that look different and are equal, 0 and -0, are added up alike.
  const order = sums.test(name) && types.every((type) => isFloat(type)) ? inOrder : textOrder
  const more = args.map((argument, at): Node => ({ SortBy: order(argument, types[at]) }))
  return { FuncCall: { ...call.FuncCall, agg_order: [...agg_order, ...more] } }
}

/** Whether a type is one of PostgreSQL's floats. */
export const isFloat = ({ type }: Pick<ColumnType, 'type'>): boolean =>
  type === 'double precision' || type === 'real'

const castTo = (arg: Expression, ...type: readonly string[]): Expression => ({
  TypeCast: { arg, typeName: { names: type.map((sval) => ({ String: { sval } })), typemod: -1 } },
})

/**
 * The sum of floats as decimals: of 15 digits, or 6 of a real, which is what PostgreSQL casts them to. These add up in any
 * order, and what is taken away leaves nothing behind.
 */
function decimalSum(call: FuncCall, name: 'sum' | 'avg', { type }: ColumnType): Expression {
  const args = (call.args ?? []).map((argument) => castTo(argument, 'pg_catalog', 'numeric'))
  const sum = { FuncCall: { ...call, funcname: [{ String: { sval: 'sum' } }], args } }
  if (name === 'sum') return castTo(sum, 'pg_catalog', type === 'real' ? 'float4' : 'float8')
  const count = { FuncCall: { ...call, funcname: [{ String: { sval: 'count' } }] } }
  return {
    A_Expr: {
      kind: 'AEXPR_OP',
      name: [{ String: { sval: '/' } }],
      lexpr: castTo(sum, 'pg_catalog', 'float8'),
      rexpr: castTo(count, 'pg_catalog', 'float8'),
    },
  }
}

const inOrder = (node: Expression): SortBy => ({
  node,
  sortby_dir: 'SORTBY_DEFAULT',
  sortby_nulls: 'SORTBY_NULLS_DEFAULT',
})

const asText = (node: Expression): Expression => castTo(node, 'text')

/** As {@link imageText} has it. */
const imageOf = (node: Expression, type: ColumnType | undefined): Expression =>
  type !== undefined && castWhole.test(type.type)
    ? {
        A_Expr: {
          kind: 'AEXPR_OP',
          name: [{ String: { sval: '||' } }],
          lexpr: asText(node),
          rexpr: { A_Const: { sval: { sval: '' } } },
        },
      }
    : asText({ RowExpr: { args: [node], row_format: 'COERCE_EXPLICIT_CALL' } })

const textOrder = (node: Expression, type: ColumnType | undefined): SortBy => ({
  node: { CollateClause: { arg: imageOf(node, type), collname: [{ String: { sval: 'C' } }] } },
  sortby_dir: 'SORTBY_DEFAULT',
  sortby_nulls: 'SORTBY_NULLS_DEFAULT',
})
