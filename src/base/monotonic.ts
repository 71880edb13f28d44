/**
 * Milliseconds that only go forward, from an arbitrary start: for spans of time, which a wall clock that is set
 * back would falsify. An argument wherever it decides, so that a test can hold it.
 */
export type Monotonic = () => number

/** The monotonic clock of this process. */
export const systemMonotonic: Monotonic = () => performance.now()
