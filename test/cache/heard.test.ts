import { describe, expect, test } from 'vitest'
import { pick } from '../../src/base/dice.ts'
import { Heard } from '../../src/cache/heard.ts'
import type { EntryKey, Invalidation, News, Position, Tag } from '../../src/model/invalidation.ts'
import { seed, seeded } from '../support/random.ts'

const dice = seeded(seed)
const tags = ['a', 'b', 'c'] as Tag[]
const keys = ['k', 'l'] as EntryKey[]
const at = (position: number): Position => position as Position

const tagged = (tag: string, position: number): Invalidation => ({
  position: at(position),
  verb: 'remove',
  of: { kind: 'tag', tag: tag as Tag },
  xids: null,
})
const newsOf = (epoch: string, invalidations: readonly Invalidation[], position: number): News => ({
  epoch,
  position: at(position),
  complete: true,
  invalidations,
  snapshot: null,
})
const anyInvalidation = (position: number): Invalidation => ({
  position: at(position),
  verb: dice() < 0.5 ? 'remove' : 'expire',
  of:
    dice() < 0.6 ? { kind: 'tag', tag: pick(dice, tags) } : { kind: 'key', key: pick(dice, keys) },
  xids: null,
})
const concerns = ({ of }: Invalidation, key: EntryKey, its: readonly Tag[]): boolean =>
  of.kind === 'tag' ? its.includes(of.tag) : of.key === key

describe('what a node has heard', () => {
  test('law: an entry is untouched just if all since its lease was told, and nothing of it concerned the entry', () => {
    const counts = { untouched: 0, touched: 0, unknown: 0 }
    for (let history = 0; history < 100; history += 1) {
      const heard = new Heard()
      let [epoch, from, position] = ['', 0, 0]
      let told: Invalidation[] = []
      for (let step = 0; step < 12; step += 1) {
        const event = step === 0 ? 0 : dice()
        // An epoch begins, or what lies between was forgotten.
        if (event < 0.05) epoch += 'e'
        else if (event < 0.1) position += 3
        const follows = event >= 0.1
        const news = Array.from({ length: follows ? Math.floor(dice() * 3) : 0 }, () =>
          anyInvalidation((position += 1)),
        )
        told = follows ? [...told, ...news] : []
        if (!follows) from = position
        heard.take(newsOf(epoch, news, position), follows)
        const key = pick(dice, keys)
        const its = tags.filter(() => dice() < 0.5)
        const leasedAt = {
          epoch: dice() < 0.9 ? epoch : 'other',
          position: at(position - step / 2),
        }
        const isKnown = leasedAt.epoch === epoch && leasedAt.position >= from
        const isTouched = told.some(
          (one) => one.position > leasedAt.position && concerns(one, key, its),
        )
        const standing = !isKnown ? 'unknown' : isTouched ? 'touched' : 'untouched'
        expect(heard.standing(key, { tags: its, leasedAt })).toBe(standing)
        counts[standing] += 1
      }
    }
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(100)
  })

  test('law: what there was no room for is unknown, never untouched', () => {
    const heard = new Heard()
    const key = 'k' as EntryKey
    const standing = (tag: number, position: number) =>
      heard.standing(key, {
        tags: [`t${tag}` as Tag],
        leasedAt: { epoch: 'e', position: at(position) },
      })
    expect(standing(0, 0)).toBe('unknown')
    heard.take(newsOf('e', [], 0), false)
    const names = 12_345
    for (let position = 1; position <= names; position += 1)
      heard.take(newsOf('e', [tagged(`t${position}`, position)], position), true)
    const each = Array.from({ length: names }, (_, one) => one + 1)
    const known = (from: number) => each.map((one) => (one > from ? true : null))
    const told = { touched: true, untouched: false, unknown: null }
    expect(each.map((one) => told[standing(one, one - 1)])).toEqual(known(5_000))
    expect(each.map((one) => told[standing(one, one)] ?? null)).toEqual(
      each.map((one) => (one >= 5_000 ? false : null)),
    )
  })
})
