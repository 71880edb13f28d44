/**
 * States a law of Tidemark. A breach is a fault of Tidemark itself: the step stops, nobody catches it.
 */
function assert(condition: boolean, law: string): asserts condition {
  if (!condition) throw new Error(`A law of Tidemark is broken: ${law}. Please report it.`)
}

/** The value, which by a law of Tidemark is there. */
export function must<Value>(value: Value | null | undefined, law: string): Value {
  assert(value !== null && value !== undefined, law)
  return value
}
