import type { ColumnType } from '../../model/view.ts'
import type { Node, SortBy } from 'libpg-query'
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

/** A call with an order of its input that leaves nothing to choose. */
export function orderedCall(
  call: Expression,
  typeOf: (expression: Expression) => ColumnType,
): Expression {
  if (!('FuncCall' in call)) return call
  const { agg_within_group, agg_distinct, agg_star, args = [], agg_order = [] } = call.FuncCall
  const name = functionName(call.FuncCall)
  if (agg_within_group === true || agg_star === true || agg_distinct === true) return call
  if (name === 'count' || args.length === 0) return call
  const types = args.map((argument) => typeOf(argument))
  if (orderless.test(name) && types.every(({ imageEqual }) => imageEqual)) return call
  if (sums.test(name) && types.every(({ float }) => !float)) return call
  // Values that look different and are equal, 0 and -0, are added up alike.
  const order = sums.test(name) && types.every(({ type }) => isFloat(type)) ? inOrder : textOrder
  const more = args.map((argument, at): Node => ({ SortBy: order(argument, types[at]) }))
  return { FuncCall: { ...call.FuncCall, agg_order: [...agg_order, ...more] } }
}

const isFloat = (type: string): boolean => type === 'double precision' || type === 'real'

const inOrder = (node: Expression): SortBy => ({
  node,
  sortby_dir: 'SORTBY_DEFAULT',
  sortby_nulls: 'SORTBY_NULLS_DEFAULT',
})

const asText = (node: Expression): Expression => ({
  TypeCast: { arg: node, typeName: { names: [{ String: { sval: 'text' } }], typemod: -1 } },
})

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
