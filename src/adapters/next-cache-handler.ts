import { createHash, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import { passing, systemTiming as timing, within } from '../base/timing.ts'
import { Breaker } from '../cache/breaker.ts'
import type { Journal } from '../cache/journal.ts'
import { decodePayload, encodePayload } from '../cache/payload.ts'
import type { RedisLink } from '../cache/redis-link.ts'
import { redisJournal, redisStore, standingInRedis } from '../cache/redis-store.ts'
import type { SharedAnswer, SharedEntry, SharedStore } from '../cache/shared-store.ts'
import { redis } from '../engine/caches/cache-options.ts'
import type { StoreOption } from '../engine/caches/cache-options.ts'
import { linkOf } from '../engine/caches/store-link.ts'
import { namedTag } from '../invalidate/tags.ts'
import { TidemarkError } from '../model/errors.ts'
import type { EntryKey } from '../model/invalidation.ts'

export { redis }

/** An entry as Next.js hands it over. Times are seconds, `timestamp` milliseconds. */
export interface NextCacheEntry {
  value: ReadableStream<Uint8Array>
  tags: string[]
  stale: number
  timestamp: number
  expire: number
  revalidate: number
}

/** What Next.js 16 asks of a handler in `cacheHandlers`. */
export interface NextCacheHandler {
  readonly get: (cacheKey: string, softTags: string[]) => Promise<NextCacheEntry | undefined>
  readonly set: (cacheKey: string, pendingEntry: Promise<NextCacheEntry>) => Promise<void>
  readonly refreshTags: () => Promise<void>
  readonly getExpiration: (tags: string[]) => Promise<number>
  readonly updateTags: (tags: string[], durations?: { expire?: number }) => Promise<void>
}

/** Where the servers of an app keep what `'use cache'` computes. */
export interface NextCacheHandlerOptions {
  /** Of the app; caches of the same namespace share its tags, and must have no database behind them. */
  readonly namespace: string
  readonly store: StoreOption
}

/** A computation that takes longer is not kept. */
const leaseMs = 60_000
/** A call of Redis that takes longer has failed; one that nobody waits for may take longer. */
const callMs = 250
const behindMs = 2_000
/** `revalidateTag` rejects when Redis has not taken it by then. */
const updateMs = 5_000
const retry: Backoff = { baseMs: 50, maxMs: 1_000 }
const breakerLimits = { failuresMax: 3, openMs: 1_000 }
const keepMsMax = 30 * 86_400_000
/** Entries that are being computed here. */
const leasesMax = 10_000

/**
 * A handler for `cacheHandlers` of Next.js: what `'use cache'` computes is in Redis, for all servers of an app.
 *
 * Law: an entry is given only if, by one look at Redis, none of its tags and none of the path's was revalidated since before
 * its computation began. Nothing is kept in the process, so what was revalidated through one server and acknowledged is
 * given by none. While Redis does not answer nothing is given.
 */
export function nextCacheHandler(options: NextCacheHandlerOptions): NextCacheHandler {
  const handler = new RedisHandler(options.namespace, linkOf(options.store))
  return {
    get: (cacheKey, softTags) => handler.get(cacheKey, softTags),
    set: (cacheKey, pendingEntry) => handler.set(cacheKey, pendingEntry),
    refreshTags: () => Promise.resolve(),
    // Infinity: `get` is given the tags of the path, and compares them itself.
    getExpiration: () => Promise.resolve(Infinity),
    updateTags: (tags, durations) => handler.update(tags, durations?.expire ?? 0),
  }
}

class RedisHandler {
  readonly #namespace: string
  readonly #link: RedisLink
  readonly #store: SharedStore
  readonly #journal: Journal
  readonly #breaker = new Breaker(breakerLimits, timing)
  readonly #holder: string = randomUUID()
  /** When each lease came. */
  readonly #leases = new Map<EntryKey, number>()
  readonly #setting = new Map<EntryKey, Promise<void>>()
  /** Tags that Redis has not been told of yet. */
  readonly #owed = new Set<readonly string[]>()

  constructor(namespace: string, link: RedisLink) {
    this.#namespace = namespace
    this.#link = link
    this.#store = redisStore(link, namespace, timing)
    this.#journal = redisJournal(link, namespace, { maxLagMs: 0, timing })
  }

  async get(cacheKey: string, softTags: readonly string[]): Promise<NextCacheEntry | undefined> {
    const key = this.#keyOf(cacheKey)
    await this.#setting.get(key)
    // Before the entry: what is stored between the two looks was computed later.
    const soft = await this.#standing(key, softTags)
    if (soft === null) return undefined
    const answer = await this.#read(key, softTags, soft === 'removed')
    const found = answer?.entry ?? null
    if (found === null || soft === 'removed' || this.#owes([...softTags, ...tagsOf(found)])) {
      return undefined
    }
    const entry = nextEntry(found)
    const renew = soft === 'expired' || found.standing === 'expired'
    if (entry === undefined || !(renew || isOver(entry))) return entry
    // Next.js computes it anew behind this answer, which is to be kept.
    await this.#read(key, softTags, true)
    return renew ? { ...entry, revalidate: -1 } : entry
  }

  async set(cacheKey: string, pendingEntry: Promise<NextCacheEntry>): Promise<void> {
    const key = this.#keyOf(cacheKey)
    const setting = this.#keep(key, pendingEntry).finally(() => {
      if (this.#setting.get(key) === setting) this.#setting.delete(key)
    })
    this.#setting.set(key, setting)
    return setting
  }

  async update(tags: readonly string[], expire: number): Promise<void> {
    this.#owed.add(tags)
    const told = this.#tell(tags, expire > 0 ? 'expire' : 'remove')
    try {
      await within(timing, told, updateMs)
    } catch (cause) {
      throw new TidemarkError({
        code: 'TIDEMARK_CACHE_UNREACHABLE',
        what: 'The tags are revalidated in this process; other servers could not be told in time.',
        mend: 'It is tried again in the background. See whether Redis answers.',
        cause,
      })
    }
  }

  async #tell(tags: readonly string[], verb: 'remove' | 'expire'): Promise<void> {
    const request = { verb, tags: tags.map(namedTag), keys: [] }
    for (let attempt = 1; ; attempt += 1) {
      try {
        await within(timing, this.#journal.append(request), behindMs)
        this.#owed.delete(tags)
        return
      } catch {
        await passing(timing, backoffMs(retry, attempt, Math.random))
      }
    }
  }

  #owes(tags: readonly string[]): boolean {
    for (const owed of this.#owed) if (owed.some((tag) => tags.includes(tag))) return true
    return false
  }

  async #standing(key: EntryKey, softTags: readonly string[]) {
    if (softTags.length === 0) return 'valid'
    const of = { key, tags: softTags.map(namedTag) }
    return this.#breaker.attempt(() => standingInRedis(this.#link, this.#namespace, of), callMs)
  }

  /** Takes the lease as well when the entry is missing, or when it is to be computed anew. */
  async #read(
    key: EntryKey,
    softTags: readonly string[],
    renew: boolean,
  ): Promise<SharedAnswer | null> {
    const tags = softTags.map(namedTag)
    const question = { key, tags, holder: this.#holder, leaseMs, renew }
    const answer = await this.#breaker.attempt(() => this.#store.read(question), callMs)
    if (answer?.leased === true) {
      this.#leases.delete(key)
      this.#leases.set(key, nowMs())
      const [oldest] = this.#leases.keys()
      if (this.#leases.size > leasesMax && oldest !== undefined) this.#leases.delete(oldest)
    }
    return answer
  }

  async #keep(key: EntryKey, pendingEntry: Promise<NextCacheEntry>): Promise<void> {
    const { value, ...entry } = await pendingEntry
    const bytes = Buffer.from(await new Response(value).arrayBuffer())
    const leasedAt = this.#leases.get(key)
    // What was begun before the lease came may have read what was revalidated before it.
    if (leasedAt === undefined || leasedAt > entry.timestamp || entry.expire <= 0) return
    this.#leases.delete(key)
    const keepMs = Math.min(entry.expire * 1_000, keepMsMax)
    const loadMs = nowMs() - entry.timestamp
    const payload = encodePayload({
      value: { ...entry, bytes },
      ttlMs: keepMs,
      loadMs,
      tidemark: null,
      node: `${hostname()}:${process.pid}`,
    })
    const tags = entry.tags.map(namedTag)
    const fill = { key, holder: this.#holder, tags, payload, keepMs }
    await this.#breaker.attempt(() => this.#store.fill(fill), behindMs)
  }

  #keyOf(cacheKey: string): EntryKey {
    const digest = createHash('sha256').update(cacheKey).digest('hex').slice(0, 32)
    return `${this.#namespace}:next:${digest}` as EntryKey
  }
}

/** By the clock that Next.js dates entries with. */
const nowMs = (): number => performance.timeOrigin + performance.now()

const isOver = ({ timestamp, revalidate }: NextCacheEntry): boolean =>
  nowMs() > timestamp + revalidate * 1_000

const tagsOf = ({ tags }: SharedEntry): string[] =>
  tags.map((tag) => decodeURIComponent(tag.slice('tag:'.length)))

/** What {@link RedisHandler.set} stored, dated by the age that the server tells: clocks of servers differ. */
function nextEntry({ payload, ageMs }: SharedEntry): NextCacheEntry | undefined {
  const { bytes, ...entry } = (decodePayload(payload)?.value ?? {}) as Partial<StoredEntry>
  if (bytes === undefined) return undefined
  const value = new Response(Buffer.from(bytes)).body
  if (value === null) return undefined
  return { ...(entry as Omit<StoredEntry, 'bytes'>), value, timestamp: nowMs() - ageMs }
}

type StoredEntry = Omit<NextCacheEntry, 'value'> & { readonly bytes: Uint8Array }
