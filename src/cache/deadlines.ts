import type { Timing } from '../base/timing.ts'

/** A wait that ends at a time, unless it is ended before. */
interface Deadline {
  readonly until: number
  readonly late: () => void
}

/**
 * Waits that must end at a time, over one timer for all: to set and to clear one for each took a tenth of the work of a hit in Redis.
 *
 * Law: a wait that nobody has ended is late when a timer fires that was set for its time, as if it had one of its own: the timer is
 * set for the first of all, and when that is over, for the next.
 */
export class Deadlines {
  readonly #timing: Timing
  readonly #waits = new Set<Deadline>()
  /** When the timer fires; it is left to, whatever has ended meanwhile. */
  #firesAt = Infinity
  #cancelTimer: () => void = () => undefined

  constructor(timing: Timing) {
    this.#timing = timing
  }

  /** Calls `late` back after `ms`, unless {@link end} comes before; at once where there is no time. */
  begin(ms: number, late: () => void): Deadline {
    const wait = { until: this.#timing.now() + ms, late }
    if (ms <= 0) {
      late()
      return wait
    }
    this.#waits.add(wait)
    if (wait.until < this.#firesAt) this.#set(wait.until, ms)
    return wait
  }

  /** Ends a wait; false: it has ended already. */
  end(wait: Deadline): boolean {
    return this.#waits.delete(wait)
  }

  /** Ends the timer when nobody waits, so that it keeps no process alive. */
  rest(): void {
    if (this.#waits.size > 0) return
    this.#cancelTimer()
    this.#firesAt = Infinity
  }

  #set(until: number, ms: number): void {
    this.#cancelTimer()
    this.#firesAt = until
    this.#cancelTimer = this.#timing.after(Math.ceil(ms), () => {
      this.#fire(until)
    })
  }

  /** What was due when the timer was to fire is late, whatever the clock says. */
  #fire(due: number): void {
    this.#firesAt = Infinity
    let next = Infinity
    for (const wait of this.#waits) {
      if (wait.until > due) {
        next = Math.min(next, wait.until)
        continue
      }
      this.#waits.delete(wait)
      wait.late()
    }
    if (next < this.#firesAt) this.#set(next, Math.max(0, next - this.#timing.now()))
  }
}
