import { expect, test } from 'vitest'
import { formatSize, parseSize } from './size.ts'

test.each([
  ['1GB', 1_073_741_824],
  ['512 MB', 536_870_912],
  ['1.5gb', 1_610_612_736],
  ['8kB', 8_192],
  ['100B', 100],
])('reads %j as PostgreSQL does', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each(['', '1', 'GB', '1 XB', '-1GB', '1GiB', '99999999TB'])('refuses %j', (text) => {
  expect(parseSize(text)).toBeNull()
})

test.each([
  [512, '512 B'],
  [1_536, '1.5 kB'],
  [1_073_741_824, '1 GB'],
  [20 * 1024 ** 3, '20 GB'],
])('prints %i bytes for people', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text)
})
