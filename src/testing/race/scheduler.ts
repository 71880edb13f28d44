import { setTimeout as pause } from 'node:timers/promises'
import type { Timing } from '../../base/timing.ts'
import type { Dice } from '../../base/dice.ts'

/** How often time passes while somebody waits for a turn. */
const timeShare = 0.02

/**
 * Decides in which order things happen that would else happen as they please: whoever is about to do something waits here,
 * and the dice say who goes on. Between two steps all that can happen without a wait has happened.
 *
 * What is behind a step (a server that answers) is real, and awaited. Time is not: it passes from one timer to the next.
 */
export class Scheduler {
  readonly #dice: Dice
  readonly #held: (() => void)[] = []
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>()
  #running = 0
  #now = 0
  #passing = Promise.resolve()

  constructor(dice: Dice) {
    this.#dice = dice
  }

  /** The time that has passed, in milliseconds. */
  get now(): number {
    return this.#now
  }

  /** Time that passes when the dice say so, by the clock of a node, which has a start of its own. */
  timing(start: number): Timing {
    return {
      now: () => this.#now + start,
      after: (ms, callback) => {
        const timer = { at: this.#now + ms, callback }
        this.#timers.add(timer)
        return () => void this.#timers.delete(timer)
      },
    }
  }

  /** Lets time pass; waits that end meanwhile end in their order, and what they cause has happened. Nobody has a turn until then. */
  pass(ms: number): Promise<void> {
    this.#passing = this.#passing.then(() => this.#pass(ms))
    return this.#passing
  }

  async #pass(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      const next = this.#nextTimer()
      if (next === undefined || next.at > until) break
      this.#now = Math.max(this.#now, next.at)
      this.#timers.delete(next)
      next.callback()
      await this.#quiet()
    }
    this.#now = until
  }

  #nextTimer(): { readonly at: number; readonly callback: () => void } | undefined {
    let next: { readonly at: number; readonly callback: () => void } | undefined
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer
    return next
  }

  /** Waits for its turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.#held.push(resolve))
  }

  /** Does something real, of which the next step waits for the end. */
  async real<Result>(body: () => Promise<Result>): Promise<Result> {
    this.#running += 1
    try {
      return await body()
    } finally {
      this.#running -= 1
    }
  }

  /** Lets one who waits go on, or time pass to the next timer, and waits until nothing happens any more. */
  async step(): Promise<void> {
    await this.#passing
    await this.#quiet()
    const timer = this.#nextTimer()
    if (timer !== undefined && (this.#held.length === 0 || this.#dice() < timeShare)) {
      await this.#pass(timer.at - this.#now)
      return
    }
    if (this.#held.length === 0) return
    const [next] = this.#held.splice(Math.floor(this.#dice() * this.#held.length), 1)
    next?.()
    await this.#quiet()
  }

  async #quiet(): Promise<void> {
    for (let calm = 0; calm < 2; calm += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#running === 0) continue
      calm = -1
      await pause(0)
    }
  }
}
