import { expect, test } from 'vitest'
import { diceOf } from '../base/dice.ts'
import { keyMaker } from './entry-key.ts'
import { remembered } from './recent-keys.ts'

type Arguments = readonly [id: string | number | bigint | undefined, params: readonly unknown[]]

/** A maker of keys, and one that remembers, which counts what it makes. */
function makers() {
  const form = { prefix: 'shop', kind: 'quotes:list', digest: '1f0c9a2e' }
  const keyOf = keyMaker(form, (text) => `digest of ${text}`)
  let made = 0
  const plainly = (...[id, params]: Arguments) => keyOf(id === undefined ? null : `t_${id}`, params)
  const recently = remembered((...of: Arguments) => {
    made += 1
    return `${typeof of[0]} ${plainly(...of)}`
  })
  return {
    plainly: (...of: Arguments) => `${typeof of[0]} ${plainly(...of)}`,
    recently,
    made: () => made,
  }
}

const values: readonly unknown[] = [
  ...[
    0,
    -0,
    1,
    1.5,
    NaN,
    Infinity,
    -1,
    2 ** 31,
    2 ** 53,
    1n,
    10n ** 20n,
    true,
    false,
    null,
    undefined,
  ],
  ...[
    '',
    '1',
    '1n',
    'true',
    'null',
    'undefined',
    'NaN',
    'a',
    'a=1',
    '{a=1}',
    'a,b',
    'a:b',
    '@2026',
    'ä',
  ],
  ...[new Date(0), new Date(1), [], [1], ['1'], [[1]], [{ a: 1 }]],
  ...[{}, { a: 1 }, { a: '1' }, { a: undefined }, { a: 1, b: 2 }, { b: 2, a: 1 }, { a: 1, b: '2' }],
  ...[{ a: { b: 1 } }, { a: null }, { a: 'b' }, { 'a=1,b': 2 }, { a: [1] }, { a: new Date(0) }],
  JSON.parse('{"__proto__": 1}'),
  JSON.parse('{"__proto__": 2, "constructor": 3}'),
  Object.assign(Object.create(null) as object, { a: 1 }),
]
const ids = [undefined, 1, '1', 1n, 2, -0, 0, 'a', '', 'a:b'] as const

test('law: a key that is remembered is the key that would be made', () => {
  const { plainly, recently } = makers()
  const dice = diceOf(7)
  for (let question = 0; question < 20_000; question += 1) {
    const params = Array.from(
      { length: Math.floor(dice() * 3) },
      () => values[Math.floor(dice() * values.length)],
    )
    const id = ids[Math.floor(dice() * ids.length)]
    expect(recently(id, params)).toBe(plainly(id, params))
  }
})

test('what is asked for again is not made again, but for what is not compared by its value', () => {
  const { recently, made } = makers()
  const ask = (params: readonly unknown[]) => [1, 2, 3, 4].map(() => recently(7, params))
  ask([{ page: 2, status: 'OPEN', only: null }, 'x', 12n, true])
  expect(made()).toBe(2)
  ask([new Date(0)])
  expect(made()).toBe(6)
})

test('law: of an object that is changed, or computes its properties, the key is that of what it has', () => {
  const { plainly, recently } = makers()
  const page = { page: 1 }
  for (let asked = 0; asked < 9; asked += 1) {
    page.page = asked % 2
    expect(recently(7, [page])).toBe(plainly(7, [{ page: asked % 2 }]))
  }
  const asking = {
    get page() {
      return recently(8, [{ page: 3 }])
    },
  }
  for (let asked = 0; asked < 9; asked += 1)
    expect(recently(7, [asking])).toBe(plainly(7, [{ page: plainly(8, [{ page: 3 }]) }]))
  let reads = 0
  const computed = {
    get page() {
      return (reads += 1) % 2
    },
  }
  for (let asked = 0; asked < 9; asked += 1) recently(7, [computed])
  for (const is of [0, 1]) expect(recently(7, [{ page: is }])).toBe(plainly(7, [{ page: is }]))
})

test('what is asked for more than once is remembered, however much is asked for once', () => {
  const { recently, made } = makers()
  for (let asked = 0; asked < 50_000; asked += 1) recently(undefined, [asked])
  expect(made()).toBe(50_000)
  for (let round = 0; round < 10; round += 1)
    for (let asked = 0; asked < 1_000; asked += 1) recently(undefined, [asked])
  expect(made()).toBeLessThan(53_000)
})
