import type { Timing } from '../base/timing.ts'
import type { CacheEvent } from './cache-event.ts'

/** Below which rate somebody wants to hear of it. */
export interface HitRateBounds {
  /** The share of answers that need no load, 0 to 1; null: nobody asks about this kind. */
  readonly minOf: (kind: string) => number | null
  /** Answers of so long are counted together. */
  readonly overMs: number
  /** Of fewer answers nothing is told. */
  readonly answersMin: number
}

/** What is counted of a kind since a moment. */
interface Count {
  since: number
  answers: number
  hits: number
  low: boolean
}

/**
 * Watches how many answers of each kind needed no load, one span of time after the other, and tells when that falls below
 * the bound and when it is back. A span ends with the first answer after it: of a kind that nobody reads nothing is told.
 */
export class HitRates {
  readonly #bounds: HitRateBounds
  readonly #timing: Timing
  readonly #counts = new Map<string, Count>()

  constructor(bounds: HitRateBounds, timing: Timing) {
    this.#bounds = bounds
    this.#timing = timing
  }

  /** Counts an event; returns what is to be told, or null. */
  note(event: CacheEvent): CacheEvent | null {
    if (event.event !== 'answered') return null
    const { kind, state } = event
    const now = this.#timing.now()
    const count = this.#counts.get(kind) ?? { since: now, answers: 0, hits: 0, low: false }
    this.#counts.set(kind, count)
    const ended = now - count.since >= this.#bounds.overMs
    const told = ended ? this.#end(kind, count) : null
    if (ended) Object.assign(count, { since: now, answers: 0, hits: 0 })
    count.answers += 1
    if (state === 'hit' || state === 'stale') count.hits += 1
    return told
  }

  #end(kind: string, count: Count): CacheEvent | null {
    const { minOf, answersMin } = this.#bounds
    const { answers, hits } = count
    const min = minOf(kind)
    if (min === null || answers < answersMin) return null
    const rate = hits / answers
    const low = rate < min
    if (low === count.low) return null
    count.low = low
    return { event: 'hit_rate', kind, tenant: null, low, rate, min, answers }
  }
}
