import { expect, test } from 'vitest'
import { lineAndColumn } from './text-place.ts'

test('the first character is at 1:1', () => {
  expect(lineAndColumn('select', 0)).toBe('1:1')
})

test('lines are counted by line feeds, columns from 1', () => {
  expect(lineAndColumn('select\n  a\nfrom b', 9)).toBe('2:3')
})

test('a character outside the basic plane counts once', () => {
  expect(lineAndColumn("select '🌊', x", 12)).toBe('1:13')
})
