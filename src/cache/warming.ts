import type { Timing } from '../base/timing.ts'
import { within } from '../base/timing.ts'
import type { Cache } from './cache.ts'
import type { WarmingCause } from './cache-event.ts'
import type { EntryRequest } from './entry-request.ts'

/** What one warming does. */
export interface WarmingTask {
  readonly kind: string
  readonly why: WarmingCause
  readonly requests: () => Iterable<EntryRequest> | AsyncIterable<EntryRequest>
  /** Entries that stay fresh for longer are left as they are. */
  readonly freshMs: number
  /** Loads at a time. */
  readonly concurrency: number
  readonly withinMs: number
}

/** What became of a warming. */
export interface WarmingReport {
  /** Entries that were loaded. */
  readonly loaded: number
  /** Entries that were there, or that another node had loaded. */
  readonly ready: number
  readonly failed: number
  /** False: it ended before all entries had their turn, for want of time or because loads failed one after another. */
  readonly complete: boolean
  readonly ms: number
}

/** A source that refuses so many loads in a row is left alone. */
const failuresInRowMax = 10
/** The slowest of so many loads says how long the next may take. */
const loadsRemembered = 20
/** How often progress is told. */
const progressEvery = 100

/** How long loads of a kind take: remembered from one warming to the next. */
export class LoadTimes {
  readonly #latest: number[] = []

  /** Notes a load. */
  note(ms: number): void {
    this.#latest.push(ms)
    if (this.#latest.length > loadsRemembered) this.#latest.shift()
  }

  /** How long the next may take; 0 before the first. */
  get slowest(): number {
    return Math.max(0, ...this.#latest)
  }
}

/**
 * One warming: has entries loaded as their readers would, a few at a time.
 *
 * Law: it ends within its time; a load that would take longer than what is left, by the slowest of the latest, is not begun.
 */
export class Warming {
  readonly #cache: Cache
  readonly #task: WarmingTask
  readonly #times: LoadTimes
  readonly #timing: Timing
  readonly #until: number
  readonly #beganAt: number
  readonly #counts = { loaded: 0, ready: 0, failed: 0 }
  #failuresInRow = 0
  #complete = true
  #error: unknown
  #stopped = false

  constructor(cache: Cache, task: WarmingTask, { times, timing }: WarmingSurroundings) {
    this.#cache = cache
    this.#task = task
    this.#times = times
    this.#timing = timing
    this.#beganAt = timing.now()
    this.#until = this.#beganAt + task.withinMs
  }

  /** Warms; never rejects. */
  async run(): Promise<WarmingReport> {
    this.#tell('began')
    const requests = iteratorOf(this.#task.requests())
    const workers = Array.from({ length: this.#task.concurrency }, () => this.#work(requests))
    await Promise.all(workers)
    // What lists the entries may hold a connection.
    if (!this.#complete) requests.return().catch(() => undefined)
    this.#tell('ended')
    return this.#report()
  }

  /** Begins no further load. */
  stop(): void {
    this.#stopped = true
  }

  async #work(requests: AsyncGenerator<EntryRequest, void>): Promise<void> {
    try {
      for (;;) {
        const next = await within(this.#timing, requests.next(), this.#leftMs())
        if (next.done === true) return
        if (!this.#mayGoOn()) break
        await this.#warm(next.value)
      }
    } catch (error) {
      // The list of entries broke off, or did not come in time.
      this.#error = error
    }
    this.#complete = false
  }

  async #warm(request: EntryRequest): Promise<void> {
    const beganAt = this.#timing.now()
    try {
      const loading = this.#cache.warm(request, this.#task.freshMs)
      const loaded = await within(this.#timing, loading, this.#leftMs())
      if (loaded) this.#times.note(this.#timing.now() - beganAt)
      this.#counts[loaded ? 'loaded' : 'ready'] += 1
      this.#failuresInRow = 0
    } catch (error) {
      this.#error = error
      this.#counts.failed += 1
      this.#failuresInRow += 1
    }
    const { loaded, ready, failed } = this.#counts
    if ((loaded + ready + failed) % progressEvery === 0) this.#tell('going')
  }

  #mayGoOn(): boolean {
    if (this.#stopped || this.#failuresInRow >= failuresInRowMax) return false
    return this.#leftMs() > this.#times.slowest
  }

  #leftMs(): number {
    return this.#until - this.#timing.now()
  }

  #report(): WarmingReport {
    return {
      ...this.#counts,
      complete: this.#complete,
      ms: this.#timing.now() - this.#beganAt,
    }
  }

  #tell(progress: 'began' | 'going' | 'ended'): void {
    const { kind, why } = this.#task
    const report = this.#report()
    const fault = this.#error === undefined ? {} : { error: this.#error }
    this.#cache.tell({ event: 'warming', kind, tenant: null, why, progress, ...report, ...fault })
  }
}

/** What a {@link Warming} needs beside its task. */
export interface WarmingSurroundings {
  readonly times: LoadTimes
  readonly timing: Timing
}

async function* iteratorOf(
  requests: Iterable<EntryRequest> | AsyncIterable<EntryRequest>,
): AsyncGenerator<EntryRequest, void> {
  yield* requests
}
