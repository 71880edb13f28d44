import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodePayload } from '../../cache/payload.ts'
import type { SharedEntry } from '../../cache/shared-store.ts'
import type { EntryKey } from '../../model/invalidation.ts'
import type { NextRedis } from './next-redis.ts'
import { nowMs, tagsOf } from './next-redis.ts'

/** For how long a page may be given, in seconds; `false`: until it is revalidated. */
export interface NextCacheControl {
  readonly revalidate: number | false
  readonly expire?: number | undefined
}

/** A page, a response of a route, or an answer of `fetch`, as Next.js hands it over. */
export interface NextIsrValue {
  readonly kind: string
  readonly headers?: Readonly<Record<string, unknown>> | undefined
  readonly tags?: readonly string[] | undefined
}

/** What Next.js says of what it asks for. */
export interface NextIsrAsked {
  readonly kind: string
  readonly tags?: readonly string[]
  readonly softTags?: readonly string[]
}

/** What Next.js says of what it hands over. */
export interface NextIsrComputed {
  readonly fetchCache?: boolean
  readonly tags?: readonly string[]
  readonly cacheControl?: NextCacheControl
}

/** What is given to Next.js. */
export interface NextIsrEntry {
  readonly value: NextIsrValue | null
  readonly lastModified: number
  readonly cacheControl?: NextCacheControl
}

/** What Next.js 16 asks of a `cacheHandler`, of which it makes one for each request. */
export interface NextIsrHandler {
  get(cacheKey: string, asked: NextIsrAsked): Promise<NextIsrEntry | null>
  set(cacheKey: string, value: NextIsrValue | null, computed: NextIsrComputed): Promise<void>
  revalidateTag(
    tags: string | readonly string[],
    durations?: { readonly expire?: number },
  ): Promise<void>
  resetRequestCache(): void
}

/** What Next.js makes a handler with. */
export interface NextIsrContext {
  readonly serverDistDir?: string
  readonly _requestHeaders?: Readonly<Record<string, unknown>>
}

/** An entry that was asked for, on the way from there to where it is handed over again. */
interface Begun {
  readonly key: EntryKey
  readonly holder: string
  /** Whether what is computed now may be kept. */
  isLeased: boolean
  readonly outer: Begun | undefined
}

/** What `res.revalidate()` asks with: the page is computed anew though it is there. */
const onDemandHeader = 'x-prerender-revalidate'
const tagsHeader = 'x-next-cache-tags'
/** An entry so old that Next.js computes it anew behind its answer. */
const staleAfterMs = 2_000

/** The pages of an app, in Redis; {@link nextIsrHandler} states its law. */
export class IsrEntries {
  readonly #redis: NextRedis
  /**
   * What is asked for and what is handed over is told apart by whoever computes it, which Next.js does not say: so it goes along
   * with the calls.
   */
  readonly #begun = new AsyncLocalStorage<Begun>()
  readonly #builds = new Map<string, string | null>()

  constructor(redis: NextRedis) {
    this.#redis = redis
  }

  /** The build that the pages are of: those of another one name files that it does not have. Null: there is none yet. */
  buildIn(serverDistDir: string): string | null {
    const known = this.#builds.get(serverDistDir)
    if (known !== undefined) return known
    const build = buildIdIn(serverDistDir)
    this.#builds.set(serverDistDir, build)
    return build
  }

  /** The key of a page of a build, or of an answer of `fetch`, which all builds share; null: of what is not kept. */
  keyOf(cacheKey: string, kind: string | undefined, build: string | null): EntryKey | null {
    if (kind === 'FETCH') return this.#redis.keyOf(`fetch:${cacheKey}`)
    return build === null || kind === 'IMAGE' ? null : this.#redis.keyOf(`${build}${cacheKey}`)
  }

  /** An entry, if it may be given. Not async: who awaits it goes on with what is noted here. */
  get(
    key: EntryKey,
    { tags = [], softTags = [] }: NextIsrAsked,
    renew: boolean,
  ): Promise<NextIsrEntry | null> {
    const outer = waiting(this.#begun.getStore())
    const begun: Begun = { key, holder: randomUUID(), isLeased: false, outer }
    this.#begun.enterWith(begun)
    return this.#read(begun, [...tags, ...softTags], renew)
  }

  async #read(begun: Begun, tags: readonly string[], renew: boolean): Promise<NextIsrEntry | null> {
    const { key, holder } = begun
    const redis = this.#redis
    // Before the entry: what is stored between the two looks was computed later.
    const soft = await redis.standing(key, tags)
    if (soft === null) return null
    const lease = async (isWanted: boolean) => {
      const answer = await redis.read({ key, tags, holder, renew: isWanted })
      begun.isLeased ||= answer?.leased === true
      return answer?.entry ?? null
    }
    const found = await lease(renew || soft === 'removed')
    if (found === null || soft === 'removed' || redis.owes([...tags, ...tagsOf(found)])) return null
    const isExpired = soft === 'expired' || found.standing === 'expired'
    const entry = entryOf(found, isExpired)
    // Next.js computes it anew behind this answer, which is to be kept.
    if (!begun.isLeased && (isExpired || isOver(entry))) await lease(true)
    return entry
  }

  /** Keeps what was computed since this was asked for. */
  async set(
    key: EntryKey,
    value: NextIsrValue | null,
    { tags = [], cacheControl }: NextIsrComputed,
  ): Promise<void> {
    let begun = this.#begun.getStore()
    while (begun !== undefined && begun.key !== key) begun = begun.outer
    // Who does not know what it began with may have read what was revalidated before.
    if (begun?.isLeased !== true) return
    begun.isLeased = false
    const { headers, tags: own = [] } = value ?? {}
    const listed = headers?.[tagsHeader]
    const named = typeof listed === 'string' ? listed.split(',') : []
    await this.#redis.fill({
      key,
      holder: begun.holder,
      tags: [...new Set([...tags, ...own, ...named])],
      value: { value, cacheControl },
      keepMs: (cacheControl?.expire ?? Infinity) * 1_000,
      loadMs: 0,
    })
  }

  /** Revalidates tags on all servers. */
  update(tags: readonly string[], expire: number): Promise<void> {
    return this.#redis.update(tags, expire)
  }
}

/** The handler of one request. */
export class IsrHandler implements NextIsrHandler {
  readonly #entries: IsrEntries
  readonly #build: string | null
  /** Whether what is asked for is to be computed anew though it is there. */
  readonly #renew: boolean

  constructor(entries: IsrEntries, { serverDistDir = '', _requestHeaders = {} }: NextIsrContext) {
    this.#entries = entries
    this.#build = entries.buildIn(serverDistDir)
    this.#renew = _requestHeaders[onDemandHeader] !== undefined
  }

  get(cacheKey: string, asked: NextIsrAsked): Promise<NextIsrEntry | null> {
    const key = this.#entries.keyOf(cacheKey, asked.kind, this.#build)
    return key === null ? Promise.resolve(null) : this.#entries.get(key, asked, this.#renew)
  }

  async set(
    cacheKey: string,
    value: NextIsrValue | null,
    computed: NextIsrComputed,
  ): Promise<void> {
    const kind = computed.fetchCache === true ? 'FETCH' : value?.kind
    const key = this.#entries.keyOf(cacheKey, kind, this.#build)
    if (key !== null) await this.#entries.set(key, value, computed)
  }

  revalidateTag(
    tags: string | readonly string[],
    durations?: { readonly expire?: number },
  ): Promise<void> {
    return this.#entries.update([tags].flat(), durations?.expire ?? 0)
  }

  resetRequestCache(): void {
    // Nothing is kept of a request.
  }
}

/** The nearest that may still be handed over. */
function waiting(begun: Begun | undefined): Begun | undefined {
  let nearest = begun
  while (nearest?.isLeased === false) nearest = nearest.outer
  return nearest
}

function buildIdIn(serverDistDir: string): string | null {
  try {
    return readFileSync(join(serverDistDir, '..', 'BUILD_ID'), 'utf8').trim()
  } catch {
    return null
  }
}

/** What was stored, dated by the age that the server tells: clocks of servers differ. */
function entryOf({ payload, ageMs }: SharedEntry, isExpired: boolean): NextIsrEntry {
  const { value = null, cacheControl } = (decodePayload(payload)?.value ?? {}) as Partial<Stored>
  if (!isExpired) {
    return {
      value,
      lastModified: nowMs() - ageMs,
      ...(cacheControl === undefined ? {} : { cacheControl }),
    }
  }
  // Which is what Next.js takes for "may be given while it is computed anew": older than its time, and not beyond all time.
  const lastModified = value?.kind === 'FETCH' ? 1 : nowMs() - Math.max(ageMs, staleAfterMs)
  return { value, lastModified, cacheControl: { revalidate: 1 } }
}

type Stored = Pick<NextIsrEntry, 'value' | 'cacheControl'>

function isOver({ lastModified, cacheControl, value }: NextIsrEntry): boolean {
  const revalidate =
    cacheControl?.revalidate ?? (value as { readonly revalidate?: number } | null)?.revalidate
  return typeof revalidate === 'number' && nowMs() > lastModified + revalidate * 1_000
}
