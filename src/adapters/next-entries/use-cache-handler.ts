import { createHash, randomUUID } from 'node:crypto'
import { decodePayload } from '../../cache/payload.ts'
import type { SharedAnswer, SharedEntry } from '../../cache/shared-store.ts'
import type { EntryKey } from '../../model/invalidation.ts'
import type { NextComputed, NextRedis } from './next-redis.ts'
import { nowMs, tagsOf } from './next-redis.ts'

/** An entry as Next.js hands it over. Times are seconds, `timestamp` milliseconds. */
export interface NextCacheEntry {
  value: ReadableStream<Uint8Array>
  tags: string[]
  stale: number
  timestamp: number
  expire: number
  revalidate: number
}

/** Entries that are being computed here. */
const leasesMax = 10_000

/** What `'use cache'` computes, by its own law: {@link nextCacheHandler} states it. */
export class UseCacheHandler {
  readonly #redis: NextRedis
  readonly #holder: string = randomUUID()
  /** When each lease came. */
  readonly #leases = new Map<EntryKey, number>()
  /** What is being handed over here, until Redis has answered. */
  readonly #setting = new Map<EntryKey, Promise<void>>()

  constructor(redis: NextRedis) {
    this.#redis = redis
  }

  async get(cacheKey: string, softTags: readonly string[]): Promise<NextCacheEntry | undefined> {
    const key = this.#keyOf(cacheKey)
    await this.#setting.get(key)
    // Before the entry: what is stored between the two looks was computed later.
    const soft = await this.#redis.standing(key, softTags)
    if (soft === null) return undefined
    const answer = await this.#read(key, softTags, soft === 'removed')
    const found = answer?.entry ?? null
    if (found === null || soft === 'removed') return undefined
    if (this.#redis.owes([...softTags, ...tagsOf(found)])) return undefined
    const entry = nextEntry(found)
    const renew = soft === 'expired' || found.standing === 'expired'
    if (entry === undefined || !(renew || isOver(entry))) return entry
    // Next.js computes it anew behind this answer, which is to be kept.
    await this.#read(key, softTags, true)
    return renew ? { ...entry, revalidate: -1 } : entry
  }

  /**
   * Resolves when the entry is complete, not when Redis has it: until then Next.js gives it to whoever asks, and does not ask {@link get}
   * what was revalidated meanwhile. That one waits for Redis to have answered: it may take the lease, under which this one is kept.
   */
  async set(cacheKey: string, pendingEntry: Promise<NextCacheEntry>): Promise<void> {
    const key = this.#keyOf(cacheKey)
    const complete = this.#complete(key, pendingEntry)
    const setting = complete
      .then((computed) => (computed === null ? undefined : this.#redis.fill(computed)))
      .catch(() => undefined)
      .finally(() => {
        if (this.#setting.get(key) === setting) this.#setting.delete(key)
      })
    this.#setting.set(key, setting)
    await complete
  }

  /** Takes the lease as well when the entry is missing, or when it is to be computed anew. */
  async #read(
    key: EntryKey,
    tags: readonly string[],
    renew: boolean,
  ): Promise<SharedAnswer | null> {
    const answer = await this.#redis.read({ key, tags, holder: this.#holder, renew })
    if (answer?.leased === true) {
      this.#leases.delete(key)
      this.#leases.set(key, nowMs())
      const [oldest] = this.#leases.keys()
      if (this.#leases.size > leasesMax && oldest !== undefined) this.#leases.delete(oldest)
    }
    return answer
  }

  /** What is to be kept, once all of it is there; null: nothing. */
  async #complete(
    key: EntryKey,
    pendingEntry: Promise<NextCacheEntry>,
  ): Promise<NextComputed | null> {
    const { value, ...entry } = await pendingEntry
    const bytes = Buffer.from(await new Response(value).arrayBuffer())
    const leasedAt = this.#leases.get(key)
    // What was begun before the lease came may have read what was revalidated before it.
    if (leasedAt === undefined || leasedAt > entry.timestamp || entry.expire <= 0) return null
    this.#leases.delete(key)
    return {
      key,
      holder: this.#holder,
      tags: entry.tags,
      value: { ...entry, bytes },
      keepMs: entry.expire * 1_000,
      loadMs: nowMs() - entry.timestamp,
    }
  }

  #keyOf(cacheKey: string): EntryKey {
    return this.#redis.keyOf(createHash('sha256').update(cacheKey).digest('hex').slice(0, 32))
  }
}

const isOver = ({ timestamp, revalidate }: NextCacheEntry): boolean =>
  nowMs() > timestamp + revalidate * 1_000

/** What {@link UseCacheHandler.set} stored, dated by the age that the server tells: clocks of servers differ. */
function nextEntry({ payload, ageMs }: SharedEntry): NextCacheEntry | undefined {
  const { bytes, ...entry } = (decodePayload(payload)?.value ?? {}) as Partial<StoredEntry>
  if (bytes === undefined) return undefined
  const value = new Response(Buffer.from(bytes)).body
  if (value === null) return undefined
  return { ...(entry as Omit<StoredEntry, 'bytes'>), value, timestamp: nowMs() - ageMs }
}

type StoredEntry = Omit<NextCacheEntry, 'value'> & { readonly bytes: Uint8Array }
