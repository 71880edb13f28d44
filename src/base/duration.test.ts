import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, parseDuration } from './duration.ts'

describe('parseDuration', () => {
  test.each([
    ['500ms', 500],
    ['5m', 300_000],
    ['5 min', 300_000],
    ['1h 30m', 5_400_000],
    ['1h30m', 5_400_000],
    [' 2d ', 172_800_000],
    ['1w', 604_800_000],
    ['2.5 s', 2_500],
    ['0s', 0],
    ['1d 2h 3m 4s 5ms', 93_784_005],
  ])('reads %j', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each([
    '',
    ' ',
    '5',
    'm',
    '5 x',
    '-5m',
    '5m 1h',
    '1h 1h',
    '5m 5min',
    '1e3s',
    '.5s',
    '5M',
    '1h,',
    '9999999w',
  ])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeNull()
  })
})

describe('formatDuration', () => {
  test.each([
    [0, '0 ms'],
    [250, '250 ms'],
    [999.6, '1 s'],
    [3_200, '3.2 s'],
    [3_000, '3 s'],
    [59_940, '59.9 s'],
    [59_960, '1 min'],
    [250_000, '4 min 10 s'],
    [3_599_600, '1 h'],
    [7_200_000, '2 h'],
    [7_500_000, '2 h 5 min'],
    [86_399_999, '1 d'],
    [273_600_000, '3 d 4 h'],
    [-3_200, '-3.2 s'],
  ])('writes %d ms as %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('law: what is written is read back within the digits that were told', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 11 }), (ms) => {
        const back = parseDuration(formatDuration(ms))
        expect(back).not.toBeNull()
        expect(Math.abs((back ?? 0) - ms)).toBeLessThanOrEqual(ms * 0.05)
      }),
    )
  })
})
