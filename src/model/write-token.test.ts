import { expect, test } from 'vitest'
import { parseToken, sees } from './write-token.ts'

test('a snapshot sees a transaction that had ended when it was taken', () => {
  const token = parseToken('105')
  expect(sees('100:110:', token)).toBe(true)
  expect(sees('100:110:101,104', token)).toBe(true)
  expect(sees('100:110:101,105', token)).toBe(false)
  expect(sees('100:105:', token)).toBe(false)
  expect(sees('100:106:', token)).toBe(true)
})

test('a snapshot sees another one when it sees all that the other sees', () => {
  const token = parseToken('100:110:101,105')
  expect(sees('100:110:101,105', token)).toBe(true)
  expect(sees('105:112:105,111', token)).toBe(true)
  expect(sees('103:110:103', token)).toBe(false)
  expect(sees('100:109:', token)).toBe(false)
})

test.each(['', 'x', '1:2', '-1', '1.5'])('%j is no token', (text) => {
  expect(() => parseToken(text)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_CACHE_INVALID' }),
  )
})
