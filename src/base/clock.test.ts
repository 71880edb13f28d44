import { expect, test } from 'vitest'
import { pause } from './clock.ts'

test('a pause ends with its time, or at once when the signal fires or has fired', async () => {
  const abort = new AbortController()
  await pause(1, abort.signal)
  const long = pause(3_600_000, abort.signal)
  abort.abort()
  await long
  await pause(3_600_000, abort.signal)
  expect(abort.signal.aborted).toBe(true)
})
