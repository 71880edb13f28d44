import { expect, test } from 'vitest'
import { bar, counted, grouped, relative, span, tookText } from './figures.ts'

test.each([
  [0, '0s'],
  [412, '0.4s'],
  [9_940, '9.9s'],
  [9_960, '10s'],
  [99_400, '99s'],
  [100_000, '2m'],
  [3_600_000, '60m'],
  [6 * 3_600_000, '6h'],
  [10 * 86_400_000, '10d'],
  [-5, '0s'],
])('a span of %i ms is told as %s', (ms, text) => {
  expect(span(ms)).toBe(text)
  expect(text.length).toBeLessThanOrEqual(4)
})

test('how long a step took has milliseconds below a second', () => {
  expect(tookText(83)).toBe('83ms')
  expect(tookText(1_200)).toBe('1.2s')
})

test('moments are told from now on both sides, and what is a blink away is now', () => {
  const now = new Date(100_000)
  expect(relative(new Date(88_000), now)).toBe('12s ago')
  expect(relative(new Date(112_000), now)).toBe('in 12s')
  expect(relative(new Date(100_020), now)).toBe('now')
})

test('a bar has always its cells, is empty at 0 and full from 1 on', () => {
  for (let share = 0; share <= 2; share += 0.01) {
    expect(Array.from(bar(share, 8))).toHaveLength(8)
  }
  expect(bar(0, 4)).toBe('░░░░')
  expect(bar(0.5, 4)).toBe('██░░')
  expect(bar(3, 4)).toBe('████')
})

test('numbers, counts and bytes are told as people read them', () => {
  expect(grouped(1_234_567)).toBe('1,234,567')
  expect(counted(1, 'view')).toBe('1 view')
  expect(counted(2, 'refresh', 'refreshes')).toBe('2 refreshes')
})
