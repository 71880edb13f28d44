/** Why a wait ended. */
export type Woken = 'rung' | 'timeout' | 'aborted'

/**
 * Wakes a loop. Outside events ring; the loop looks for itself what there is to do.
 *
 * Guarantees: a ring that comes while nobody waits is kept for the next wait; many are one.
 * One loop waits at a time; a second waiter takes the place of the first, which wakes as rung.
 */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined

  /** Wakes the waiter, or the next one to come. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Waits for a ring, for `ms` at most, or until the signal fires. */
  wait(ms: number, signal: AbortSignal): Promise<Woken> {
    this.#wake?.()
    return new Promise((resolve) => {
      const finish = (woken: Woken): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
        if (this.#wake === wake) this.#wake = undefined
        resolve(woken)
      }
      const abort = (): void => {
        finish('aborted')
      }
      const wake = (): void => {
        this.#rung = false
        finish('rung')
      }
      const timer = setTimeout(() => {
        finish('timeout')
      }, ms)
      if (signal.aborted) abort()
      else if (this.#rung) wake()
      else {
        this.#wake = wake
        signal.addEventListener('abort', abort, { once: true })
      }
    })
  }
}
