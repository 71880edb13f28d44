import type { EntryKey, Tag } from '../model/invalidation.ts'
import type { EntryOwner } from './cache-event.ts'

/** How long the entries of a kind live, and how long a reader waits for one. Milliseconds. */
export interface EntryTerms {
  /** An entry is fresh for this long, if nothing invalidates it. */
  readonly ttlMs: number
  /** After that, or after it was expired, it may be served for this long while it is renewed. */
  readonly staleMs: number
  /** A reader for whom there is a stale entry waits for a load no longer than this. */
  readonly softMs: number
  /** No reader waits longer than this. */
  readonly hardMs: number
  /** The β of renewal ahead of time; 0: never ahead. */
  readonly eagerness: number
}

/** What a load brought. */
export interface Loaded {
  readonly value: unknown
  /** Further tags, known only now. An invalidation of one since the load began counts. */
  readonly tags: readonly Tag[]
  /** How long this entry is fresh, if not as its kind says. */
  readonly ttlMs: number | null
  /** False: the value is given to who waits for it and not kept. */
  readonly store: boolean
}

/** Which entry is meant. */
export interface EntryAddress extends EntryOwner {
  readonly key: EntryKey
}

/** An entry that somebody wants to read, and how to get it. */
export interface EntryRequest extends EntryAddress {
  readonly tags: readonly Tag[]
  readonly terms: EntryTerms
  readonly load: () => Promise<Loaded>
  /** Whether nodes that wait for one another's load fail with it; else each loads for itself, one after the other. */
  readonly sharesFailures: boolean
}
