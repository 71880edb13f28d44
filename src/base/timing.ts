/**
 * The passing of time: milliseconds that only go forward, from an arbitrary start, and waits by them. For spans of time, which a
 * wall clock that is set back would falsify. An argument wherever it decides, so that a test can hold it.
 */
export interface Timing {
  readonly now: () => number
  /** Calls back after `ms`, once; returns what prevents that. A wait in the background keeps no process alive. */
  readonly after: (ms: number, callback: () => void, background?: boolean) => () => void
}

/** Time as it passes for this process. */
export const systemTiming: Timing = {
  now: () => performance.now(),
  after(ms, callback, background = false) {
    const timer = setTimeout(callback, ms)
    if (background) timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
}

/** Resolves after `ms`. */
export function passing(timing: Timing, ms: number): Promise<void> {
  return new Promise((resolve) => {
    timing.after(ms, resolve)
  })
}

/** Settles as `promise` does, but rejects with {@link LateError} after `ms`. What comes later is dropped, a rejection too. */
export function within<Result>(
  timing: Timing,
  promise: Promise<Result>,
  ms: number,
): Promise<Result> {
  if (ms <= 0) {
    promise.catch(() => undefined)
    return Promise.reject(new LateError(ms))
  }
  return new Promise((resolve, reject) => {
    const cancel = timing.after(ms, () => {
      reject(new LateError(ms))
    })
    void promise.then(resolve, reject).then(cancel)
  })
}

/** What did not come in time. */
export class LateError extends Error {
  constructor(ms: number) {
    super(`nothing came within ${ms} ms`)
    this.name = 'LateError'
  }
}
