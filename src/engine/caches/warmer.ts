import { randomUUID } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import type { Timing } from '../../base/timing.ts'
import type { Cache } from '../../cache/cache.ts'
import type { CacheEvent, WarmingCause } from '../../cache/cache-event.ts'
import type { EntryRequest } from '../../cache/entry-request.ts'
import type { WarmingReport, WarmingTask } from '../../cache/warming.ts'
import { LoadTimes, Warming } from '../../cache/warming.ts'
import type { EntryKey } from '../../model/invalidation.ts'
import { dayMs } from '../../schedule/local-clock.ts'
import { requireListed } from './requirements.ts'
import type { WarmTimes } from './warm-times.ts'
import { nextWarming } from './warm-times.ts'

/** A kind whose entries are loaded before anybody asks. */
export interface WarmKind {
  readonly kind: string
  /** Null: there is no list; only what is read much is warmed. */
  readonly entries: (() => AsyncIterable<EntryRequest>) | null
  /** What is read most, the most read first. */
  readonly hot: () => readonly EntryRequest[]
  readonly hotMax: number
  readonly atStart: boolean
  readonly times: WarmTimes
  readonly concurrency: number
  readonly withinMs: number
}

/** What a {@link Warmer} works with. */
export interface WarmerParts {
  readonly namespace: string
  readonly cache: Cache
  readonly timing: Timing
  readonly clock: Clock
}

/** Invalidations that come within this time are one warming. */
const gatherMs = 20

/**
 * Has the entries of kinds ready: at start, by schedule, after invalidations, and when asked.
 *
 * Guarantees: one warming a kind at a time in a process, and one in all processes that share a store, but for those after
 * invalidations, which each process does for what it reads most: there each entry is loaded by one.
 */
export class Warmer {
  readonly #parts: WarmerParts
  readonly #holder: string = randomUUID()
  readonly #kinds = new Map<string, WarmKindState>()
  readonly #removed = new Set<EntryKey>()
  readonly #running = new Set<Warming>()
  readonly #cancels = new Set<() => void>()
  #started = false
  #closed = false
  #gathering = false

  constructor(parts: WarmerParts) {
    this.#parts = parts
  }

  /** Takes a kind on. */
  add(kind: WarmKind): void {
    const state = { kind, times: new LoadTimes(), ending: null }
    this.#kinds.set(kind.kind, state)
    if (this.#started) this.#begin(state)
  }

  /** Begins what is to happen at start, and the schedules; a second call does nothing. */
  start(): void {
    if (this.#started) return
    this.#started = true
    for (const state of this.#kinds.values()) this.#begin(state)
  }

  /** Warms kinds now; resolves when it has ended. Joins a warming under way. Null: another node does it. @throws TidemarkError for a kind without a list. */
  async warm(kinds: readonly string[]): Promise<Record<string, WarmingReport | null>> {
    const listed = [...this.#kinds.values()].filter(({ kind }) => kind.entries !== null)
    requireListed(
      kinds,
      listed.map(({ kind }) => kind.kind),
    )
    const states = listed.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind.kind))
    const each = states.map(async (state) => {
      return [state.kind.kind, await this.#list(state, 'asked', 0)] as const
    })
    return Object.fromEntries(await Promise.all(each))
  }

  /** Hears of what happens in the cache, so that what is read most and was invalidated is loaded again. */
  hear(event: CacheEvent): void {
    if (event.event !== 'invalidated' && event.event !== 'flushed') return
    const isHot = [...this.#kinds.values()].some(({ kind }) => kind.hotMax > 0)
    if (!isHot || !this.#started) return
    if (event.event === 'invalidated') for (const key of event.keys) this.#removed.add(key)
    if (this.#gathering) return
    this.#gathering = true
    this.#after(gatherMs, () => void this.#warmHot())
  }

  /** Begins nothing any more. */
  close(): void {
    this.#closed = true
    for (const cancel of this.#cancels) cancel()
    for (const warming of this.#running) warming.stop()
  }

  #begin(state: WarmKindState): void {
    const { kind } = state
    if (kind.entries === null) return
    if (kind.atStart) void this.#list(state, 'start', 0)
    this.#schedule(state)
  }

  #schedule(state: WarmKindState): void {
    const { times } = state.kind
    if (times.kind === 'never') return
    const now = this.#parts.clock()
    const due = nextWarming(times, now)
    this.#after(due === null ? dayMs : due.getTime() - now.getTime(), () => {
      this.#schedule(state)
      if (due === null) return
      const next = nextWarming(times, due)
      const periodMs = next === null ? dayMs : next.getTime() - due.getTime()
      void this.#list(state, 'schedule', periodMs)
    })
  }

  #list(state: WarmKindState, why: WarmingCause, periodMs: number): Promise<WarmingReport | null> {
    state.ending ??= this.#lead(state, why, periodMs).finally(() => {
      state.ending = null
    })
    return state.ending
  }

  async #lead(
    state: WarmKindState,
    why: WarmingCause,
    periodMs: number,
  ): Promise<WarmingReport | null> {
    const { cache, namespace } = this.#parts
    const { kind, entries, withinMs } = state.kind
    const task = `${namespace}:~warming:${kind}`
    if (entries === null || !(await this.#leads(state.kind, why, task))) return null
    // Until the next warming has come so far, no entry is to run out.
    const freshMs = periodMs === 0 ? 0 : periodMs + withinMs
    const report = await this.#run(state, { why, requests: entries, freshMs })
    // Nodes whose clocks are late find it done.
    await cache.lead(task, this.#holder, Math.ceil(periodMs / 2))
    return report
  }

  async #leads({ kind, withinMs }: WarmKind, why: WarmingCause, task: string): Promise<boolean> {
    const { cache } = this.#parts
    const leads = await cache.lead(task, this.#holder, withinMs)
    if (leads === true) return true
    cache.tell({
      event: 'warming',
      ...{ kind, tenant: null, why, progress: 'skipped' },
      ...{ loaded: 0, ready: 0, failed: 0, complete: false, ms: 0 },
      ...(leads === null ? { error: new Error('the shared store does not answer') } : {}),
    })
    return false
  }

  async #warmHot(): Promise<void> {
    this.#gathering = false
    const removed = new Set(this.#removed)
    this.#removed.clear()
    const { cache } = this.#parts
    for (const state of this.#kinds.values()) {
      const requests = state.kind
        .hot()
        .filter(({ key }) => removed.has(key) || cache.isOutdated(key))
      if (requests.length === 0) continue
      await this.#run(state, { why: 'invalidation', requests: () => requests, freshMs: 0 })
    }
  }

  async #run(
    { kind: { kind, concurrency, withinMs }, times }: WarmKindState,
    what: Pick<WarmingTask, 'why' | 'requests' | 'freshMs'>,
  ): Promise<WarmingReport> {
    const { cache, timing } = this.#parts
    const warming = new Warming(cache, { kind, concurrency, withinMs, ...what }, { times, timing })
    if (this.#closed) warming.stop()
    this.#running.add(warming)
    try {
      return await warming.run()
    } finally {
      this.#running.delete(warming)
    }
  }

  #after(ms: number, body: () => void): void {
    if (this.#closed) return
    const cancel = this.#parts.timing.after(
      ms,
      () => {
        this.#cancels.delete(cancel)
        body()
      },
      true,
    )
    this.#cancels.add(cancel)
  }
}

/** A kind, how long its loads take, and the end of the warming of its list that is under way. */
interface WarmKindState {
  readonly kind: WarmKind
  readonly times: LoadTimes
  ending: Promise<WarmingReport | null> | null
}
