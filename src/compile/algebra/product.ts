import type { Expression } from './expression.ts'
import { columnsIn } from './expression.ts'
import type { Relation } from './relation.ts'
import { columnsOf } from './relation.ts'

/** A product, products within it dissolved. */
export function productOf(inputs: readonly Relation[], where: readonly Expression[]): Relation {
  const parts = inputs.flatMap((input) => (input.kind === 'product' ? input.inputs : [input]))
  const conditions = inputs.flatMap((input) => (input.kind === 'product' ? input.where : []))
  const [only, another] = parts
  if (only !== undefined && another === undefined && conditions.length + where.length === 0) {
    return only
  }
  return { kind: 'product', inputs: parts, where: [...conditions, ...where] }
}

/** Whether an expression refers to columns of a relation alone. */
export const isWithin = (expression: Expression, relation: Relation): boolean => {
  const given = new Set(columnsOf(relation))
  return [...columnsIn(expression)].every((id) => given.has(id))
}
