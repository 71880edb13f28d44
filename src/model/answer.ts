/**
 * How an answer came about. `hit`: from a tier, true within the bound. `miss`: it was loaded for this call, or
 * for another one that this call joined. `stale`: its time had run out or it was expired, and it is being renewed.
 * `fallback`: whether it is still true could not be found out in time; it is the last that is known.
 */
export type AnswerState = 'hit' | 'miss' | 'stale' | 'fallback'

/** Where the value of an answer came from. */
export type AnswerTier = 'memory' | 'shared' | 'source'

/** What a cache answers. */
export interface Answer<Value> {
  readonly value: Value
  readonly state: AnswerState
  readonly tier: AnswerTier
  /** Milliseconds since the value was loaded. */
  readonly ageMs: number
  /**
   * The snapshot that the load began with, as `pg_snapshot` text: the value reflects every commit that it sees.
   * Null where no database stands behind the cache.
   */
  readonly tidemark: string | null
}
