import type { InvalidationRequest, News, Position } from '../model/invalidation.ts'

/**
 * Where the invalidations of a namespace stand in order, for all nodes: in PostgreSQL, or in the shared store.
 *
 * Law: a look that has returned tells every invalidation that was acknowledged, and every commit that was visible,
 * before it was sent.
 */
export interface Journal {
  /** What came after `since`; null asks only where the journal stands. Rejects when it cannot be read. */
  readonly look: (since: Position | null) => Promise<News>
  /** Whether a look also tells the journal what this node has taken in, so that news are to be followed by one. */
  readonly hearsBack: boolean
  /** Writes an invalidation down, durably as far as the journal is; resolves when others can see it. */
  readonly append: (request: InvalidationRequest) => Promise<Position>
  /** Resolves when every node that may answer from its memory has taken in `position`. */
  readonly settled: (position: Position) => Promise<void>
  /** The snapshot of the database as it is now, as `pg_snapshot` text; null where there is none. */
  readonly snapshot: () => Promise<string | null>
  /** Calls back when there may be news; returns what ends that. A hint may be lost: it only saves time. */
  readonly onHint: (listener: () => void) => () => void
  /** Ends its connections; a second call does nothing. */
  readonly close: () => Promise<void>
}
