/** Tells the time; an argument wherever time decides, so that a test can hold it. */
export type Clock = () => Date

/** The clock of this machine. */
export const systemClock: Clock = () => new Date()

/** Waits `ms`, or until the signal fires; resolves in both cases. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
