import { randomUUID } from 'node:crypto'
import type { Timing } from '../base/timing.ts'
import { passing, within } from '../base/timing.ts'
import type { EntryKey, JournalPlace, News, Position, Tag } from '../model/invalidation.ts'
import { Breaker } from './breaker.ts'
import type { EntryAddress, EntryRequest } from './entry-request.ts'
import type { Follower } from './follower.ts'
import type { Journal } from './journal.ts'
import type { LoadFailure } from './load-failure.ts'
import { failureOf } from './load-failure.ts'
import type { MemoryEntry } from './memory-tier.ts'
import { changedPart, decodePayload, encodePayload } from './payload.ts'
import type {
  FollowStep,
  GlancedEntry,
  JudgedEntry,
  SharedAnswer,
  SharedEntry,
  SharedRead,
  SharedStore,
} from './shared-store.ts'

/** What a {@link SharedTier} is made of. */
export interface SharedTierParts {
  readonly store: SharedStore
  readonly journal: Journal
  /** Whether positions are given by the store itself; else it follows the journal of a database. */
  readonly givesPositions: boolean
  /** A call of the store that takes longer has failed. */
  readonly callMs: number
  readonly timing: Timing
  readonly onUnreachable: () => void
  /** An entry is not stored, for that part of its value would come back as something else. */
  readonly onNotShared: (of: EntryAddress, part: string) => void
}

/** An entry that came from the shared store. */
export interface SharedFind {
  readonly kind: 'entry'
  readonly value: unknown
  readonly tags: readonly Tag[]
  readonly ageMs: number
  readonly ttlMs: number
  readonly loadMs: number
  /** False: it was expired, and may be served only while it is renewed. */
  readonly fresh: boolean
  readonly tidemark: string | null
  readonly node: string
}

/** A load of another node that failed after this one had begun to wait for it. */
export interface FailedLoad {
  readonly kind: 'failure'
  readonly failure: LoadFailure
  /** By the clock of this process, at the earliest: who asks later has not waited for it. */
  readonly failedAt: number
}

/** The right to fill an entry of the shared store. All ways of using it return at once and never fail. */
export interface Lease {
  readonly kind: 'lease'
  readonly fill: (filling: Filling) => void
  /** Its load threw: others who wait for it fail as well, and need not try one after the other. */
  readonly fail: (error: unknown) => void
  readonly release: () => void
}

/** What a lease is used for. */
export interface Filling {
  readonly entry: Pick<MemoryEntry, 'value' | 'tags' | 'tidemark' | 'node'>
  readonly ttlMs: number
  readonly loadMs: number
  readonly staleMs: number
}

/** Whoever writes invalidates within this time: so long a node remembers that it was ahead. */
const aheadMs = 10_000
/** A call that nobody waits for may take longer than one of a read. */
const behindMs = 2_000
/** For so long at most a failure is kept for those who waited: they look every {@link waitMs}. */
const failureMsMax = 1_000
/** Others hold the lease: how often to look whether their entry has come. */
const waitMs = 25
/** After three calls in a row that failed, the store is left alone for a second. */
const breakerLimits = { failuresMax: 3, openMs: 1_000 }
/** How often a store that lags behind is taken along before a read goes without it. */
const attemptsMax = 3

/**
 * The shared store as one node uses it: bounded in time, left alone when it does not answer, and never believed while it
 * is behind the journal.
 *
 * Law: an entry that {@link find} or {@link glance} returns was checked at a position at or after the one that this node had
 * seen when it asked, and at or after each by which it was given an answer before: by the store at the position where that stands, or by this
 * node at the one up to which it has heard. The latter is what entries in memory are checked by, and lets pass no more than
 * they: whoever invalidates waits until this node has heard of it, or looks again before it answers.
 */
export class SharedTier {
  readonly #parts: SharedTierParts
  readonly #follower: Follower
  readonly #breaker: Breaker
  /** When this node has loaded what the store may not have, oldest first. */
  readonly #ahead = new Map<EntryKey, number>()
  /** The furthest place that the store has told of: one that tells of less has lost what it had. */
  #told: JournalPlace | undefined
  /** Whether the entry that was judged last by the store is older than what this node has heard: then the next is asked for there as well. */
  #meetsOld = false
  /** Calls that nobody waits for. */
  readonly #behind = new Set<Promise<unknown>>()
  #following: Promise<void> = Promise.resolve()
  #closed = false

  constructor(parts: SharedTierParts, follower: Follower) {
    this.#parts = parts
    this.#follower = follower
    this.#breaker = new Breaker(breakerLimits, parts.timing)
  }

  /**
   * What `take` makes of the entry, where the store has it and no more than a question that changes nothing is needed to know that it is
   * true; else null. Waits for nobody. `heardAll`: this node has heard of all that it has told the journal itself.
   */
  glance<Taken>(
    { key, tags, terms }: EntryRequest,
    heardAll: boolean,
    take: (found: SharedFind) => Taken | null,
  ): Promise<Taken | null> {
    const { callMs, store, timing } = this.#parts
    const seen = this.#follower.place
    const { glances } = store
    if (glances === null || seen === undefined || this.#ahead.has(key)) return nothing
    const taken = (entry: GlancedEntry | null): Taken | null => {
      // Meanwhile this node may have answered with what is not in the store.
      const found = entry === null || this.#ahead.has(key) ? null : foundEntry(entry)
      return found === null ? null : take(found)
    }
    const askedAt = timing.now()
    const boundMs = Math.min(callMs, terms.hardMs)
    const judged = (leftMs: number): Promise<Taken | null> =>
      this.#breaker
        .attempt(() => glances.judged(key, tags), leftMs)
        .then((answer) => taken(this.#believed(answer, key, seen)))
    if (!heardAll || this.#meetsOld || !this.#hasHeardOfStore(seen)) return judged(boundMs)
    return this.#breaker
      .attempt(() => glances.kept(key, tags), boundMs)
      .then((entry) => {
        const standing = entry === null ? 'touched' : this.#follower.heard.standing(key, entry)
        if (standing === 'untouched') return taken(entry)
        return standing === 'unknown' ? judged(boundMs - (timing.now() - askedAt)) : null
      })
  }

  /** What the store has judged, if it is not behind; notes whether that was older than what this node has heard. */
  #believed(answer: JudgedEntry | null, key: EntryKey, seen: JournalPlace): GlancedEntry | null {
    if (answer === null || !this.#isBelieved(answer.place, seen)) return null
    this.#meetsOld = this.#follower.heard.standing(key, answer.entry) === 'unknown'
    return answer.entry
  }

  /** Whether this node has heard of everything by which the store has judged what it was given from there. */
  #hasHeardOfStore(seen: JournalPlace): boolean {
    return this.#told === undefined || isAtLeast(seen, this.#told)
  }

  /**
   * The entry, or the lease to load it, or null when the store cannot be used now. Waits while another node loads it, and fails with
   * it; who renews an entry asks for a load that begins later, and tries for himself.
   */
  async find(
    request: EntryRequest,
    renew: boolean,
  ): Promise<SharedFind | FailedLoad | Lease | null> {
    const holder = randomUUID()
    const beganAt = this.#parts.timing.now()
    // Half of the time is left for a load of one's own: to wait for another node is thrift, and must not be what fails.
    const until = beganAt + request.terms.hardMs / 2
    const shares = request.sharesFailures && !renew
    for (;;) {
      const askedAt = this.#parts.timing.now()
      if (askedAt >= until) return null
      // While it waits, this node may have answered with what is not in the store.
      const renewing = renew || this.#ahead.has(request.key)
      const waitedMs = shares ? askedAt - beganAt : 0
      const answer = await this.#read(request, { holder, renew: renewing, waitedMs })
      if (answer === null) return null
      if (answer.leased) return this.#lease(request, holder)
      const { entry, failure } = answer
      if (entry !== null && !this.#isAhead(request.key, askedAt - entry.ageMs)) {
        const found = foundEntry(entry)
        if (found !== null) return found
      }
      // The clock of the store is read in whole milliseconds.
      if (failure !== null)
        return { kind: 'failure', failure, failedAt: askedAt - Math.max(0, failure.ageMs) - 1 }
      await passing(this.#parts.timing, waitMs)
    }
  }

  /**
   * Notes that this node has answered with what it has just loaded, until the store has it too: it takes no entry from there whose
   * load may have begun earlier, so that its readers never go back.
   */
  loaded(key: EntryKey): void {
    const now = this.#parts.timing.now()
    for (const [old, at] of this.#ahead) {
      if (now - at < aheadMs) break
      this.#ahead.delete(old)
    }
    this.#ahead.delete(key)
    this.#ahead.set(key, now)
  }

  /** The entry as the store has it, if it may be served; nobody is kept waiting. Null: there is none, or no answer. */
  async peek(key: EntryKey): Promise<SharedFind | null> {
    const answer = await this.#peek(key, this.#parts.callMs)
    return answer === null || answer.entry === null ? null : foundEntry(answer.entry)
  }

  /**
   * The entry for who cannot find out what was invalidated meanwhile, unless the store or this node knows that it was removed. Null:
   * there is none, or no answer in time. Where the store is behind what this node has heard, or has lost what it had told of,
   * what was heard has to vouch for the entry.
   */
  async last(key: EntryKey, withinMs: number): Promise<SharedFind | null> {
    const answer = await this.#peek(key, Math.min(withinMs, this.#parts.callMs))
    if (answer === null || answer.entry === null) return null
    const { entry } = answer
    const { heard, place: seen } = this.#follower
    const known = [seen, this.#told].filter((place) => place !== undefined)
    if (!known.every((place) => isAtLeast(answer, place))) {
      const { tags, leasedAt } = entry
      if (leasedAt === null || heard.standing(key, { tags, leasedAt }) !== 'untouched') return null
    }
    return foundEntry(entry)
  }

  async #peek(key: EntryKey, withinMs: number): Promise<SharedAnswer | null> {
    const question = { key, tags: [], holder: '-', leaseMs: 0, renew: false, waitedMs: 0 }
    return this.#breaker.attempt(() => this.#parts.store.read(question), withinMs)
  }

  /** Makes a call that nobody waits for. */
  #do(call: () => Promise<unknown>): void {
    const done = this.#breaker.attempt(call, behindMs)
    this.#behind.add(done)
    void done.finally(() => this.#behind.delete(done))
  }

  /**
   * Whether this node, which calls itself `holder`, does a task for all nodes for `ms`; 0 gives it back. Null: the store
   * does not answer.
   */
  async lead(task: string, holder: string, ms: number): Promise<boolean | null> {
    const { store, callMs } = this.#parts
    const key = task as EntryKey
    if (ms === 0) {
      await this.#breaker.attempt(() => store.release(key, holder), callMs)
      return false
    }
    // The lease of an entry that is never filled.
    const question = { key, tags: [], holder, leaseMs: ms, renew: true, waitedMs: 0 }
    const answer = await this.#breaker.attempt(() => store.read(question), callMs)
    return answer?.leased ?? null
  }

  #isAhead(key: EntryKey, leasedAt: number): boolean {
    const loadedAt = this.#ahead.get(key)
    return loadedAt !== undefined && leasedAt <= loadedAt
  }

  /**
   * Takes the store along with what a look has told this node. If that fails it stands behind, and the next read takes it
   * along.
   */
  follow(news: News, since: Position): void {
    if (this.#parts.givesPositions) return
    const { epoch, position, complete, invalidations } = news
    const step: FollowStep = {
      since: { epoch, position: since },
      to: { epoch, position },
      everything: !complete,
      invalidations,
    }
    this.#following = this.#following.then(async () => {
      await this.#breaker.attempt(() => this.#parts.store.follow(step), this.#parts.callMs)
    })
  }

  /** Resolves when the store has been taken along with what was told so far, or could not be reached. */
  caughtUp(): Promise<void> {
    return this.#following
  }

  /** Waits for the calls that nobody waited for, and ends the connection. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#following
    await Promise.allSettled(this.#behind)
    this.#breaker.close()
    await this.#parts.store.close()
  }

  async #read(
    { key, tags, terms }: EntryRequest,
    of: Pick<SharedRead, 'holder' | 'renew' | 'waitedMs'>,
  ): Promise<SharedAnswer | null> {
    const question = { key, tags, leaseMs: terms.hardMs, ...of }
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const seen = this.#follower.place
      if (seen === undefined) return null
      const answer = await this.#breaker.attempt(
        () => this.#parts.store.read(question),
        this.#parts.callMs,
      )
      if (answer === null) this.#parts.onUnreachable()
      if (answer === null || this.#isBelieved(answer, seen)) return answer
      await this.#bringTogether(answer, seen)
    }
    this.#told = undefined
    return null
  }

  /** Whether a place of the store is not before what this node has seen, nor before what the store has told it. */
  #isBelieved(place: JournalPlace, seen: JournalPlace): boolean {
    const told = this.#told
    if (!isAtLeast(place, seen)) return false
    const { epoch, position } = place
    if (told?.epoch !== epoch || told.position < position) this.#told = { epoch, position }
    return told?.epoch !== epoch || told.position <= position
  }

  /** The store and this node stand apart. Who is behind is taken along. */
  async #bringTogether(store: JournalPlace, seen: JournalPlace): Promise<void> {
    if (this.#parts.givesPositions) {
      // The store came back with less than it had: everything that this node knew of it is void.
      await this.#follower.lookAgain()
      return
    }
    const sameEpoch = store.epoch === seen.epoch
    const news = await within(
      this.#parts.timing,
      this.#parts.journal.look(sameEpoch ? store.position : null),
      this.#parts.callMs,
    ).catch(() => null)
    if (news === null) return
    const step: FollowStep = {
      since: store,
      to: news,
      everything: !sameEpoch || !news.complete,
      invalidations: news.invalidations,
    }
    await this.#breaker.attempt(() => this.#parts.store.follow(step), this.#parts.callMs)
  }

  #lease(request: EntryRequest, holder: string): Lease {
    const { store, onNotShared, timing } = this.#parts
    const { key, terms } = request
    const leasedAt = timing.now()
    const keepMs = Math.min(terms.hardMs / 2, failureMsMax)
    const release = (): void => {
      this.#do(() => store.release(key, holder))
    }
    return {
      kind: 'lease',
      fill: ({ entry, ttlMs, loadMs, staleMs }) => {
        const { value, tidemark, node } = entry
        const changed = changedPart(value)
        if (changed !== null) {
          onNotShared(request, changed)
          release()
          return
        }
        const payload = encodePayload({ value, ttlMs, loadMs, tidemark, node })
        const tags = entry.tags.map(({ tag }) => tag)
        this.#do(async () => {
          const stored = await store.fill({ key, holder, tags, payload, keepMs: ttlMs + staleMs })
          if (stored) this.#ahead.delete(key)
        })
      },
      fail: (error) => {
        // What ends with the process is no failure of the source.
        if (this.#closed || !request.sharesFailures) {
          release()
          return
        }
        const loadMs = timing.now() - leasedAt
        const failing = { key, holder, failure: failureOf(error), loadMs, keepMs }
        this.#do(() => store.fail(failing))
      },
      release,
    }
  }
}

const nothing = Promise.resolve(null)

const isAtLeast = (place: JournalPlace, seen: JournalPlace): boolean =>
  place.epoch === seen.epoch && place.position >= seen.position

/** Null: stored by a version that wrote otherwise; it is loaded anew. The server that tells the age may be another one than at its lease. */
function foundEntry({ payload, tags, ageMs, standing }: SharedEntry): SharedFind | null {
  const content = decodePayload(payload)
  if (content === null) return null
  const { value, ttlMs, loadMs, tidemark, node } = content
  const fresh = standing === 'valid'
  return {
    kind: 'entry',
    value,
    tags,
    ageMs: Math.max(0, ageMs),
    ttlMs,
    loadMs,
    fresh,
    tidemark,
    node,
  }
}
