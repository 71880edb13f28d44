import type { Timing } from '../base/timing.ts'
import type { Invalidation, InvalidationRequest, Verb } from '../model/invalidation.ts'

/**
 * What this process has invalidated and will hear of from the journal: an invalidation is told once, by who asked for it. Where two
 * of the same name come close together, of which one is another's, one may stand for both.
 */
export class Echoes {
  readonly #timing: Timing
  readonly #expectedMs: number
  /** Until when an echo may come, by name; the oldest first. */
  readonly #until = new Map<string, number>()

  /** `expectedMs`: so long after an invalidation its echo may come; 0: nobody tells of it again. */
  constructor(timing: Timing, expectedMs: number) {
    this.#timing = timing
    this.#expectedMs = expectedMs
  }

  /** Expects to hear of it again. */
  expect(request: InvalidationRequest): void {
    if (this.#expectedMs === 0) return
    const now = this.#timing.now()
    for (const [name, until] of this.#until) {
      if (until > now) break
      this.#until.delete(name)
    }
    for (const name of namesOf(request)) {
      this.#until.delete(name)
      this.#until.set(name, now + this.#expectedMs)
    }
  }

  /** Expects it no more: it was not told, and what will be heard of it has not been told either. */
  forget(request: InvalidationRequest): void {
    for (const name of namesOf(request)) this.#until.delete(name)
  }

  /** Those that this process has not told of itself. */
  others(invalidations: readonly Invalidation[]): readonly Invalidation[] {
    const now = this.#timing.now()
    return invalidations.filter(({ of, verb }) => {
      const name = of.kind === 'tag' ? nameOf(verb, 'tag', of.tag) : nameOf(verb, 'key', of.key)
      const until = this.#until.get(name) ?? -Infinity
      this.#until.delete(name)
      return until <= now
    })
  }
}

const nameOf = (verb: Verb, kind: 'tag' | 'key', text: string): string => `${verb} ${kind} ${text}`

const namesOf = ({ verb, tags, keys }: InvalidationRequest): readonly string[] => [
  ...tags.map((tag) => nameOf(verb, 'tag', tag)),
  ...keys.map((key) => nameOf(verb, 'key', key)),
]
