import { expect, test } from 'vitest'
import type { Timing } from '../../src/base/timing.ts'
import { Deadlines } from '../../src/cache/deadlines.ts'
import { seed, seeded } from '../support/random.ts'
import { handTiming } from '../support/hand-timing.ts'

const dice = seeded(seed)

test('law: who waits is late at his time, neither sooner nor later, and not when his wait has ended', async () => {
  for (let history = 0; history < 50; history += 1) {
    const timing = handTiming()
    const deadlines = new Deadlines(timing)
    const expected: number[][] = []
    const late: number[][] = []
    for (let one = 0; one < 20; one += 1) {
      const until = timing.now() + 1 + Math.floor(dice() * 50)
      const ended = timing.now() + Math.floor(dice() * 60) + 0.5
      const wait = deadlines.begin(until - timing.now(), () => late.push([one, timing.now()]))
      timing.after(ended - timing.now(), () => {
        expect(deadlines.end(wait)).toBe(ended < until)
      })
      if (ended > until) expected.push([one, until])
      await timing.pass(Math.floor(dice() * 10))
    }
    await timing.pass(100)
    expect(late.toSorted(([left = 0], [right = 0]) => left - right)).toEqual(expected)
  }
})

test('who has no time is late at once', () => {
  const told: string[] = []
  new Deadlines(handTiming()).begin(0, () => told.push('late'))
  expect(told).toEqual(['late'])
})

test('one timer does for a thousand waits that end in time, and none is left of who rests', async () => {
  const timing = handTiming()
  let set = 0
  const open = new Set<number>()
  const counting: Timing = {
    now: timing.now,
    after(ms, callback) {
      const one = (set += 1)
      open.add(one)
      const cancel = timing.after(ms, () => {
        open.delete(one)
        callback()
      })
      return () => {
        open.delete(one)
        cancel()
      }
    },
  }
  const deadlines = new Deadlines(counting)
  for (let one = 0; one < 1_000; one += 1) {
    const wait = deadlines.begin(250, () => expect.fail('it has ended in time'))
    deadlines.rest()
    expect(open.size).toBe(1)
    if (one % 100 === 0) await timing.pass(100)
    deadlines.end(wait)
  }
  deadlines.rest()
  expect([set <= 10, open.size]).toEqual([true, 0])
})
