import { hostname } from 'node:os'
import type { Backoff } from '../../base/backoff.ts'
import { backoffMs } from '../../base/backoff.ts'
import { passing, systemTiming as timing, within } from '../../base/timing.ts'
import { Breaker } from '../../cache/breaker.ts'
import type { Journal } from '../../cache/journal.ts'
import type { Standing } from '../../cache/ledger.ts'
import { encodePayload } from '../../cache/payload.ts'
import type { RedisLink } from '../../cache/redis-link.ts'
import { redisJournal, redisStore, standingInRedis } from '../../cache/redis-store.ts'
import type { SharedAnswer, SharedEntry, SharedStore } from '../../cache/shared-store.ts'
import type { StoreOption } from '../../engine/caches/cache-options.ts'
import { linkOf } from '../../engine/caches/store-link.ts'
import { namedTag } from '../../invalidate/tags.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { EntryKey } from '../../model/invalidation.ts'

/** Where the servers of an app keep what Next.js computes. */
export interface NextCacheHandlerOptions {
  /** Of the app; caches of the same namespace share its tags, and must have no database behind them. */
  readonly namespace: string
  readonly store: StoreOption
}

/** What is asked for one entry. */
interface Question {
  readonly key: EntryKey
  /** Tags beside those that the entry bears. */
  readonly tags: readonly string[]
  /** Under which name the lease is taken when the entry is missing. */
  readonly holder: string
  /** Take the lease even though the entry is there. */
  readonly renew: boolean
}

/** Something that was computed. */
export interface NextComputed {
  readonly key: EntryKey
  readonly holder: string
  readonly tags: readonly string[]
  readonly value: unknown
  readonly keepMs: number
  /** How long it took; not known where it is 0. */
  readonly loadMs: number
}

/** A computation that takes longer is not kept. */
const leaseMs = 60_000
/** A call of Redis that takes longer has failed; one that nobody waits for may take longer. */
const callMs = 250
const behindMs = 2_000
/** A revalidation rejects when Redis has not taken it by then. */
const updateMs = 5_000
const retry: Backoff = { baseMs: 50, maxMs: 1_000 }
const breakerLimits = { failuresMax: 3, openMs: 1_000 }
const keepMsMax = 30 * 86_400_000

/** What the handlers of Next.js have in Redis: entries, and the tags that were revalidated. Nothing is kept in the process. */
export class NextRedis {
  readonly #namespace: string
  readonly #link: RedisLink
  readonly #store: SharedStore
  readonly #journal: Journal
  readonly #breaker = new Breaker(breakerLimits, timing)
  /** Tags that Redis has not been told of yet. */
  readonly #owed = new Set<readonly string[]>()

  constructor({ namespace, store }: NextCacheHandlerOptions) {
    this.#namespace = namespace
    this.#link = linkOf(store)
    this.#store = redisStore(this.#link, namespace, timing)
    this.#journal = redisJournal(this.#link, namespace, { maxLagMs: 0, timing })
  }

  /** The key of an entry by its name among those of the handlers. */
  keyOf(name: string): EntryKey {
    return `${this.#namespace}:next:${name}` as EntryKey
  }

  /** How an entry stands to tags that it does not bear; null: Redis does not say. */
  async standing(key: EntryKey, tags: readonly string[]): Promise<Standing | null> {
    if (tags.length === 0) return 'valid'
    const of = { key, tags: tags.map(namedTag) }
    return this.#breaker.attempt(() => standingInRedis(this.#link, this.#namespace, of), callMs)
  }

  /** An entry that none of its tags made invalid; null: Redis does not answer. */
  async read({ tags, ...question }: Question): Promise<SharedAnswer | null> {
    const asked = { ...question, tags: tags.map(namedTag), leaseMs, waitedMs: 0 }
    return this.#breaker.attempt(() => this.#store.read(asked), callMs)
  }

  /** Keeps what was computed under a lease, unless that is gone or one of its tags was revalidated since. */
  async fill({ tags, value, keepMs, loadMs, ...of }: NextComputed): Promise<void> {
    const ttlMs = Math.min(keepMs, keepMsMax)
    const node = `${hostname()}:${process.pid}`
    const payload = encodePayload({ value, ttlMs, loadMs, tidemark: null, node })
    const fill = { ...of, tags: tags.map(namedTag), payload, keepMs: ttlMs }
    await this.#breaker.attempt(() => this.#store.fill(fill), behindMs)
  }

  /**
   * Revalidates tags: what bears them is not given any more or, where it may still be `expire` seconds, only while it is
   * computed anew. Resolves when no server gives it.
   *
   * @throws TidemarkError TIDEMARK_CACHE_UNREACHABLE when Redis has not taken it in time; it is tried again.
   */
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

  /** Whether one of these tags was revalidated here and Redis has not been told of it yet. */
  owes(tags: readonly string[]): boolean {
    for (const owed of this.#owed) if (owed.some((tag) => tags.includes(tag))) return true
    return false
  }
}

/** By the clock that Next.js dates entries with. */
export const nowMs = (): number => performance.timeOrigin + performance.now()

/** The tags of an entry as Next.js names them. */
export const tagsOf = ({ tags }: SharedEntry): string[] =>
  tags.map((tag) => decodeURIComponent(tag.slice('tag:'.length)))
