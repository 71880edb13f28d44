import type { CacheOptions } from '../../src/cache.ts'
import type { Journal } from '../../src/cache/journal.ts'
import type { Invalidation, Position, Tag } from '../../src/model/invalidation.ts'

/** A journal whose commits a test makes, for a cache that takes it for that of its database. */
export interface ScriptedJournal {
  /** What makes a cache use it. */
  readonly options: Pick<CacheOptions, 'database' | 'journalThrough'>
  /** Commits a change of everything with this tag: who looks from here on is told. */
  readonly commit: (tag: string) => void
  /** Has the nodes look. */
  readonly hint: () => void
  /** Questions get no answer any more, or again. */
  readonly freeze: (frozen: boolean) => void
  /** Looks that were asked for so far. */
  readonly looks: () => number
}

const never = new Promise<never>(() => undefined)

/** Makes one; nothing of it is a database. */
export function scriptedJournal(): ScriptedJournal {
  const told: Invalidation[] = []
  const listeners = new Set<() => void>()
  let frozen = false
  let looks = 0
  const answer = <Result>(of: () => Result): Promise<Result> =>
    frozen ? never : Promise.resolve(of())
  const journal: Journal = {
    hearsBack: false,
    look(since) {
      looks += 1
      return answer(() => ({
        epoch: 'scripted',
        position: told.length as Position,
        complete: true,
        invalidations: told.slice(since ?? told.length),
        snapshot: '1:1:',
      }))
    },
    append: () => answer(() => told.length as Position),
    settled: () => Promise.resolve(),
    snapshot: () => answer(() => '1:1:'),
    onHint(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: () => Promise.resolve(),
  }
  return {
    // Nobody connects to it: whatever is asked of a database here is asked of the journal.
    options: { database: 'postgres://nobody@127.0.0.1:1/none', journalThrough: () => journal },
    commit(tag) {
      const position = (told.length + 1) as Position
      told.push({ position, verb: 'remove', of: { kind: 'tag', tag: tag as Tag }, xids: null })
    },
    hint() {
      for (const listener of listeners) listener()
    },
    freeze(now) {
      frozen = now
    },
    looks: () => looks,
  }
}
