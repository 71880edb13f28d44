import type { EntryKey, Invalidation, JournalPlace, Tag } from '../model/invalidation.ts'
import type { LoadFailure } from './load-failure.ts'

/** What is asked of the shared store in one call. */
export interface SharedRead {
  readonly key: EntryKey
  /** The tags known before the load; those the store has never met are noted at its position. */
  readonly tags: readonly Tag[]
  /** A random name of the caller, under which it gets the lease when the entry is missing. */
  readonly holder: string
  /** For how long a lease is given. 0: none is asked for. */
  readonly leaseMs: number
  /** Take the lease even though the entry is there: it is to be renewed. */
  readonly renew: boolean
  /** For so long the caller has been asking already: a load that failed meanwhile failed for him too. 0: none did. */
  readonly waitedMs: number
}

/** An entry as the shared store keeps it. */
export interface SharedEntry {
  readonly payload: Uint8Array
  readonly tags: readonly Tag[]
  /** Milliseconds since the lease of its load was given, by the clock of the store. */
  readonly ageMs: number
  readonly standing: 'valid' | 'expired'
  /** Where the store stood when the lease of its load was given; null: it is never behind the journal, so nobody asks. */
  readonly leasedAt: JournalPlace | null
}

/** What the shared store answers; its place is how far it has followed the journal. */
export interface SharedAnswer extends JournalPlace {
  readonly entry: SharedEntry | null
  /** Whether the caller holds the lease now. */
  readonly leased: boolean
  /** A load that failed while the caller waited, by nothing outdated since its lease was given; then the lease is not given. */
  readonly failure: SharedFailure | null
}

/** A load of another node that failed. */
export interface SharedFailure extends LoadFailure {
  /** Milliseconds since then, at most, by the clock of the store. */
  readonly ageMs: number
}

/** A load to be told of as failed. */
export interface SharedFailing {
  readonly key: EntryKey
  readonly holder: string
  readonly failure: LoadFailure
  /** How long after its lease had come it failed. */
  readonly loadMs: number
  /** The store forgets it after this time. */
  readonly keepMs: number
}

/** An entry to be stored. */
export interface SharedFill {
  readonly key: EntryKey
  readonly holder: string
  readonly tags: readonly Tag[]
  readonly payload: Uint8Array
  /** The store forgets the entry after this time. */
  readonly keepMs: number
}

/** An entry that is there, not expired by its key, with the tags that were asked for and no others. */
export interface GlancedEntry extends SharedEntry {
  readonly leasedAt: JournalPlace
}

/** A valid entry, with the place at which the store has judged it. */
export interface JudgedEntry {
  readonly place: JournalPlace
  readonly entry: GlancedEntry
}

/**
 * Questions that change nothing and wait for nobody. Null: it takes {@link SharedStore.read} to answer, for there is no such entry, or
 * the store cannot tell.
 */
export interface SharedGlances {
  /** An entry as it is kept, for one who judges it himself. */
  readonly kept: (key: EntryKey, tags: readonly Tag[]) => Promise<GlancedEntry | null>
  /** A valid entry. */
  readonly judged: (key: EntryKey, tags: readonly Tag[]) => Promise<JudgedEntry | null>
}

/**
 * A tier that nodes share.
 *
 * Laws: an entry is answered only if none of its tags was invalidated, as far as the store has followed the journal,
 * since the lease of its load was given; a tag that the store has forgotten counts as invalidated now. `fill` stores
 * only for the holder of the lease, and makes the same comparison again in the same step. A failure is answered by the same comparison,
 * with the tags of the question.
 * Every call is bounded in time by who makes it.
 */
export interface SharedStore {
  /** Null: this store has no way that is cheaper than `read`. */
  readonly glances: SharedGlances | null
  readonly read: (request: SharedRead) => Promise<SharedAnswer>
  /** False: the lease was lost, or a tag was invalidated since it was given. */
  readonly fill: (fill: SharedFill) => Promise<boolean>
  /** Gives a lease back with what its load failed with, for those who wait. Does nothing where the lease was lost. */
  readonly fail: (failing: SharedFailing) => Promise<void>
  /** Gives a lease back without an entry, so that the next caller need not wait for its end. */
  readonly release: (key: EntryKey, holder: string) => Promise<void>
  /**
   * Moves the store along the journal, from `since` (what the store said) to `to`, with what was invalidated in between;
   * `everything` removes all entries. Does nothing if the store stands elsewhere than at `since`, and says where.
   */
  readonly follow: (step: FollowStep) => Promise<JournalPlace>
  readonly close: () => Promise<void>
}

/** A step of the shared store along the journal. */
export interface FollowStep {
  readonly since: JournalPlace
  readonly to: JournalPlace
  readonly everything: boolean
  readonly invalidations: readonly Invalidation[]
}
