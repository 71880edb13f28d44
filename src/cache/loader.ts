import type { Timing } from '../base/timing.ts'
import { within } from '../base/timing.ts'
import type { AnswerTier } from '../model/answer.ts'
import type { EntryKey, Tag } from '../model/invalidation.ts'
import { failedElsewhere } from './cache-errors.ts'
import type { CacheListener, NotStored } from './cache-event.ts'
import type { EntryRequest, Loaded } from './entry-request.ts'
import type { Arrival, Course, Flight, Joinable, Landing } from './flight.ts'
import { Flights } from './flight.ts'
import type { Follower } from './follower.ts'
import type { Journal } from './journal.ts'
import type { Ledger } from './ledger.ts'
import type { MemoryEntry, MemoryTier } from './memory-tier.ts'
import { frozen, longAgo, renewalTime } from './memory-tier.ts'
import type { Outbox } from './outbox.ts'
import type { Lease, SharedFind, SharedTier } from './shared-tier.ts'

/** What a {@link Loader} is made of. */
export interface LoaderParts {
  readonly journal: Journal
  readonly follower: Follower
  readonly ledger: Ledger
  readonly memory: MemoryTier
  readonly shared: SharedTier | null
  readonly outbox: Outbox
  readonly node: string
  readonly lookMs: number
  readonly timing: Timing
  readonly random: () => number
  readonly tell: CacheListener
}

/**
 * Brings entries that memory does not have, from the shared tier or from the source, and stores them: one load a key at a
 * time, as long as nothing outdates it.
 *
 * Laws: what is stored was read after everything that had invalidated its tags. Readers do not go back: what is stored, or given
 * to who asks after an answer, was not read before what that answer held; where two loads of a key overlap and one was
 * invalidated, a look at the journal that is sent after its answer vouches for the other (decision 70).
 */
export class Loader {
  readonly #parts: LoaderParts
  readonly #flights: Flights

  constructor(parts: LoaderParts) {
    this.#parts = parts
    this.#flights = new Flights(parts.ledger)
  }

  /** The flight of an entry, one under way if it may be joined. `renew`: it is loaded though the shared tier has it. */
  flight(request: EntryRequest, joinable: Joinable, renew: boolean): Flight {
    const { ledger, timing } = this.#parts
    const { key } = request
    const flight = this.#flights.joinable(key, joinable)
    if (flight !== undefined) return flight
    const tags = ledger.hold(request.tags)
    const setOut = { key, tags, startedAt: timing.now(), direct: joinable.direct }
    return this.#flights.begin(setOut, (course) => this.#fly(course, request, renew))
  }

  /** The last landing: a question that is asked now comes after it. */
  get landing(): Landing {
    return this.#flights.landing
  }

  /** Lets nobody join the flights of a key any more; what they bring is for those who wait for it. */
  kill(key: EntryKey): void {
    this.#flights.kill(key)
  }

  #fly(course: Course, request: EntryRequest, renew: boolean): Pick<Flight, 'early' | 'arrival'> {
    const { outbox } = this.#parts
    const shared = course.direct ? null : this.#parts.shared
    const take = (found: SharedFind): Arrival | null => {
      if (course.overtakenBy !== null || !this.#mayTake(course, found.tags)) return null
      const taken = this.#take(course, request, found)
      this.#flights.end(course)
      return taken
    }
    const early = renew || shared === null ? nothing : shared.glance(request, outbox.isHeard, take)
    let arrival: Promise<Arrival> | undefined
    return {
      early,
      arrival: () =>
        (arrival ??= early.then(
          (found) => found ?? this.#seek(course, request, { shared, renew }),
        )),
    }
  }

  /** Gets an entry from the shared tier if it is there, else from the source, for all nodes if nobody else does so. */
  async #seek(
    course: Course,
    request: EntryRequest,
    { shared, renew }: { readonly shared: SharedTier | null; readonly renew: boolean },
  ): Promise<Arrival> {
    try {
      const found = shared === null ? null : await shared.find(request, renew)
      if (found?.kind === 'failure') {
        if (!this.#mayTake(course, request.tags)) return await this.#load(course, request, null)
        course.failedAt = found.failedAt
        throw failedElsewhere(request.key, found.failure)
      }
      if (found?.kind !== 'entry') return await this.#load(course, request, found)
      if (course.overtakenBy !== null) await this.#vouch(course)
      if (!this.#mayTake(course, found.tags)) return await this.#load(course, request, null)
      return this.#take(course, request, found)
    } finally {
      this.#flights.end(course)
    }
  }

  /** Whether the shared tier is believed: it may not have heard yet what this process has invalidated. */
  #mayTake({ key }: Course, tags: readonly Tag[]): boolean {
    return !this.#parts.outbox.holds(key, tags)
  }

  #take(course: Course, request: EntryRequest, found: SharedFind): Arrival {
    const entry = this.#entryFound(course, request, found)
    return this.#land(course, entry, { tier: 'shared', unkept: null })
  }

  #entryFound(
    { at }: Course,
    { terms }: EntryRequest,
    { value, tags, ageMs, ttlMs, loadMs, fresh, tidemark, node }: SharedFind,
  ): MemoryEntry {
    const { ledger, timing } = this.#parts
    const loadedAt = Math.floor(timing.now() - ageMs)
    const freshUntil = fresh ? Math.floor(loadedAt + ttlMs) : longAgo
    return {
      value: frozen(value),
      at,
      tags: ledger.hold(tags),
      loadedAt,
      freshUntil,
      renewAt: renewalTime({ freshUntil, loadMs }, terms, this.#parts),
      staleUntil: Math.floor(loadedAt + ttlMs + terms.staleMs),
      tidemark,
      node,
    }
  }

  async #load(course: Course, request: EntryRequest, lease: Lease | null): Promise<Arrival> {
    const { ledger, timing, node, shared, tell } = this.#parts
    const { key, kind, tenant, terms, tags } = request
    const beganAt = timing.now()
    const snapshot = await this.#snapshot()
    let loaded: Loaded | undefined
    try {
      loaded = await request.load()
      const endedAt = timing.now()
      if (course.overtakenBy !== null) await this.#vouch(course)
      const loadMs = endedAt - beganAt
      const loadedAt = Math.floor(endedAt)
      const ttlMs = loaded.ttlMs ?? terms.ttlMs
      const freshUntil = Math.floor(loadedAt + ttlMs)
      const entry = {
        value: frozen(loaded.value),
        at: course.at,
        tags: ledger.hold(loaded.tags.length === 0 ? tags : [...tags, ...loaded.tags]),
        loadedAt,
        freshUntil,
        renewAt: renewalTime({ freshUntil, loadMs }, terms, this.#parts),
        staleUntil: Math.floor(freshUntil + terms.staleMs),
        tidemark: snapshot ?? null,
        node,
      }
      const undated = snapshot === undefined ? 'undated' : null
      const unkept = loaded.store ? undated : 'skipped'
      const arrival = this.#land(course, entry, { tier: 'source', unkept })
      shared?.loaded(key)
      const { notStored } = arrival
      const stored = notStored === null
      tell({ event: 'loaded', kind, tenant, key, ms: loadMs, stored, notStored, ttlMs })
      if (stored) lease?.fill({ entry, ttlMs, loadMs, staleMs: terms.staleMs })
      else lease?.release()
      return arrival
    } catch (error) {
      if (loaded === undefined) this.#fail(course, lease, error)
      else lease?.release()
      tell({ event: 'load_failed', kind, tenant, key, ms: timing.now() - beganAt, error })
      throw error
    }
  }

  /** Gives the lease of a load back that threw. What was invalidated on the way has failed for who waits for it already, here. */
  #fail(course: Course, lease: Lease | null, error: unknown): void {
    if (this.#flights.refusal(course, course.tags) === null) lease?.fail(error)
    else lease?.release()
  }

  /**
   * Stores what a flight has brought unless it is not to be kept or something has invalidated it; then it gives its tags back,
   * and lets what memory has, which may be older, be over: readers are not given less than they were.
   */
  #land(
    course: Course,
    entry: MemoryEntry,
    { tier, unkept }: { readonly tier: AnswerTier; readonly unkept: NotStored | null },
  ): Arrival {
    const { ledger, memory } = this.#parts
    const refusal = this.#flights.refusal(course, entry.tags)
    const stood = refusal === null
    this.#flights.landed(course, stood)
    const notStored = unkept ?? refusal
    if (notStored === null) memory.set(course.key, entry, tier === 'shared')
    else {
      ledger.release(entry.tags)
      if (stood) memory.expire(course.key)
      else memory.delete(course.key)
    }
    return { entry, tier, stood, notStored }
  }

  /**
   * What overtook a flight may have been read later than what this one brings. Whatever it had read was committed before a look
   * that is sent now, which tells what of it this one lacks.
   */
  async #vouch(course: Course): Promise<void> {
    let vouched: Landing | null = null
    while (vouched !== course.overtakenBy) {
      vouched = course.overtakenBy
      if (!(await this.#parts.follower.lookAgain())) course.killed = 'overtaken'
    }
  }

  /**
   * Undefined: the journal does not answer, or has not told anything yet; what is loaded now cannot be dated and is not kept. The first
   * look that has an answer would let go of it, for nothing is known of what came before.
   */
  async #snapshot(): Promise<string | null | undefined> {
    const { timing, journal, follower, lookMs } = this.#parts
    if (follower.isAway || follower.place === undefined) return undefined
    return within(timing, journal.snapshot(), lookMs).catch(() => undefined)
  }
}

const nothing = Promise.resolve(null)
