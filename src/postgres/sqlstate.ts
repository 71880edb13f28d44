/** The server or the way to it is gone or not ready; what was asked may be asked again soon. */
export const connectionLost: readonly string[] = [
  '08000', '08003', '08006', // connection exceptions
  '57P01', '57P02', '57P03', '57P05', // shutdown, crash, starting up, idle session ended
] // prettier-ignore

/** Lost a race with another transaction, or a lock was not granted in time: the same may succeed soon. */
export const retrySoon: readonly string[] = [
  ...connectionLost,
  '40001', // serialization failure
  '40P01', // deadlock
  '55P03', // lock not available
  '53300', // too many connections
]

/** The server knows the caller but does not let it in. */
export const loginRefused: readonly string[] = ['28P01', '28000']

/**
 * The SQLSTATE of an error, or of what caused it; undefined for errors that PostgreSQL did not raise.
 */
export function sqlstateOf(error: unknown): string | undefined {
  let at: unknown = error
  for (let depth = 0; depth < 8 && at instanceof Error; depth += 1) {
    const code: unknown = Reflect.get(at, 'code')
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code
    at = at.cause
  }
  return undefined
}
