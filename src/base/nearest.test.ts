import { expect, test } from 'vitest'
import { nearest } from './nearest.ts'

const known = ['target', 'schedules', 'refreshBy', 'group', 'key', 'sql']

test.each([
  ['targt', 'target'],
  ['taregt', 'target'],
  ['schedule', 'schedules'],
  ['refresh_by', 'refreshBy'],
  ['Group', 'group'],
  ['keys', 'key'],
])('takes %j for %j', (word, meant) => {
  expect(nearest(word, known)).toBe(meant)
})

test.each(['colour', 'x', '', 'zz'])('takes %j for none of the known words', (word) => {
  expect(nearest(word, known)).toBeUndefined()
})
