/**
 * States a law of Tidemark. A breach is a fault of Tidemark itself: the step stops, nobody catches it.
 */
export function assert(condition: boolean, law: string): asserts condition {
  if (!condition) throw new Error(`A law of Tidemark is broken: ${law}. Please report it.`)
}

/** Ends a switch over a union; a case that is added without its arm does not compile. */
export function unreachable(value: never): never {
  throw new Error(`A law of Tidemark is broken: no case for ${JSON.stringify(value)}.`)
}

/** The value, which by a law of Tidemark is there. */
export function must<Value>(value: Value | null | undefined, law: string): Value {
  assert(value !== null && value !== undefined, law)
  return value
}
