import type { Obstacle } from '../compile/emit/draft.ts'
import type { StoredStage } from '../compile/emit/stored-stage.ts'
import { stageSummary } from '../compile/explain.ts'
import { isFields, nodesOf } from '../compile/syntax/walk.ts'
import type { QueryTexts, Spot } from '../compile/syntax/written-place.ts'
import { selectsIn } from '../compile/syntax/written-place.ts'

/** The parts of an incremental view that are computed afresh altogether when something that they read has changed. */
export function computedAltogether(
  stages: readonly StoredStage[],
  texts: QueryTexts,
): readonly Obstacle[] {
  return stages.flatMap((stored) => {
    const { core } = stored.stage
    if (stageSummary(stored).method !== 'all') return []
    if (core.kind === 'aggregate' || core.kind === 'window') {
      const what = core.kind === 'window' ? 'a window over all rows' : 'an aggregate over all rows'
      return [{ reason: what, at: core.calls.flatMap(({ expression }) => functionsIn(expression)) }]
    }
    if (core.kind === 'top') return [{ reason: 'the first of all rows' }]
    if (core.kind === 'apply')
      return [
        { reason: 'a subquery that is computed for each row and that no equality ties to it' },
      ]
    if (core.kind !== 'whole' || core.refused !== null) return []
    const names = core.reads.flatMap(({ of }) => (of.kind === 'stage' ? [] : [of]))
    if (core.copies === true) {
      return names.map((of): Obstacle => {
        const name = of.kind === 'member' ? of.member : of.name
        return { reason: `the rows of ${name}`, at: [{ kind: 'relation', name }] }
      })
    }
    return [{ reason: 'WITH RECURSIVE', at: recursions(texts) }]
  })
}

const functionsIn = (expression: unknown): readonly Spot[] =>
  nodesOf([expression]).flatMap(({ kind, node: { funcname } }): readonly Spot[] => {
    const last: unknown = kind === 'FuncCall' && Array.isArray(funcname) ? funcname.at(-1) : null
    const name = isFields(last) && isFields(last['String']) ? last['String']['sval'] : null
    return typeof name === 'string' ? [{ kind: 'function', name }] : []
  })

/** Where WITH RECURSIVE stands, in the query or in a view that it reads. */
const recursions = ({ printed, views }: QueryTexts): readonly Spot[] =>
  [printed, ...views.map(({ query }) => query)].flatMap(({ select }) =>
    selectsIn(select).flatMap((each): readonly Spot[] =>
      each.withClause?.recursive === true
        ? [{ kind: 'place', select: each, byte: each.withClause.location ?? 0 }]
        : [],
    ),
  )
