import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'

const backoff = { baseMs: 100, maxMs: 10_000 }

test('the bound doubles with every attempt until it is reached', () => {
  const bounds = [1, 2, 3, 7, 8, 5_000].map((attempt) =>
    backoffMs(backoff, attempt, () => 0.999_999),
  )
  expect(bounds).toEqual([99, 199, 399, 6399, 9999, 9999])
})

test('law: a wait is never negative and never beyond the bound', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, luck) => {
        const wait = backoffMs(backoff, attempt, () => luck)
        expect(wait).toBeGreaterThanOrEqual(0)
        expect(wait).toBeLessThan(backoff.maxMs)
      },
    ),
  )
})
