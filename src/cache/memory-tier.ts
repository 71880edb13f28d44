import { LRUCache } from 'lru-cache'
import type { EntryKey } from '../model/invalidation.ts'
import type { Ledger, Moment, TagRecord } from './ledger.ts'

/**
 * An entry as a process keeps it. Times are of the monotonic clock, in whole milliseconds: small integers, which take no
 * memory of their own.
 */
export interface MemoryEntry {
  readonly value: unknown
  /** The moment noted before its load began. */
  readonly at: Moment
  readonly tags: readonly TagRecord[]
  readonly loadedAt: number
  /** From here on the first reader has it renewed, before its time runs out (see {@link renewalTime}). */
  renewAt: number
  /** Set to the past when the entry is expired by its key. */
  freshUntil: number
  /** Until here it may be served while it is renewed, or when it cannot be. */
  readonly staleUntil: number
  readonly tidemark: string | null
  /** The node that loaded it. */
  readonly node: string
}

/** The same text in one piece: what was put together of pieces keeps them all, which is more than half of a short key. */
const flat = (key: EntryKey): EntryKey => Buffer.from(key).toString() as EntryKey

/** Before every moment that the clock tells. */
export const longAgo = -1

/**
 * The entries of one process, the least recently used of which go first.
 *
 * An entry that is dropped gives its tags back to the ledger; entries are stored with tags that were held for them.
 */
export class MemoryTier {
  readonly #entries: LRUCache<EntryKey, MemoryEntry>

  constructor(entriesMax: number, ledger: Ledger) {
    this.#entries = new LRUCache({
      max: entriesMax,
      dispose: (entry) => {
        ledger.release(entry.tags)
      },
    })
  }

  /** How many entries there are. */
  get size(): number {
    return this.#entries.size
  }

  /** The entry of a key, whatever its standing. */
  get(key: EntryKey): MemoryEntry | undefined {
    return this.#entries.get(key)
  }

  /** The same, without counting as a use. */
  peek(key: EntryKey): MemoryEntry | undefined {
    return this.#entries.peek(key)
  }

  /** Stores an entry; it holds its tags from here on. `sent`: the key has gone to a server, and is in one piece since. */
  set(key: EntryKey, entry: MemoryEntry, sent: boolean): void {
    this.#entries.set(sent ? key : flat(key), entry)
  }

  /** Lets the time of an entry be over: it may be served only while it is renewed. */
  expire(key: EntryKey): void {
    const entry = this.peek(key)
    if (entry !== undefined) entry.freshUntil = entry.renewAt = longAgo
  }

  /** Drops the entry of a key. */
  delete(key: EntryKey): void {
    this.#entries.delete(key)
  }
}

/**
 * When an entry is renewed ahead of its end: a random time before it, the further the longer a load takes. Of many
 * processes one comes first and the others find what it stored, so an entry that is in demand never runs out.
 * Drawn once for an entry in a process, for there one load serves all readers.
 *
 * Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015 (XFetch),
 * with β = `eagerness`; 0 renews at the end of the time.
 */
export function renewalTime(
  { freshUntil, loadMs }: { readonly freshUntil: number; readonly loadMs: number },
  { eagerness }: { readonly eagerness: number },
  { random }: { readonly random: () => number },
): number {
  if (eagerness === 0) return freshUntil
  return Math.floor(freshUntil + loadMs * eagerness * Math.log(1 - random()))
}

/**
 * Freezes a value through and through, so that a reader cannot change what the next one gets. Plain objects and arrays
 * only: what has a class of its own (dates, maps, buffers) cannot be frozen to any effect.
 */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null && !Array.isArray(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) frozen(part)
  return value
}
