import type { AnswerState } from '../../model/answer.ts'

/** A read of a history. Times are of one clock that counts what begins and ends; later ones are greater. */
export interface ReadRecord {
  readonly node: number
  readonly key: string
  readonly beganAt: number
  readonly endedAt: number
  /** The version of the source that it was given. */
  readonly version: number
  readonly state: AnswerState
}

/** An invalidation of a history, asked for after a version was written, or the commit of that. */
export interface InvalidationRecord {
  readonly key: string
  readonly version: number
  readonly by: 'remove' | 'expire' | 'set' | 'commit'
  /** When it was acknowledged; infinite if it was not. */
  readonly acknowledgedAt: number
}

/** What happened in a run, by all nodes. */
export interface History {
  readonly reads: readonly ReadRecord[]
  readonly invalidations: readonly InvalidationRecord[]
  /** How many times an entry was loaded anew because somebody asked for that, whatever was there. */
  readonly renewals: number
  /** How many entries were loaded before anybody asked for them. */
  readonly warmed: number
}

/** What no cache may do, and this one did. */
export type Violation =
  | { readonly kind: 'stale'; readonly read: ReadRecord; readonly missed: InvalidationRecord }
  | { readonly kind: 'backwards'; readonly read: ReadRecord; readonly before: ReadRecord }

/**
 * Finds what is wrong with a history: a read that began after an invalidation was acknowledged and yet returned what was
 * there before it; a read of a node that returned less than an earlier one of the same node had. Answers that say themselves
 * that they may be old (`fallback`, `stale`) are left out.
 */
export function checkHistory({
  reads,
  invalidations,
}: Pick<History, 'reads' | 'invalidations'>): Violation[] {
  const claims = reads.filter(({ state }) => state === 'hit' || state === 'miss')
  return claims.flatMap((read): Violation[] => {
    const missed = invalidations.find(
      ({ key, version, acknowledgedAt }) =>
        key === read.key && acknowledgedAt < read.beganAt && version > read.version,
    )
    if (missed !== undefined) return [{ kind: 'stale', read, missed }]
    const before = claims.find(
      ({ node, key, endedAt, version }) =>
        node === read.node && key === read.key && endedAt < read.beganAt && version > read.version,
    )
    return before === undefined ? [] : [{ kind: 'backwards', read, before }]
  })
}
