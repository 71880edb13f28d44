import { leftLateral } from './lateral.ts'
import type { Binding, Scope } from './scope.ts'
import { withoutPartners } from './subquery.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { both, columnOf, never, substituted } from '../algebra/expression.ts'
import { productOf } from '../algebra/product.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'

/** A full join of which subqueries ask for both sides. */
export interface FullJoin {
  readonly left: Relation
  readonly right: Relation
  /** The conditions without subqueries. */
  readonly on: readonly Expression[]
  /** Those with, as they are written: names in subqueries are looked up where these are bound. */
  readonly nested: readonly Expression[]
  readonly scope: Scope
}

/**
 * A FULL JOIN B ON c is A LEFT JOIN B ON c and, beside it, the rows of B for which there is no row of A that meets c,
 * with NULLs for the columns of A. From then on the scope knows the columns of both sides by what the union calls them.
 */
export function askingBothSides(binding: Binding, join: FullJoin): Relation {
  const { left, right, on, nested, scope } = join
  const meeting = (side: Relation): Relation =>
    binding.where(binding, { relation: productOf([side], on), condition: both(nested), scope })
  const sides = [...columnsOf(left), ...columnsOf(right)]
  const shown = (input: Relation): Relation => ({
    kind: 'project',
    input,
    columns: sides.map((id): Output => ({ id: binding.fresh(id), expression: columnOf(id) })),
  })
  const lonely = withoutPartners(binding, right, meeting(left))
  const branches = [
    leftLateral(binding, left, meeting(right)),
    // By a join that nothing meets, so that the NULLs are of the types of the columns.
    { kind: 'outer', full: false, left: lonely, right: left, on: [never] } as const,
  ]
  const columns = sides.map((id) => binding.fresh(id))
  rename(scope, new Map(sides.map((id, at) => [id, columnOf(columns[at] ?? id)])))
  return { kind: 'union', inputs: branches.map(shown), columns }
}

function rename(scope: Scope, ids: ReadonlyMap<ColumnId, Expression>): void {
  for (const [alias, table] of scope.tables) scope.tables.set(alias, substituted(table, ids))
  for (const [name, value] of scope.merged) scope.merged.set(name, substituted(value, ids))
}
