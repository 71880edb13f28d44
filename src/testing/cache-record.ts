import { AssertionError } from 'node:assert'
import type { CacheEvent } from '../cache/cache-event.ts'
import type { AnswerState } from '../model/answer.ts'
import { tagName } from '../model/tag-name.ts'

/** What a cache did, for assertions of tests. */
export interface CacheRecord {
  /** Hears it: `createCache({ onEvent: record.onEvent })`. */
  readonly onEvent: (event: CacheEvent) => void
  /** What was invalidated since the beginning or {@link clear}, each once: patterns as `quotes:*`, tags, keys. */
  readonly invalidated: () => readonly string[]
  /** @throws AssertionError unless each of these was invalidated. */
  readonly assertInvalidated: (...names: readonly string[]) => void
  /** @throws AssertionError if any of these was invalidated; without names, if anything was. */
  readonly assertNotInvalidated: (...names: readonly string[]) => void
  /** @throws AssertionError unless the last answer for a key, or of a kind, was of this state. */
  readonly assertAnswered: (keyOrKind: string, state: AnswerState) => void
  /** Forgets what was so far. */
  readonly clear: () => void
}

/**
 * Remembers what a cache does, so that a test can say what a write has to invalidate:
 * `record.assertInvalidated('quotes:*', 'dashboard:*')`.
 */
export function recordCache(): CacheRecord {
  const names = new Set<string>()
  const answers = new Map<string, AnswerState>()
  const told = (): string => [...names].map((name) => `'${name}'`).join(', ') || 'nothing'
  return {
    onEvent(event) {
      if (event.event === 'answered') {
        answers.set(event.key, event.state).set(event.kind, event.state)
      }
      if (event.event !== 'invalidated') return
      for (const name of [...event.keys, ...event.tags.map((tag) => tagName(tag).name)])
        names.add(name)
    },
    invalidated: () => [...names],
    assertInvalidated(...expected) {
      const missing = expected.filter((name) => !names.has(name))
      if (missing.length === 0) return
      throw failure(`${list(missing)} should have been invalidated; ${told()} was.`)
    },
    assertNotInvalidated(...unwanted) {
      const found = unwanted.length === 0 ? [...names] : unwanted.filter((name) => names.has(name))
      if (found.length > 0) throw failure(`${list(found)} should not have been invalidated.`)
    },
    assertAnswered(keyOrKind, state) {
      const last = answers.get(keyOrKind)
      if (last === state) return
      throw failure(
        `The last answer for '${keyOrKind}' should have been a ${state}; it was ${last ?? 'never asked for'}.`,
      )
    },
    clear() {
      names.clear()
      answers.clear()
    },
  }
}

const list = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ')

const failure = (message: string): AssertionError => new AssertionError({ message })
