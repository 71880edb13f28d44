import type { BindFacts } from './facts.ts'
import type { ColumnId, Expression } from './expression.ts'
import { columnIn } from './expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Relation, Scan } from './relation.ts'
import { columnsOf } from './relation.ts'

/**
 * The columns of a relation that are never NULL, as far as that can be told: a column that is not among them may be.
 * Rests on NOT NULL, without which a column makes its views unknown until they are compiled anew (`lost_not_null`), and on
 * conditions that NULL does not meet.
 */
export function notNullIn(relation: Relation, facts: BindFacts): ReadonlySet<ColumnId> {
  const known = memo.get(relation)
  if (known !== undefined) return known
  const found = new Set(compute(relation, facts))
  memo.set(relation, found)
  return found
}

const memo = new WeakMap<Relation, ReadonlySet<ColumnId>>()

function compute(relation: Relation, facts: BindFacts): Iterable<ColumnId> {
  switch (relation.kind) {
    case 'scan':
      return notNullOfScan(relation, facts)
    case 'rows':
    case 'whole':
      return []
    case 'product':
      return [
        ...relation.inputs.flatMap((input) => [...notNullIn(input, facts)]),
        ...relation.where.flatMap((condition) => provenBy(condition)),
      ]
    case 'project':
      return given(relation.columns, notNullIn(relation.input, facts))
    case 'aggregate': {
      const below = notNullIn(relation.input, facts)
      const calls = relation.keys.length === 0 ? [] : relation.calls
      return [
        ...given([...relation.keys, ...relation.calls], below),
        ...calls.filter(({ expression }) => isOfValues(expression, below)).map(({ id }) => id),
      ]
    }
    case 'window':
    case 'top':
    case 'moving':
    case 'partition':
      return notNullIn(relation.input, facts)
    case 'outer':
    case 'apply':
      return relation.kind === 'outer' && relation.full ? [] : notNullIn(relation.left, facts)
    case 'match':
    case 'mark':
      return [
        ...notNullIn(relation.left, facts),
        ...(relation.kind === 'mark' && relation.test === 'exists' ? [relation.id] : []),
      ]
    case 'union':
      return relation.columns.filter((_, at) =>
        relation.inputs.every((input) => {
          const id = columnsOf(input)[at]
          return id !== undefined && notNullIn(input, facts).has(id)
        }),
      )
    case 'set':
      return relation.columns.filter((_, at) => {
        const id = columnsOf(relation.left)[at]
        return id !== undefined && notNullIn(relation.left, facts).has(id)
      })
  }
}

function notNullOfScan({ of, columns }: Scan, facts: BindFacts): readonly ColumnId[] {
  if (of.kind === 'stage') {
    const notNull = notNullIn(of.is, facts)
    return columns.filter(({ name }) => notNull.has(name)).map(({ id }) => id)
  }
  const table = [...facts.tables.values()].find(
    ({ target }) => target.kind === of.kind && target.name === of.name,
  )
  const notNull = new Set(table?.columns.filter((column) => column.notNull).map(({ name }) => name))
  return columns.filter(({ name }) => notNull.has(name)).map(({ id }) => id)
}

function given(
  columns: readonly { readonly id: ColumnId; readonly expression: Expression }[],
  below: ReadonlySet<ColumnId>,
): readonly ColumnId[] {
  return columns.filter(({ expression }) => isNotNull(expression, below)).map(({ id }) => id)
}

/** Whether an expression over columns of which some are never NULL is never NULL. */
export function isNotNull(expression: Expression, notNull: ReadonlySet<ColumnId>): boolean {
  const id = columnIn(expression)
  if (id !== null) return notNull.has(id)
  if ('A_Const' in expression) return expression.A_Const.isnull !== true
  if ('FuncCall' in expression) return functionName(expression.FuncCall) === 'count'
  if ('NullTest' in expression) return true
  if ('CoalesceExpr' in expression) {
    return (expression.CoalesceExpr.args ?? []).some((argument) => isNotNull(argument, notNull))
  }
  return false
}

/**
 * Whether a call over the rows of a group, of which there is one at least, is never NULL: no row is left out of it, and no
 * value is NULL.
 */
function isOfValues(call: Expression, below: ReadonlySet<ColumnId>): boolean {
  if (!('FuncCall' in call) || call.FuncCall.agg_filter !== undefined) return false
  const [argument, another] = call.FuncCall.args ?? []
  if (argument === undefined || another !== undefined) return false
  return /^(sum|avg|min|max)$/.test(functionName(call.FuncCall)) && isNotNull(argument, below)
}

const strict: readonly string[] = ['=', '<', '>', '<=', '>=', '<>']

/** The columns that are not NULL where a condition is met. */
function provenBy(condition: Expression): readonly ColumnId[] {
  if ('NullTest' in condition && condition.NullTest.nulltesttype === 'IS_NOT_NULL') {
    const id = condition.NullTest.arg === undefined ? null : columnIn(condition.NullTest.arg)
    return id === null ? [] : [id]
  }
  if (!('A_Expr' in condition) || condition.A_Expr.kind !== 'AEXPR_OP') return []
  const { name, lexpr, rexpr } = condition.A_Expr
  const [first, another] = name ?? []
  const operator = first !== undefined && 'String' in first ? (first.String.sval ?? '') : ''
  // An operator of a schema of somebody's own may do with NULL as it likes.
  if (another !== undefined || !strict.includes(operator)) return []
  return [lexpr, rexpr].flatMap((side) => {
    const id = side === undefined ? null : columnIn(side)
    return id === null ? [] : [id]
  })
}
