import type { GroupName, RelationName } from './ids.ts'

/** What a reader may think of a view. `unknown`: its sources are not captured, or it was cut loose. */
export type State = 'fresh' | 'stale' | 'very_stale' | 'unknown' | 'never_populated'

/** A row of `tidemark.freshness`: the truth about one view at the instant of asking. */
export interface Freshness {
  readonly view: RelationName
  readonly group: GroupName
  readonly state: State
  /** Why the state is not `fresh`; null when it is. */
  readonly reason: string | null
  /** Age of the oldest commit to any base source that the view does not reflect; null when unknown. */
  readonly stalenessMs: number | null
  /** The same against the direct inputs only, as far as these have come themselves. */
  readonly localStalenessMs: number | null
  readonly targetMs: number
  readonly oldestUnreflectedAt: Date | null
  /** The instant that the data takes for now. */
  readonly asOf: Date | null
  /** The last instant at which the view is known to have been fresh. */
  readonly confirmedFreshAt: Date | null
  readonly lastRefreshAt: Date | null
  readonly lastDurationMs: number | null
  readonly rows: number | null
  readonly strategy: 'incremental' | 'partition' | 'full'
  readonly method: 'refresh' | 'diff'
  readonly policy: 'deadline' | 'eager' | 'budget'
  readonly pausedReason: string | null
  readonly quarantineReason: string | null
  /** Whom the running refresh waits for, if it waits. */
  readonly waitingFor: string | null
  readonly nextDueAt: Date | null
}
