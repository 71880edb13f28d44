import { expect, test } from 'vitest'
import { Bell } from './bell.ts'

const calm = new AbortController().signal

test('rings before a wait are kept, and many are one', async () => {
  const bell = new Bell()
  bell.ring()
  bell.ring()
  expect(await bell.wait(60_000, calm)).toBe('rung')
  expect(await bell.wait(1, calm)).toBe('timeout')
})

test('a ring wakes who waits and is used up by that', async () => {
  const bell = new Bell()
  const waiting = bell.wait(60_000, calm)
  bell.ring()
  expect(await waiting).toBe('rung')
  expect(await bell.wait(1, calm)).toBe('timeout')
})

test('the signal ends a wait, also one that begins after it fired', async () => {
  const bell = new Bell()
  const abort = new AbortController()
  const waiting = bell.wait(60_000, abort.signal)
  abort.abort()
  expect(await waiting).toBe('aborted')
  expect(await bell.wait(60_000, abort.signal)).toBe('aborted')
})

test('a second waiter takes the place of the first', async () => {
  const bell = new Bell()
  const first = bell.wait(60_000, calm)
  const second = bell.wait(60_000, calm)
  expect(await first).toBe('rung')
  bell.ring()
  expect(await second).toBe('rung')
})
