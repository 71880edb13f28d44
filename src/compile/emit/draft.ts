import type { SourceShape } from '../../model/capture.ts'
import type { RelationName } from '../../model/ids.ts'
import type { CanonicalQuery, ColumnType } from '../../model/view.ts'
import type { BindFacts } from '../algebra/facts.ts'
import type { ReadView } from './inputs.ts'
import type { Expression } from '../algebra/expression.ts'
import type { Relation } from '../algebra/relation.ts'
import type { Stage } from '../algebra/stages.ts'
import type { TypeProbe } from './type-probes.ts'
import type { Spot } from '../syntax/written-place.ts'

/** A query to be maintained from what changes. */
export interface IncrementalWish {
  readonly view: RelationName
  readonly query: CanonicalQuery
  /** The tables that are captured. */
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  readonly timeZone: string
  readonly uniqueIndexes: boolean
  /** Whether sums of floats are those of their values as decimals, so that they can be added to and taken from. */
  readonly floatSums?: 'exact' | 'approximate'
  /** Key by which a full refresh pairs rows. */
  readonly key: readonly string[] | null
  /** The maintained views among those that it reads which tell what changes in them. */
  readonly inputs?: readonly ReadView[]
  /** Others read it, and want to know what changes. */
  readonly publishes?: boolean
}

/** Why a query, or a part of it, is not maintained from what changed. */
export interface Obstacle {
  readonly reason: string
  /** What it is about, the first that is found counts; left out where no place in the query is to blame. */
  readonly at?: readonly Spot[]
}

/** A query bound and cut into stages; what is missing are the types of some expressions. */
export interface IncrementalDraft {
  readonly wish: IncrementalWish
  readonly facts: BindFacts
  /** The query as a whole, before it is cut. */
  readonly relation: Relation
  readonly stages: readonly Stage[]
  readonly names: readonly string[]
  readonly probes: readonly TypeProbe[]
  /** Parts for which there is no rule: computed as a whole when something that they read has changed. */
  readonly obstacles: readonly Obstacle[]
  readonly strategy: 'incremental' | 'partition'
  /** What the types of expressions forbid. */
  readonly judgeTypes: (typeOf: (expression: Expression) => ColumnType) => readonly Obstacle[]
}
