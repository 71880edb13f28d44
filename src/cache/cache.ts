import type { Clock } from '../base/clock.ts'
import type { Timing } from '../base/timing.ts'
import { LateError, within } from '../base/timing.ts'
import type { Answer, AnswerState, AnswerTier } from '../model/answer.ts'
import type { WriteToken } from '../model/write-token.ts'
import type { EntryKey, InvalidationRequest, News, Tag, Verb } from '../model/invalidation.ts'
import type { BreakerLimits } from './breaker.ts'
import { Breaker } from './breaker.ts'
import { blind, closed, tooLate, unready, unseen, untold } from './cache-errors.ts'
import type { CacheEvent, CacheListener } from './cache-event.ts'
import { Echoes } from './echoes.ts'
import type { EntryAddress, EntryRequest, EntryTerms } from './entry-request.ts'
import type { Explanation } from './explanation.ts'
import { explainAbsent, explainMemory, explainShared } from './explanation.ts'
import type { Arrival, Flight, Joinable, Landing } from './flight.ts'
import { Follower } from './follower.ts'
import type { Journal } from './journal.ts'
import type { Moment, Standing } from './ledger.ts'
import { Ledger } from './ledger.ts'
import { Loader } from './loader.ts'
import type { MemoryEntry } from './memory-tier.ts'
import { frozen, longAgo, MemoryTier } from './memory-tier.ts'
import { Outbox } from './outbox.ts'
import type { SharedTier } from './shared-tier.ts'
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

/** A flight that a reader waits for, and what had happened when he asked. */
interface Joined {
  readonly flight: Flight
  readonly asked: Moment
  readonly askedAt: number
  readonly landing: Landing
  readonly current: boolean
}

/** After three loads in a row that brought nothing while the journal is away, one a second is tried. */
const sourceLimits: BreakerLimits = { failuresMax: 3, openMs: 1_000 }

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
  readonly #follower: Follower
  readonly #shared: SharedTier | null
  readonly #outbox: Outbox
  readonly #loader: Loader
  readonly #trail = new Trail()
  readonly #echoes: Echoes
  /** Keeps readers who have something to fall back on away from a source that does not answer either. */
  readonly #source: Breaker
  #closed = false

  constructor(parts: CacheParts) {
    this.#parts = parts
    this.#source = new Breaker(sourceLimits, parts.timing)
    const isAlone = !Number.isFinite(parts.maxLagMs)
    this.#echoes = new Echoes(parts.timing, isAlone ? 0 : 2 * (parts.lookMs + parts.maxLagMs))
    this.#memory = new MemoryTier(parts.entriesMax, this.#ledger)
    this.#follower = new Follower(parts.journal, this.#ledger, parts, {
      onKey: (key, verb) => {
        this.#invalidateKey(key, verb)
      },
      onFailure: (error) => {
        this.#tellUnreachable(error)
      },
      onNews: (news, since) => {
        this.#shared?.follow(news, since)
        this.#traceNews(news)
        this.#tellNews(news)
      },
    })
    this.#shared = parts.shared?.(this.#follower) ?? null
    const made = { ...parts, follower: this.#follower, shared: this.#shared }
    this.#outbox = new Outbox({
      ...made,
      onUnreachable: (error) => {
        this.#tellUnreachable(error)
      },
    })
    this.#loader = new Loader({
      ...made,
      ledger: this.#ledger,
      memory: this.#memory,
      outbox: this.#outbox,
      tell: (event) => {
        this.tell(event)
      },
    })
  }

  /** How many entries memory holds. */
  get size(): number {
    return this.#memory.size
  }

  /** Whether the journal has not answered lately, so that nobody waits for it. */
  get isAway(): boolean {
    return this.#follower.isAway
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

  /**
   * Has an entry loaded, whatever is there, as when it is renewed.
   *
   * @throws TidemarkError TIDEMARK_CACHE_TIMEOUT when that did not end within the hard limit; whatever the load throws.
   */
  async renew(request: EntryRequest): Promise<void> {
    await this.#timely(request, async (isLate) => {
      const direct = !(await this.#follower.catchUp())
      if (isLate()) return
      const joinable = { since: this.#parts.timing.now(), direct }
      await this.#loader.flight(request, joinable, true).arrival()
    })
  }

  /**
   * Puts what the load of `request` brings in the place of an entry, behind the same fences. Returns whether that is kept.
   *
   * @throws TidemarkError TIDEMARK_CACHE_UNREACHABLE when other nodes could not be told that the entry is gone, before anything
   * is loaded; TIDEMARK_CACHE_TIMEOUT when that did not end within the hard limit, the entry being gone; whatever the load throws.
   */
  async replace(request: EntryRequest): Promise<boolean> {
    // It is not the load that others wait for, nor is theirs its.
    const own = { ...request, sharesFailures: false }
    return this.#timely(own, (isLate) => this.#replace(own, isLate))
  }

  async #replace(request: EntryRequest, isLate: () => boolean): Promise<boolean> {
    await this.invalidate({ verb: 'remove', keys: [request.key], tags: [] })
    const direct = !(await this.#follower.lookAgain())
    if (isLate()) return false
    // No flight that is under way brings it; one of another node may come first.
    const joinable = { since: Infinity, direct }
    const { entry, tier, notStored } = await this.#loader.flight(request, joinable, true).arrival()
    if (tier !== 'source' || notStored !== null) return false
    // What others have invalidated meanwhile may not have been heard of yet.
    const current = await this.#follower.catchUp()
    return current && this.#memory.peek(request.key) === entry && this.#standing(entry) === 'valid'
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
    const { tier, entry } = await this.#loader
      .flight(request, this.#joinable(terms, true), false)
      .arrival()
    if (tier === 'source' || lasts(entry)) return tier === 'source'
    await this.#loader.flight(request, { since: timing.now(), direct: false }, true).arrival()
    return true
  }

  /** Ends a call at the hard limit of its entry; by `isLate` it knows that nobody waits for it any more. */
  async #timely<Result>(
    { key, terms: { hardMs } }: EntryRequest,
    call: (isLate: () => boolean) => Promise<Result>,
  ): Promise<Result> {
    const { timing } = this.#parts
    const until = timing.now() + hardMs
    return within(
      timing,
      call(() => timing.now() >= until),
      hardMs,
    ).catch((error: unknown) => {
      throw error instanceof LateError ? unready(key, hardMs) : error
    })
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
    // No answer is from before an invalidation that names none: there is nothing to tell, and nothing to wait for.
    if (request.keys.length + request.tags.length === 0) return
    const { timing, lookMs } = this.#parts
    const isClosed = this.#closed
    this.#invalidateHere(request)
    try {
      await within(timing, this.#outbox.spread(request), lookMs + this.#bound())
    } catch (error) {
      this.#echoes.forget(request)
      if (isClosed) throw closed(error)
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
    const { timing, lookMs } = this.#parts
    const announced = this.#outbox.announce(request, tags)
    await within(timing, announced, lookMs).catch((error: unknown) => {
      this.#tellUnreachable(error)
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
    this.#outbox.close()
    this.#follower.close()
    this.#source.close()
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
    const { timing } = this.#parts
    const askedAt = timing.now()
    const until = askedAt + terms.hardMs
    const current = this.#isCurrent(askedAt) || (await this.#current(terms.hardMs))
    const known = this.#memory.get(key)
    if (current && known !== undefined) {
      const now = timing.now()
      if (this.#isFresh(known, now)) {
        if (now >= known.renewAt) this.#renewBehind(request)
        return answerOf(known, 'hit', 'memory', now)
      }
      if (this.#isServable(known))
        return await this.#seek(request, { joined: this.#join(request, true), stale: true, until })
    }
    const joined = current ? this.#join(request, true) : undefined
    const early = await joined?.flight.early
    if (early?.stood === true) return this.#answerOf(request, early)
    return await this.#seek(request, { joined, stale: false, until })
  }

  /** The answer to a question of which memory has none that is fresh. Nothing has been joined by who is not current. */
  async #seek(
    request: EntryRequest,
    of: { readonly joined: Joined | undefined; readonly stale: boolean; readonly until: number },
  ): Promise<Answer<unknown>> {
    const { timing } = this.#parts
    const { joined, stale, until } = of
    if (joined === undefined) return this.#seekBlind(request, until)
    const leftMs = until - timing.now()
    const waitMs = stale ? Math.min(request.terms.softMs, leftMs) : leftMs
    return within(timing, this.#await(request, joined), waitMs).catch((error: unknown) => {
      const late = error instanceof LateError
      const last = this.#last(request.key, stale && late ? 'stale' : 'fallback')
      if (last !== undefined) return last
      throw late ? tooLate(request.key, request.terms.hardMs) : error
    })
  }

  /**
   * The answer while it cannot be found out what was invalidated: the source's, else the last that is known. Who has such a one
   * while the journal is away is spared the wait for a source that has not answered others either.
   */
  async #seekBlind(request: EntryRequest, until: number): Promise<Answer<unknown>> {
    const { timing } = this.#parts
    const { isAway } = this.#follower
    const seek = (): Promise<Answer<unknown>> => this.#await(request, this.#join(request, false))
    const leftMs = (): number => until - timing.now()
    if (isAway && this.#source.isOpen) {
      const last = await this.#lastAnywhere(request, leftMs())
      if (last !== undefined) {
        void this.#source.attempt(seek, leftMs())
        return last
      }
    }
    const answer = seek()
    if (isAway) void this.#source.attempt(() => answer, leftMs())
    // To ask the shared tier takes its time too.
    const isHere = this.#last(request.key, 'fallback') !== undefined
    const sharedMs = isHere || this.#shared === null ? 0 : leftMs() / 4
    try {
      return await within(timing, answer, leftMs() - sharedMs)
    } catch (error) {
      const last = await this.#lastAnywhere(request, leftMs())
      if (last !== undefined) return last
      if (!(error instanceof LateError)) throw error
    }
    return within(timing, answer, leftMs()).catch((error: unknown) => {
      throw error instanceof LateError ? tooLate(request.key, request.terms.hardMs) : error
    })
  }

  /** Joins the flight of an entry or begins one, and notes what had happened before. */
  #join(request: EntryRequest, current: boolean): Joined {
    const asked = this.#ledger.moment
    const askedAt = this.#parts.timing.now()
    const { landing } = this.#loader
    const joinable = this.#joinable(request.terms, current)
    const flight = this.#loader.flight(request, joinable, false)
    return { asked, askedAt, landing, current, flight }
  }

  /** What memory has, if it may be served though it is not known to be true; undefined if not. */
  #last(key: EntryKey, state: 'stale' | 'fallback'): Answer<unknown> | undefined {
    const entry = this.#memory.get(key)
    if (!this.#isServable(entry)) return undefined
    return answerOf(entry, state, 'memory', this.#parts.timing.now())
  }

  /** The same, else what the shared tier has, of which nobody here knows that it was removed. It is stored nowhere. */
  async #lastAnywhere(
    { key, terms }: EntryRequest,
    withinMs: number,
  ): Promise<Answer<unknown> | undefined> {
    const here = this.#last(key, 'fallback')
    if (here !== undefined || this.#shared === null || withinMs <= 0) return here
    const found = await this.#shared.last(key, withinMs)
    if (found === null || this.#outbox.holds(key, found.tags)) return undefined
    const { value, ageMs, ttlMs, tidemark } = found
    if (ageMs >= ttlMs + terms.staleMs) return undefined
    return { value: frozen(value), state: 'fallback', tier: 'shared', ageMs, tidemark }
  }

  async #await(request: EntryRequest, joined: Joined): Promise<Answer<unknown>> {
    const { asked, askedAt, landing, current, flight } = joined
    let arrival: Arrival
    try {
      arrival = await flight.arrival()
    } catch (error) {
      // Of what another node's load failed with before this question, this one tries anew.
      if (flight.failedAt === null || askedAt <= flight.failedAt) throw error
      return this.#await(request, this.#join(request, current))
    }
    // What outdates it, or what others were given, may have come between its beginning and this question.
    const isLate = asked > flight.at || landing >= (flight.overtakenBy ?? Infinity)
    if (!arrival.stood && isLate) return this.#await(request, this.#join(request, current))
    return this.#answerOf(request, arrival)
  }

  #answerOf(request: EntryRequest, { entry, tier }: Arrival): Answer<unknown> {
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

  #isFresh(entry: MemoryEntry, now: number): boolean {
    return now < entry.freshUntil && this.#standing(entry) === 'valid'
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
    this.#loader
      .flight(request, joinable, true)
      .arrival()
      .catch(() => undefined)
  }

  /**
   * A flight that began long ago may never land. A node without news asks the source, and joins only who does so too and
   * began within the bound: what the shared tier has may be older than that. Where each answer is to be exact nobody is joined:
   * a clock may show the same before a commit and after it.
   */
  #joinable({ hardMs }: EntryTerms, current: boolean): Joinable {
    const { maxLagMs } = this.#parts
    const now = this.#parts.timing.now()
    return current
      ? { since: now - hardMs, direct: false }
      : { since: maxLagMs === 0 ? Infinity : now - maxLagMs, direct: true }
  }

  /** How long the last node may take to stop serving what it has not looked up; nothing where there is only one. */
  #bound(): number {
    return Number.isFinite(this.#parts.maxLagMs) ? this.#parts.maxLagMs : 0
  }

  #invalidateHere(request: InvalidationRequest): void {
    const { keys, tags, verb } = request
    this.#echoes.expect(request)
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
    this.#loader.kill(key)
    if (verb === 'remove') this.#memory.delete(key)
    else this.#memory.expire(key)
  }

  #tellUnreachable(error: unknown): void {
    this.tell({ event: 'unreachable', what: 'journal', error })
  }

  #tellAnswer({ key, kind, tenant }: EntryAddress, { state, tier }: Answer<unknown>): void {
    this.tell({ event: 'answered', kind, tenant, key, state, tier })
  }

  #tellNews({ complete, invalidations }: News): void {
    if (!complete) this.tell({ event: 'flushed' })
    const others = this.#echoes.others(invalidations)
    for (const verb of ['remove', 'expire'] as const) {
      const these = others.filter((invalidation) => invalidation.verb === verb)
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
