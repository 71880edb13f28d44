import { seeded } from '../support/random.ts'

/** Choices that are the same for the same seed. */
export interface Random {
  /** A whole number in [0, limit). */
  readonly below: (limit: number) => number
  /** A whole number in [low, high]. */
  readonly between: (low: number, high: number) => number
  readonly chance: (probability: number) => boolean
  /** One of a list that is not empty. */
  readonly pick: <Item>(items: readonly Item[]) => Item
  readonly weighted: <Item>(items: readonly (readonly [number, Item])[]) => Item
  /** Up to `count` of a list, none twice, in random order. */
  readonly sample: <Item>(items: readonly Item[], count: number) => Item[]
  /** A generator of its own, so that what is drawn there moves nothing here. */
  readonly fork: () => Random
}

export function randomOf(seed: number): Random {
  const next = seeded(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  const pick = <Item>(items: readonly Item[]): Item => {
    const [first] = items
    if (first === undefined) throw new Error('nothing to pick from')
    return items[below(items.length)] ?? first
  }
  const random: Random = {
    below,
    between: (low, high) => low + below(high - low + 1),
    chance: (probability) => next() < probability,
    pick,
    weighted(items) {
      let rest = next() * items.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, item] of items) {
        rest -= weight
        if (rest < 0) return item
      }
      return pick(items)[1]
    },
    sample(items, count) {
      const left = [...items]
      const taken = []
      while (taken.length < count && left.length > 0) {
        taken.push(...left.splice(below(left.length), 1))
      }
      return taken
    },
    fork: () => randomOf(Math.floor(next() * 4_294_967_296)),
  }
  return random
}
