import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import type { Timing } from '../base/timing.ts'
import { passing, within } from '../base/timing.ts'
import { TidemarkError } from '../model/errors.ts'
import type { EntryKey, InvalidationRequest, Position, Tag } from '../model/invalidation.ts'
import type { Follower } from './follower.ts'
import type { Journal } from './journal.ts'
import type { SharedTier } from './shared-tier.ts'

/** What an {@link Outbox} is made of. */
export interface OutboxParts {
  readonly journal: Journal
  readonly follower: Follower
  readonly shared: SharedTier | null
  readonly lookMs: number
  readonly timing: Timing
  readonly random: () => number
  /** The journal did not take something; it is tried again. */
  readonly onUnreachable: (error: unknown) => void
}

/** An invalidation that was not taken is tried again. */
const retry: Backoff = { baseMs: 50, maxMs: 2_000 }

/**
 * What this process has invalidated and others have not heard of yet. Each invalidation is tried until the journal has it, or
 * until the process ends; meanwhile the shared tier is not believed about it.
 */
export class Outbox {
  readonly #parts: OutboxParts
  readonly #pending = new Set<InvalidationRequest>()
  /** What the journal knows, and since when: the shared tier may not, until a look that was sent later has an answer. */
  readonly #unheardOf = new Map<InvalidationRequest, number>()
  /** The last position that the journal gave to one and that no look has reached since. */
  #unheard: Position | null = null
  #closed = false

  constructor(parts: OutboxParts) {
    this.#parts = parts
  }

  /** Tells the journal; resolves when no node can answer with what was before. */
  async spread(request: InvalidationRequest): Promise<void> {
    const { journal, shared } = this.#parts
    await this.#hold(request, async () => {
      const position = await this.#append(request)
      // A look tells this process what it knows already; what it is for is to take the shared tier along.
      if (shared !== null) await this.#seen(request, position)
      await journal.settled(position)
    })
  }

  /**
   * Tells the journal of `tags`, and waits for it to tell the others of the request, which it knows by itself. Resolves when
   * this process cannot answer with what was before, from whichever tier. That takes a look, also of who shares no tier: it
   * alone tells what the write made the database do, as cascades and triggers.
   */
  async announce(request: InvalidationRequest, tags: readonly Tag[]): Promise<void> {
    await this.#hold(request, async () => {
      if (tags.length > 0) await this.#seen(request, await this.#append({ ...request, tags }))
      else if (await this.#look(request)) await this.#parts.shared?.caughtUp()
    })
  }

  /** Whether the shared tier may still have what this process has invalidated: then it is as good as gone. */
  holds(key: EntryKey, tags: readonly Tag[]): boolean {
    const { toldAt } = this.#parts.follower
    const concerns = (request: InvalidationRequest): boolean =>
      request.keys.includes(key) || request.tags.some((tag) => tags.includes(tag))
    for (const pending of this.#pending) if (concerns(pending)) return true
    for (const [request, knownAt] of this.#unheardOf)
      if (knownAt >= toldAt && concerns(request)) return true
    return false
  }

  /** Whether this node has heard from the journal of all that it has told it: a look after it may have failed. */
  get isHeard(): boolean {
    const { place } = this.#parts.follower
    return this.#unheard === null || (place !== undefined && place.position >= this.#unheard)
  }

  /** Tries nothing again. */
  close(): void {
    this.#closed = true
  }

  async #hold(request: InvalidationRequest, reach: () => Promise<void>): Promise<void> {
    this.#pending.add(request)
    try {
      await reach()
    } finally {
      this.#pending.delete(request)
    }
  }

  async #append(request: InvalidationRequest): Promise<Position> {
    const { journal, random, lookMs, timing, onUnreachable } = this.#parts
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await within(timing, journal.append(request), lookMs)
      } catch (error) {
        if (this.#closed || isLasting(error)) throw error
        onUnreachable(error)
        await passing(timing, backoffMs(retry, attempt, random))
      }
    }
  }

  async #seen(request: InvalidationRequest, position: Position): Promise<void> {
    const { follower, shared } = this.#parts
    this.#unheard = position
    const isTold = (follower.place?.position ?? -1) >= position
    // One is enough: where it tells of less, the journal has begun anew, and everything is let go of.
    if (!isTold && !(await this.#look(request))) return
    if (this.#unheard === position) this.#unheard = null
    await shared?.caughtUp()
  }

  /** Looks at the journal, which knows of a request. False: it did not answer, and that is noted. */
  async #look(request: InvalidationRequest): Promise<boolean> {
    const { follower, timing } = this.#parts
    const knownAt = timing.now()
    if (await follower.lookAgain()) return true
    for (const [other, at] of this.#unheardOf)
      if (at < follower.toldAt) this.#unheardOf.delete(other)
    this.#unheardOf.set(request, knownAt)
    return false
  }
}

/** A fault that trying again does not mend. */
const isLasting = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code !== 'TIDEMARK_DATABASE_UNREACHABLE'
