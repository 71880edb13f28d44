import { describe, expect, test } from 'vitest'
import { grouped, minutes, quantile, shortDuration, shortSpan } from './figures.ts'

describe('figures', () => {
  test('a span takes at most five characters at any size', () => {
    for (let ms = 0; ms < 86_400_000; ms = ms * 1.07 + 1) {
      expect(shortSpan(ms).length).toBeLessThanOrEqual(5)
      expect(shortDuration(ms).length).toBeLessThanOrEqual(5)
    }
  })

  test('a span keeps the digit that matters', () => {
    expect(
      [0, 449, 9_949, 9_950, 38_400, 99_499, 99_500, 720_000, 10_800_000].map(shortSpan),
    ).toEqual(['0.0s', '0.4s', '9.9s', '10s', '38s', '99s', '2m', '12m', '3h'])
  })

  test('a step below a second is told in milliseconds', () => {
    expect([0, 83.4, 999, 999.6, 42_000].map(shortDuration)).toEqual([
      '0ms',
      '83ms',
      '999ms',
      '1.0s',
      '42s',
    ])
  })

  test('thousands stand apart', () => {
    expect([0, 999, 1000, 1_234_567].map(grouped)).toEqual(['0', '999', '1,000', '1,234,567'])
  })

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
