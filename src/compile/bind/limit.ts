import type { SortBy } from 'libpg-query'
import { must } from '../../base/assert.ts'
import type { Binding, Scope } from './scope.ts'
import { resolved } from './scope.ts'
import { joinSubqueries } from './subquery.ts'
import type { Expression } from '../algebra/expression.ts'
import { columnOf, either, isNull, operation } from '../algebra/expression.ts'
import { productOf } from '../algebra/product.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'

/** LIMIT and OFFSET of what tables hold. */
interface Numbered {
  readonly input: Relation
  readonly scope: Scope
  readonly order: readonly SortBy[]
  readonly limit: Expression | null
  readonly offset: Expression | null
  readonly ties: boolean
}

/**
 * The first rows in an order, as many as a subquery says: rows are numbered, and those with numbers above OFFSET and up to
 * OFFSET and LIMIT together stay. A limit that is NULL is none. With ties the last is found by its rank: as many rows
 * come before it in the order.
 */
export function numberedTop(
  binding: Binding,
  { input, scope, order, limit, offset, ties }: Numbered,
): Relation {
  const bounds = [limit, offset].map((bound) => asBigint(resolved(bound ?? none, scope)))
  const joined = joinSubqueries(binding, { relation: input, expressions: bounds, scope })
  const most = must(joined.expressions[0], 'a limit')
  const before: Expression = {
    CoalesceExpr: { args: [must(joined.expressions[1], 'an offset'), zero] },
  }
  const place = numbering(binding, 'row_number', order)
  const rank = ties ? numbering(binding, 'rank', order) : place
  const numbered: Relation = {
    kind: 'window',
    input: joined.relation,
    partition: [],
    calls: [...new Set([place, rank])],
  }
  // Not `before + most`, which may be more than a bigint holds.
  const within = operation('<=', operation('-', columnOf(rank.id), before), most)
  const where = [
    operation('>', columnOf(place.id), before),
    either([within, isNull(most)]),
    // Of no rows none is the last, which others could tie with.
    ...(ties ? [either([operation('>', most, zero), isNull(most)])] : []),
  ]
  const columns = columnsOf(input).map((id): Output => ({ id, expression: columnOf(id) }))
  return { kind: 'project', input: productOf([numbered], where), columns }
}

const none: Expression = { A_Const: { isnull: true } }

const zero: Expression = { A_Const: { ival: {} } }

const asBigint = (arg: Expression): Expression => ({
  TypeCast: {
    arg,
    typeName: { names: [{ String: { sval: 'int8' } }], typemod: -1 },
  },
})

/** RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW, as the parser has it where nothing is said. */
const defaultFrame = 1058

const numbering = (binding: Binding, name: string, order: readonly SortBy[]): Output => ({
  id: binding.fresh(name),
  expression: {
    FuncCall: {
      funcname: [{ String: { sval: name } }],
      over: {
        orderClause: order.map((item) => ({ SortBy: item })),
        frameOptions: defaultFrame,
      },
      funcformat: 'COERCE_EXPLICIT_CALL',
    },
  },
})
