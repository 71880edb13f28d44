import type { Timing } from '../base/timing.ts'
import { Deadlines } from './deadlines.ts'

/** When a {@link Breaker} opens, and for how long. */
export interface BreakerLimits {
  readonly failuresMax: number
  readonly openMs: number
}

/**
 * Keeps calls away from what does not answer. After `failuresMax` failures in a row it is open for `openMs`; then one call
 * is let through, and what becomes of it decides. Only for what can be left out: an invalidation goes through the journal,
 * not through here.
 */
export class Breaker {
  readonly #limits: BreakerLimits
  readonly #timing: Timing
  readonly #deadlines: Deadlines
  #failures = 0
  #openUntil = 0
  #probing = false

  constructor(limits: BreakerLimits, timing: Timing) {
    this.#limits = limits
    this.#timing = timing
    this.#deadlines = new Deadlines(timing)
  }

  /** Whether calls are kept away; one that is let through nevertheless finds out for the others. */
  get isOpen(): boolean {
    return this.#failures >= this.#limits.failuresMax
  }

  /** Runs `call`, or returns null at once while the breaker is open, or when the call fails or takes too long. */
  attempt<Result>(call: () => Promise<Result>, withinMs: number): Promise<Result | null> {
    const open = this.isOpen
    if (open && (this.#probing || this.#timing.now() < this.#openUntil))
      return Promise.resolve(null)
    this.#probing = open
    const answer = call()
    return new Promise((resolve) => {
      const wait = this.#deadlines.begin(withinMs, () => {
        this.#fail(open)
        resolve(null)
      })
      // What comes late has failed already.
      answer.then(
        (result) => {
          if (!this.#deadlines.end(wait)) return
          if (open) this.#probing = false
          this.#failures = 0
          resolve(result)
        },
        () => {
          if (!this.#deadlines.end(wait)) return
          this.#fail(open)
          resolve(null)
        },
      )
    })
  }

  /** Keeps no process alive for calls that have ended. */
  close(): void {
    this.#deadlines.rest()
  }

  #fail(open: boolean): void {
    if (open) this.#probing = false
    this.#failures += 1
    this.#openUntil = this.#timing.now() + this.#limits.openMs
  }
}
