import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import type { Clock } from '../base/clock.ts'
import type { Timing } from '../base/timing.ts'
import { LateError, passing, within } from '../base/timing.ts'
import type { Answer, AnswerState, AnswerTier } from '../model/answer.ts'
import type { WriteToken } from '../model/write-token.ts'
import { TidemarkError } from '../model/errors.ts'
import type {
  EntryKey,
  InvalidationRequest,
  News,
  Position,
  Tag,
  Verb,
} from '../model/invalidation.ts'
import type { CacheEvent, CacheListener } from './cache-event.ts'
import type { EntryAddress, EntryRequest, EntryTerms } from './entry-request.ts'
import type { Explanation } from './explanation.ts'
import { explainAbsent, explainMemory, explainShared } from './explanation.ts'
import type { Arrival, Course, Flight, Joinable } from './flight.ts'
import { Flights } from './flight.ts'
import { Follower } from './follower.ts'
import type { Journal } from './journal.ts'
import type { Standing } from './ledger.ts'
import { Ledger } from './ledger.ts'
import type { MemoryEntry } from './memory-tier.ts'
import { frozen, longAgo, MemoryTier, renewalTime } from './memory-tier.ts'
import type { Lease, SharedTier } from './shared-tier.ts'
import type { TracedInvalidation } from './trail.ts'
import { Trail } from './trail.ts'

/** What a cache is made of. */
export interface CacheParts {
  readonly journal: Journal
  /** The tier that nodes share, or null. */
  readonly shared: ((follower: Follower) => SharedTier) | null
  /** What this process is called, for those who ask who loaded an entry. */
  readonly node: string
  readonly entriesMax: number
  readonly maxLagMs: number
  readonly lookMs: number
  readonly timing: Timing
  readonly random: () => number
  readonly clock: Clock
  readonly listener: CacheListener
}

/** An invalidation that was not taken is tried again. */
const retry: Backoff = { baseMs: 50, maxMs: 2_000 }

/**
 * One node's cache of a namespace: memory, then the shared tier, then the source.
 *
 * Laws (decision 70): what it answers as `hit` or `miss` reflects every invalidation that was acknowledged, and every
 * commit that was visible `maxLagMs` before the question; whatever is stored was read after everything that had
 * invalidated its tags; a question is answered, or refused with a code, within the hard limit of its terms.
 */
export class Cache {
  readonly #parts: CacheParts
  readonly #ledger = new Ledger()
  readonly #memory: MemoryTier
  readonly #flights: Flights
  readonly #follower: Follower
  readonly #shared: SharedTier | null
  readonly #trail = new Trail()
  /** What this process is about to invalidate and the journal does not have yet. */
  readonly #pending = new Set<InvalidationRequest>()
  #closed = false

  constructor(parts: CacheParts) {
    this.#parts = parts
    this.#memory = new MemoryTier(parts.entriesMax, this.#ledger)
    this.#flights = new Flights(this.#ledger)
    this.#follower = new Follower(parts.journal, this.#ledger, parts, {
      onKey: (key, verb) => {
        this.#invalidateKey(key, verb)
      },
      onFailure: (error) => {
        this.tell({ event: 'unreachable', what: 'journal', error })
      },
      onNews: (news, since) => {
        this.#shared?.follow(news, since)
        this.#traceNews(news)
        this.#tellNews(news)
      },
    })
    this.#shared = parts.shared?.(this.#follower) ?? null
  }

  /** How many entries memory holds. */
  get size(): number {
    return this.#memory.size
  }

  /** The answer from memory if that is known to be true now, without waiting; else undefined. */
  hit(address: EntryAddress): Answer<unknown> | undefined {
    const answer = this.#hit(address.key)
    if (answer !== undefined) this.#tellAnswer(address, answer)
    return answer
  }

  /**
   * The answer to a question asked now; `request` is called when it is not in memory.
   *
   * @throws TidemarkError TIDEMARK_CACHE_TIMEOUT when nothing came within the hard limit and there is nothing to fall
   * back on; whatever the load throws, likewise.
   */
  async read(address: EntryAddress, request: () => EntryRequest): Promise<Answer<unknown>> {
    const answer = this.#hit(address.key) ?? (await this.#find(request()))
    this.#tellAnswer(address, answer)
    return answer
  }

  /**
   * Resolves when everything that a token stands for is known here, so that a read that begins then has it. Returns what is left of
   * the time.
   *
   * @throws TidemarkError TIDEMARK_CACHE_TIMEOUT when that is not so in time, as for a transaction that has not ended.
   */
  async reach(token: WriteToken, withinMs: number): Promise<number> {
    const { timing } = this.#parts
    const until = timing.now() + withinMs
    const isWanted = (): boolean => timing.now() < until && !this.#closed
    const reached = this.#follower.reach(token, isWanted)
    const isReached = await within(timing, reached, withinMs).catch((error: unknown) => {
      if (error instanceof LateError) return false
      throw error
    })
    if (!isReached) throw unseen(withinMs)
    return until - timing.now()
  }

  /** Has an entry loaded, whatever is there, as when it is renewed. */
  async renew(request: EntryRequest): Promise<void> {
    const direct = !(await this.#follower.catchUp())
    await this.#flight(request, { since: this.#parts.timing.now(), direct }, true).arrival
  }

  /**
   * Has an entry in memory that stays fresh for longer than `freshMs`: from the shared tier, else loaded as for a reader, behind
   * the same fences. Returns whether it was loaded.
   *
   * @throws TidemarkError TIDEMARK_CACHE_UNREACHABLE while the journal does not answer: what is loaded then would be loaded
   * again by the first reader; whatever the load throws.
   */
  async warm(request: EntryRequest, freshMs: number): Promise<boolean> {
    const { key, terms } = request
    const { timing } = this.#parts
    if (!(await this.#current(terms.hardMs))) throw blind(this.#follower.failure)
    const lasts = (entry: MemoryEntry | undefined): boolean =>
      entry !== undefined &&
      entry.freshUntil - timing.now() > freshMs &&
      this.#standing(entry) === 'valid'
    if (lasts(this.#memory.get(key))) return false
    const { tier, entry } = await this.#flight(request, this.#joinable(terms, true), false).arrival
    if (tier === 'source' || lasts(entry)) return tier === 'source'
    await this.#flight(request, { since: timing.now(), direct: false }, true).arrival
    return true
  }

  /** Whether memory has an entry that something has invalidated. */
  isOutdated(key: EntryKey): boolean {
    const entry = this.#memory.peek(key)
    return (
      entry !== undefined && (entry.freshUntil === longAgo || this.#standing(entry) !== 'valid')
    )
  }

  /**
   * Whether this node does a task for all nodes, from now on for `ms`; null when that cannot be settled now. Asked again by
   * the same holder it lasts from then on; 0 ends it.
   */
  async lead(task: string, holder: string, ms: number): Promise<boolean | null> {
    return this.#shared === null ? true : this.#shared.lead(task, holder, ms)
  }

  /**
   * Invalidates; resolves when no node can answer with what was before.
   *
   * Guarantees: this process does not serve it from the moment of the call on. When it rejects, other nodes may not know
   * yet; it is tried again until they do, or until this process ends.
   *
   * @throws TidemarkError TIDEMARK_CACHE_UNREACHABLE when the journal did not take it in time.
   */
  async invalidate(request: InvalidationRequest): Promise<void> {
    this.#invalidateHere(request)
    try {
      await within(this.#parts.timing, this.#spread(request), this.#parts.lookMs + this.#bound())
    } catch (error) {
      throw error instanceof LateError ? untold(error) : error
    }
    this.tell({ event: 'invalidated', by: 'here', ...request })
  }

  /**
   * Invalidates what a committed write made untrue; resolves when this process cannot answer with it, from whichever tier.
   * Other nodes hear of `tags` from the journal, within the bound; of `told` it hears by itself, for it has the write. Never
   * rejects: what was written is written. When the journal does not take it in time, it is tried again.
   */
  async outdate(tags: readonly Tag[], told: readonly Tag[]): Promise<void> {
    if (tags.length + told.length === 0) return
    const request = { verb: 'remove', keys: [], tags: [...tags, ...told] } as const
    this.#invalidateHere(request)
    const reached = this.#reach(request, async () => {
      if (tags.length > 0) await this.#seen(await this.#append({ ...request, tags }))
      else if (await this.#follower.lookAgain()) await this.#shared?.caughtUp()
    })
    await within(this.#parts.timing, reached, this.#parts.lookMs).catch((error: unknown) => {
      this.tell({ event: 'unreachable', what: 'journal', error })
    })
    this.tell({ event: 'invalidated', by: 'here', ...request })
  }

  /**
   * What made the entry of a key what it is. `tags` are those that its kind gives it: what concerned an entry that is not
   * there is told by them. Changes nothing, and counts as no read.
   */
  async explain(key: EntryKey, tags: readonly Tag[]): Promise<Explanation> {
    const current = await this.#current(2 * this.#parts.lookMs)
    const now = this.#parts.timing.now()
    const parts = { key, clock: this.#parts.clock(), trail: this.#trail, current }
    const held = this.#memory.peek(key)
    const standing = held === undefined ? 'removed' : this.#standing(held)
    if (held !== undefined && standing === 'valid') {
      return explainMemory(held, { ...parts, standing, now })
    }
    const shared = (await this.#shared?.peek(key)) ?? null
    if (shared !== null) return explainShared(shared, parts)
    if (held !== undefined) return explainMemory(held, { ...parts, standing, now })
    return explainAbsent(tags, parts)
  }

  /** Looks at the journal now. @throws what made that fail. */
  async look(): Promise<void> {
    if (!(await this.#follower.lookAgain())) throw this.#follower.failure
  }

  /** Tells whoever listens. */
  tell(event: CacheEvent): void {
    try {
      this.#parts.listener(event)
    } catch {
      // A listener that fails must not fail a read.
    }
  }

  /** Ends what the cache began; reads that wait get their answers or errors. */
  async close(): Promise<void> {
    this.#closed = true
    this.#follower.close()
    await this.#shared?.close()
    await this.#parts.journal.close()
  }

  #hit(key: EntryKey): Answer<unknown> | undefined {
    const now = this.#parts.timing.now()
    if (!this.#isCurrent(now)) return undefined
    const entry = this.#memory.get(key)
    if (entry === undefined || now >= entry.renewAt) return undefined
    if (this.#ledger.standing(entry.at, entry.tags) !== 'valid') return undefined
    return answerOf(entry, 'hit', 'memory', now)
  }

  async #find(request: EntryRequest): Promise<Answer<unknown>> {
    const { key, terms } = request
    const askedAt = this.#parts.timing.now()
    const current = this.#isCurrent(askedAt) || (await this.#current(terms.hardMs))
    const now = this.#parts.timing.now()
    const known = this.#memory.get(key)
    if (
      current &&
      known !== undefined &&
      now < known.freshUntil &&
      this.#standing(known) === 'valid'
    ) {
      if (now >= known.renewAt) this.#renewBehind(request)
      return answerOf(known, 'hit', 'memory', now)
    }
    const leftMs = askedAt + terms.hardMs - now
    const stale = current && this.#isServable(known)
    try {
      const waitMs = stale ? Math.min(terms.softMs, leftMs) : leftMs
      return await within(this.#parts.timing, this.#await(request, current), waitMs)
    } catch (error) {
      const last = this.#memory.get(key)
      const late = error instanceof LateError
      if (!this.#isServable(last)) throw late ? tooLate(request) : error
      return answerOf(
        last,
        stale && late ? 'stale' : 'fallback',
        'memory',
        this.#parts.timing.now(),
      )
    }
  }

  async #await(request: EntryRequest, current: boolean): Promise<Answer<unknown>> {
    const asked = this.#ledger.moment
    const flight = this.#flight(request, this.#joinable(request.terms, current), false)
    const { entry, tier, stood } = await flight.arrival
    // What the load itself has named as a tag may have been invalidated between its beginning and this question.
    if (!stood && asked > flight.at) return this.#await(request, current)
    const now = this.#parts.timing.now()
    if (tier === 'source') return answerOf(entry, 'miss', tier, now)
    if (now >= entry.renewAt) this.#renewBehind(request)
    return answerOf(entry, now < entry.freshUntil ? 'hit' : 'stale', tier, now)
  }

  /** Whether it is known without a look that the ledger is good enough for a question asked now. */
  #isCurrent(now: number): boolean {
    if (now >= this.#follower.currentUntil) return false
    this.#follower.touch(now)
    return true
  }

  async #current(withinMs: number): Promise<boolean> {
    // Half of the time is left for the source.
    return within(this.#parts.timing, this.#follower.catchUp(), withinMs / 2).catch(() => false)
  }

  #standing(entry: MemoryEntry): Standing {
    return this.#ledger.standing(entry.at, entry.tags)
  }

  #isServable(entry: MemoryEntry | undefined): entry is MemoryEntry {
    return (
      entry !== undefined &&
      this.#parts.timing.now() < entry.staleUntil &&
      this.#standing(entry) !== 'removed'
    )
  }

  #renewBehind(request: EntryRequest): void {
    const joinable = this.#joinable(request.terms, true)
    this.#flight(request, joinable, true).arrival.catch(() => undefined)
  }

  /**
   * A flight that began long ago may never land. A node without news asks the source, and joins only who does so too and
   * began within the bound: what the shared tier has may be older than that.
   */
  #joinable({ hardMs }: EntryTerms, current: boolean): Joinable {
    const now = this.#parts.timing.now()
    return current
      ? { since: now - hardMs, direct: false }
      : { since: now - this.#parts.maxLagMs, direct: true }
  }

  #flight(request: EntryRequest, joinable: Joinable, renew: boolean): Flight {
    const { key } = request
    const flight = this.#flights.joinable(key, joinable)
    if (flight !== undefined) return flight
    const tags = this.#ledger.hold(request.tags)
    const setOut = { key, tags, startedAt: this.#parts.timing.now(), direct: joinable.direct }
    return this.#flights.begin(setOut, (course) => this.#fly(course, request, renew))
  }

  async #fly(course: Course, request: EntryRequest, renew: boolean): Promise<Arrival> {
    const shared = course.direct ? null : this.#shared
    const found = (await shared?.find(request, renew)) ?? null
    if (found?.kind !== 'entry') return this.#load(course, request, found)
    if (this.#isPending(request.key, found.entry.tags)) return this.#load(course, request, null)
    const { value, tags, ageMs, fresh, tidemark, node } = found.entry
    const loadedAt = Math.floor(this.#parts.timing.now() - ageMs)
    const freshUntil = fresh ? Math.floor(loadedAt + found.entry.ttlMs) : longAgo
    const entry = {
      value: frozen(value),
      at: course.at,
      tags: this.#ledger.hold(tags),
      loadedAt,
      freshUntil,
      renewAt: renewalTime({ freshUntil, loadMs: found.entry.loadMs }, request.terms, this.#parts),
      staleUntil: Math.floor(loadedAt + found.entry.ttlMs + request.terms.staleMs),
      tidemark,
      node,
    }
    const stood = this.#stands(course, entry)
    this.#keep(course, entry, { stood, may: stood })
    return { entry, tier: 'shared', stood }
  }

  async #load(course: Course, request: EntryRequest, lease: Lease | null): Promise<Arrival> {
    const { key, kind, tenant, terms } = request
    const beganAt = this.#parts.timing.now()
    const snapshot = await this.#snapshot()
    try {
      const loaded = await request.load()
      const endedAt = this.#parts.timing.now()
      const loadedAt = Math.floor(endedAt)
      const ttlMs = loaded.ttlMs ?? terms.ttlMs
      const freshUntil = Math.floor(loadedAt + ttlMs)
      const loadMs = endedAt - beganAt
      const entry = {
        value: frozen(loaded.value),
        at: course.at,
        tags: this.#ledger.hold(
          loaded.tags.length === 0 ? request.tags : [...request.tags, ...loaded.tags],
        ),
        loadedAt,
        freshUntil,
        renewAt: renewalTime({ freshUntil, loadMs }, terms, this.#parts),
        staleUntil: Math.floor(freshUntil + terms.staleMs),
        tidemark: snapshot ?? null,
        node: this.#parts.node,
      }
      const stood = this.#stands(course, entry)
      this.#shared?.loaded(key)
      const may = stood && loaded.store && snapshot !== undefined
      const stored = this.#keep(course, entry, { stood, may })
      this.tell({ event: 'loaded', kind, tenant, key, ms: loadMs, stored, ttlMs })
      if (stored) lease?.fill({ entry, ttlMs, loadMs, staleMs: terms.staleMs })
      else lease?.release()
      return { entry, tier: 'source', stood }
    } catch (error) {
      lease?.release()
      const ms = this.#parts.timing.now() - beganAt
      this.tell({ event: 'load_failed', kind, tenant, key, ms, error })
      throw error
    }
  }

  /**
   * Stores an entry if it may be; else gives its tags back, and lets what memory has, which may be older, be over: readers
   * are not given less than they were.
   */
  #keep(
    course: Course,
    entry: MemoryEntry,
    { stood, may }: { readonly stood: boolean; readonly may: boolean },
  ): boolean {
    this.#flights.landed(course, stood)
    if (may) this.#memory.set(course.key, entry)
    else {
      this.#ledger.release(entry.tags)
      if (stood) this.#memory.expire(course.key)
      else this.#memory.delete(course.key)
    }
    return may
  }

  #stands(course: Course, { tags }: MemoryEntry): boolean {
    return this.#flights.stands({ ...course, tags })
  }

  /** Undefined: there is a database, and it does not answer; what is loaded now cannot be dated and is not kept. */
  async #snapshot(): Promise<string | null | undefined> {
    return within(this.#parts.timing, this.#parts.journal.snapshot(), this.#parts.lookMs).catch(
      () => undefined,
    )
  }

  /** How long the last node may take to stop serving what it has not looked up; nothing where there is only one. */
  #bound(): number {
    return Number.isFinite(this.#parts.maxLagMs) ? this.#parts.maxLagMs : 0
  }

  async #spread(request: InvalidationRequest): Promise<void> {
    await this.#reach(request, async () => {
      const position = await this.#append(request)
      await this.#seen(position)
      await this.#parts.journal.settled(position)
    })
  }

  /** Until the journal is reached, the shared tier is not believed about it. */
  async #reach(request: InvalidationRequest, reach: () => Promise<void>): Promise<void> {
    this.#pending.add(request)
    try {
      await reach()
    } finally {
      this.#pending.delete(request)
    }
  }

  /** Whether the shared tier may still have what this process has invalidated: then it is as good as gone. */
  #isPending(key: EntryKey, tags: readonly Tag[]): boolean {
    for (const pending of this.#pending) {
      if (pending.keys.includes(key) || pending.tags.some((tag) => tags.includes(tag))) return true
    }
    return false
  }

  async #append(request: InvalidationRequest): Promise<Position> {
    const { journal, random, lookMs, timing } = this.#parts
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await within(timing, journal.append(request), lookMs)
      } catch (error) {
        if (this.#closed || isLasting(error)) throw error
        this.tell({ event: 'unreachable', what: 'journal', error })
        await passing(timing, backoffMs(retry, attempt, random))
      }
    }
  }

  async #seen(position: Position): Promise<void> {
    // The look tells this process what it knows already; what it is for is to take the shared tier along.
    while ((this.#follower.place?.position ?? -1) < position) {
      if (!(await this.#follower.lookAgain())) return
    }
    await this.#shared?.caughtUp()
  }

  #invalidateHere({ keys, tags, verb }: InvalidationRequest): void {
    for (const tag of tags) this.#ledger.invalidate(tag, verb)
    for (const key of keys) this.#invalidateKey(key, verb)
    for (const tag of tags) this.#trace('here', { of: { kind: 'tag', tag }, verb })
    for (const key of keys) this.#trace('here', { of: { kind: 'key', key }, verb })
  }

  #traceNews({ complete, invalidations }: News): void {
    if (!complete) this.#trace('journal', { of: { kind: 'everything' }, verb: 'remove' })
    for (const invalidation of invalidations) this.#trace('journal', invalidation)
  }

  #trace(by: 'here' | 'journal', what: Pick<TracedInvalidation, 'of' | 'verb'>): void {
    const moment = this.#ledger.moment
    const heardAt = this.#parts.clock()
    this.#trail.note({ position: null, xids: null, ...what, by, moment, heardAt })
  }

  #invalidateKey(key: EntryKey, verb: Verb): void {
    this.#flights.kill(key)
    if (verb === 'remove') this.#memory.delete(key)
    else this.#memory.expire(key)
  }

  #tellAnswer({ key, kind, tenant }: EntryAddress, { state, tier }: Answer<unknown>): void {
    this.tell({ event: 'answered', kind, tenant, key, state, tier })
  }

  #tellNews({ complete, invalidations }: News): void {
    if (!complete) this.tell({ event: 'flushed' })
    for (const verb of ['remove', 'expire'] as const) {
      const these = invalidations.filter((invalidation) => invalidation.verb === verb)
      if (these.length === 0) continue
      const tags = these.flatMap(({ of }) => (of.kind === 'tag' ? [of.tag] : []))
      const keys = these.flatMap(({ of }) => (of.kind === 'key' ? [of.key] : []))
      this.tell({ event: 'invalidated', by: 'journal', verb, tags, keys })
    }
  }
}

function answerOf(
  { value, loadedAt, tidemark }: MemoryEntry,
  state: AnswerState,
  tier: AnswerTier,
  now: number,
): Answer<unknown> {
  return { value, state, tier, ageMs: now - loadedAt, tidemark }
}

/** A fault that trying again does not mend. */
const isLasting = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code !== 'TIDEMARK_DATABASE_UNREACHABLE'

function blind(cause: unknown): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_CACHE_UNREACHABLE',
    what: 'What was invalidated cannot be found out now, so no entry can be made ready.',
    mend: 'See whether the store and the database answer.',
    cause,
  })
}

function untold(cause: unknown): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_CACHE_UNREACHABLE',
    what: 'The invalidation holds in this process; other nodes could not be told in time.',
    mend: 'It is tried again in the background. See whether the store and the database answer.',
    cause,
  })
}

const unseen = (ms: number): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_TIMEOUT',
    what: `The write of the token could not be seen within ${String(ms)} ms`,
    mend: 'Commit before the token is used, and give the token of this database.',
  })

function tooLate({ key, terms }: EntryRequest): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_CACHE_TIMEOUT',
    what: `Nothing came for '${key}' within ${terms.hardMs} ms, and nothing older may be served.`,
    mend: `Find out why the load takes so long, or raise 'hardTimeout' of this kind.`,
  })
}
