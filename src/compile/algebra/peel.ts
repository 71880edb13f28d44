import type { Expression } from './expression.ts'
import { columnOf, substituted } from './expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Output, Relation } from './relation.ts'
import { columnsOf } from './relation.ts'
import { nodesOf } from '../syntax/walk.ts'

/** A relation as projections and conditions over something else. */
export interface Peeled {
  readonly core: Relation
  /** The columns of the relation, over those of the core. */
  readonly outputs: readonly Output[]
  /** Conditions on rows of the core. */
  readonly having: readonly Expression[]
}

/** Takes the projections and conditions off a relation, one row for one: none that returns several rows. */
export function peel(relation: Relation, setReturning: ReadonlySet<string>): Peeled {
  if (relation.kind === 'project' && !returnsSets(relation.columns, setReturning)) {
    const { core, outputs, having } = peel(relation.input, setReturning)
    const below = new Map(outputs.map(({ id, expression }) => [id, expression]))
    return {
      core,
      having,
      outputs: relation.columns.map(({ id, expression }) => ({
        id,
        expression: substituted(expression, below),
      })),
    }
  }
  const [input] = relation.kind === 'product' ? relation.inputs : []
  if (relation.kind === 'product' && relation.inputs.length === 1 && input !== undefined) {
    const { core, outputs, having } = peel(input, setReturning)
    const below = new Map(outputs.map(({ id, expression }) => [id, expression]))
    const own = relation.where.map((condition) => substituted(condition, below))
    return { core, outputs, having: [...having, ...own] }
  }
  return {
    core: relation,
    outputs: columnsOf(relation).map((id) => ({ id, expression: columnOf(id) })),
    having: [],
  }
}

/** Whether one of the columns may return several rows. */
export const returnsSets = (
  columns: readonly Output[],
  setReturning: ReadonlySet<string>,
): boolean =>
  columns.some(({ expression }) =>
    nodesOf(expression).some(
      ({ kind, node }) => kind === 'FuncCall' && setReturning.has(functionName(node)),
    ),
  )
