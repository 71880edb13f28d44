import { constructs } from './constructs.ts'
import type { ViewOutcome } from './case.ts'
import type { Random } from './random.ts'

/** Asking for a construct counts a little as seeing it, so that one that never succeeds does not take every place. */
const askedShare = 0.3

/** Decides what the next queries are made for: what has been seen least often, with rows, so far. */
export class Steering {
  readonly #random: Random
  readonly #seen = new Map<string, number>()

  constructor(random: Random) {
    this.#random = random
  }

  /** The constructs that have been seen least; what reads views that are maintained comes after these. */
  next(count: number, histories: number): readonly string[] {
    const ranked = constructs
      .map((name) => ({ name, seen: (this.#seen.get(name) ?? 0) + this.#random.below(2) }))
      .sort((a, b) => a.seen - b.seen)
    const chosen = Array.from({ length: count }, (_, at) => ranked[at % ranked.length]?.name ?? '')
    for (const name of chosen) this.#add(name, histories * askedShare)
    const late = (name: string): number => (name === 'view over view' ? 1 : 0)
    return chosen.sort((a, b) => late(a) - late(b))
  }

  /** Learns which constructs cases have shown. */
  learn(views: readonly ViewOutcome[]): void {
    for (const { view, histories, rowsMax, strategy } of views) {
      if (rowsMax === 0 || strategy !== 'incremental') continue
      for (const name of view.constructs) this.#add(name, histories)
    }
  }

  #add(name: string, cases: number): void {
    this.#seen.set(name, (this.#seen.get(name) ?? 0) + cases)
  }
}
