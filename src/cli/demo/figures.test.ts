import { describe, expect, test } from 'vitest'
import { minutes, quantile } from './figures.ts'

describe('figures', () => {
  test('elapsed time is minutes and seconds', () => {
    expect([0, 59_999, 60_000, 6_001_000].map(minutes)).toEqual([
      '00:00',
      '00:59',
      '01:00',
      '100:01',
    ])
  })

  test('a quantile is one of the values', () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1)
    expect([0, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([1, 50, 99, 100])
    expect(quantile([7], 0.5)).toBe(7)
    expect(quantile([], 0.99)).toBe(0)
  })
})
