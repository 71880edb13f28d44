import { expect, test } from 'vitest'
import { changedPart, decodePayload, encodePayload } from '../../src/cache/payload.ts'

const around = { ttlMs: 60_000, loadMs: 1.25, tidemark: '1:2:', node: 'host:1' }
const twice = { once: 1 }

test.each([
  ['as maps', 2, { id: 1, name: 'é', tags: ['one', 'two'], in: { it: [{ deep: null }] }, of: 1.5 }],
  ['as maps', 2, [1, 'a', null, true, -0.5, 2 ** 53]],
  ['as maps', 2, { 7: 'a', constructor: 'b' }],
  ['as maps', 2, null],
  ['as records', 1, [{ id: 1 }, { id: 2 }]],
  ['as records', 1, undefined],
  ['as records', 1, { gone: undefined }],
  ['as records', 1, { at: new Date(5), seen: new Set([1]), big: 2n ** 70n }],
  ['as records', 1, { of: new Map<unknown, unknown>([[1, { in: new Map([['a', 1]]) }]]) }],
  ['as records', 1, { bytes: new Uint8Array([1, 2]) }],
] as const)('what is kept %s comes back as it was', (_, first, value) => {
  const bytes = encodePayload({ ...around, value })
  expect(bytes[0]).toBe(first)
  expect(decodePayload(bytes)).toStrictEqual({ ...around, value })
})

class Money {
  readonly amount = 3
}

test.each([
  ['an instance of Money', new Money()],
  ['an instance of Money at 1.price', [{ price: 1 }, { price: new Money() }]],
  ['an instance of Money at a', new Map([['a', new Money()]])],
  ['an instance of Money at [object Object]', new Set([new Money()])],
  ['an instance of URL at link', { link: new URL('http://localhost/') }],
  ['an instance of a class at in', { in: Object.create(Object.create(null) as object) as object }],
  ['a function at of', { of: () => 1 }],
  ['a symbol', Symbol('a')],
  ['a property named __proto__ at in', { in: JSON.parse('{"__proto__": 1}') as unknown }],
])('that %s would come back as something else is told', (part, value) => {
  expect(changedPart(value)).toBe(part)
})

test('of what comes back as it was nothing is told', () => {
  const loop: { self?: unknown } = {}
  loop.self = loop
  const values = [
    loop,
    new Date(5),
    /a/g,
    new Error('e'),
    Buffer.from('a'),
    new Float64Array([1.5]),
  ]
  for (const value of [...values, 2n, undefined, new Map([[1, new Set([[]])]])]) {
    expect(changedPart(value)).toBeNull()
    expect(decodePayload(encodePayload({ ...around, value }))?.value).toEqual(value)
  }
})

test('what occurs twice does so again', () => {
  const decoded = decodePayload(encodePayload({ ...around, value: { a: twice, b: twice } }))
  const { a, b } = decoded?.value as { a: object; b: object }
  expect(a).toBe(b)
})

test('what another version wrote is nothing', () => {
  const bytes = encodePayload({ ...around, value: 1 })
  bytes[0] = 3
  expect(decodePayload(bytes)).toBeNull()
})
