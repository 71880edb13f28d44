/** How waits between attempts grow. */
export interface Backoff {
  /** The most that the first wait may last. */
  readonly baseMs: number
  /** The most that any wait may last. */
  readonly maxMs: number
}

/**
 * How long to wait before attempt `attempt` (the first repeat is 1).
 * Full jitter: anything between nothing and the bound is as likely, so that many who failed together
 * do not come back together. `rng` gives numbers in [0, 1).
 */
export function backoffMs(backoff: Backoff, attempt: number, rng: () => number): number {
  // Beyond 2^30 the bound has long been reached, and the product would lose its digits.
  const bound = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(attempt - 1, 30))
  return Math.floor(rng() * bound)
}
