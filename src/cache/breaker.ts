import type { Monotonic } from '../base/monotonic.ts'

/** When a {@link Breaker} opens, and for how long. */
export interface BreakerLimits {
  readonly failuresMax: number
  readonly openMs: number
}

/**
 * Keeps calls away from what does not answer. After `failuresMax` failures in a row it is open for `openMs`; then one call
 * is let through, and what becomes of it decides. For reads and fills only: an invalidation is never kept away.
 */
export class Breaker {
  readonly #limits: BreakerLimits
  readonly #now: Monotonic
  #failures = 0
  #openUntil = 0
  #probing = false

  constructor(limits: BreakerLimits, now: Monotonic) {
    this.#limits = limits
    this.#now = now
  }

  /** Runs `call`, or returns null at once while the breaker is open, or when the call fails or takes too long. */
  async attempt<Result>(call: () => Promise<Result>, withinMs: number): Promise<Result | null> {
    const open = this.#failures >= this.#limits.failuresMax
    if (open && (this.#probing || this.#now() < this.#openUntil)) return null
    this.#probing = open
    try {
      const result = await within(call(), withinMs)
      this.#failures = 0
      return result
    } catch {
      this.#failures += 1
      this.#openUntil = this.#now() + this.#limits.openMs
      return null
    } finally {
      if (open) this.#probing = false
    }
  }
}

/** Settles as `promise` does, but rejects after `ms`. What comes later is dropped; a late rejection is no fault of ours. */
export async function within<Result>(promise: Promise<Result>, ms: number): Promise<Result> {
  promise.catch(() => undefined)
  if (ms <= 0) throw new LateError(ms)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new LateError(ms))
    }, ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What did not come in time. */
export class LateError extends Error {
  constructor(ms: number) {
    super(`nothing came within ${ms} ms`)
    this.name = 'LateError'
  }
}
