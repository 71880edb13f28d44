import type { CacheManager } from '../../engine/caches/create-cache.ts'
import type { TableWrite } from '../../invalidate/table-write.ts'

/** What an adapter of an ORM needs of a cache. */
export type WrittenCache = Pick<CacheManager, 'wrote'>

/** What a transaction has written so far, held until it commits. */
export class HeldWrites {
  #writes: TableWrite[] = []
  #savepoints: { readonly name: string; readonly length: number }[] = []

  /** Notes writes. */
  add(writes: readonly TableWrite[]): void {
    this.#writes.push(...writes)
  }

  /** Notes that a savepoint was made. */
  savepoint(name: string): void {
    this.#savepoints.push({ name, length: this.#writes.length })
  }

  /** Forgets what was written since a savepoint, which remains. */
  rollbackTo(name: string): void {
    const at = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name)
    const found = this.#savepoints[at]
    if (found === undefined) return
    this.#savepoints.length = at + 1
    this.#writes.length = found.length
  }

  /** Everything that is held, which is held no more. */
  take(): readonly TableWrite[] {
    const writes = this.#writes
    this.#writes = []
    this.#savepoints = []
    return writes
  }
}

/**
 * Tells a cache what was written once what commits it has ended; `writes` gets its answer, or null where it failed.
 *
 * Guarantees: nothing is told before; nothing when it failed, unless it may have been committed all the same.
 */
export async function committed<Result>(
  cache: WrittenCache,
  commit: () => Promise<Result>,
  writes: (result: Result | null) => readonly TableWrite[],
): Promise<Result> {
  const result = await commit().catch(async (error: unknown) => {
    if (mayHaveCommitted(error)) await cache.wrote(writes(null))
    throw error
  })
  await cache.wrote(writes(result))
  return result
}

/**
 * Whether what failed may have been committed all the same: the connection was lost before the server said. Whoever cannot know
 * invalidates, for an invalidation too many costs a load, and one too few is a lie.
 */
export function mayHaveCommitted(error: unknown): boolean {
  const said = codesOf(error, 0)
  const isLost = (code: string): boolean => lost.some((begins) => code.startsWith(begins))
  return said.length === 0 || said.some(isLost)
}

/** How codes begin that say that the connection was lost: of PostgreSQL, and of Prisma in its place. */
const lost = ['08', '57P0', 'P10']

/** The codes that the server has given an error, however the ORM has wrapped it. */
function codesOf(error: unknown, depth: number): string[] {
  if (typeof error !== 'object' || error === null || depth > 5) return []
  const own = ['code', 'originalCode'].map((field): unknown => Reflect.get(error, field))
  const inner = ['cause', 'driverError', 'meta', 'driverAdapterError']
  return [
    ...own.filter((code) => typeof code === 'string' && /^(?=.*\d)[\dA-Z]{5}$/.test(code)),
    ...inner.flatMap((field) => codesOf(Reflect.get(error, field), depth + 1)),
  ] as string[]
}
