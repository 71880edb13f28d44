import { beforeEach, describe, expect, test } from 'vitest'
import type { Kind } from '../../src/cache.ts'
import { cached } from '../../src/cache.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'
import { handTiming, turn } from '../support/hand-timing.ts'
import { cachesOfTests } from './caches-of-tests.ts'

type Hanging = Kind<[id: number], number>

const openCache = cachesOfTests()
let loads: Gate<number>[]

beforeEach(() => {
  loads = []
})

function thingOf() {
  const cache = openCache({ namespace: 'test' })
  const load = (id: number): Promise<number> => {
    expect(id).toBe(7)
    const begun = gate<number>()
    loads.push(begun)
    return begun.passed
  }
  return { cache, thing: cache.define('thing', load, { tags: ['things'] }) }
}

describe('a value that is set', () => {
  test('is what readers get, of this entry alone, and what was there before is not', async () => {
    const { thing } = thingOf()
    expect(await thing.set([7], () => 1)).toBe(true)
    expect(await thing.get(7)).toMatchObject({ value: 1, state: 'hit' })
    expect(await thing.set([7], () => Promise.resolve(2))).toBe(true)
    expect(await thing.get(7)).toMatchObject({ value: 2, state: 'hit' })
    expect(thing.prepare(8).hit()).toBeUndefined()
    expect(loads).toHaveLength(0)
  })

  test('is waited for by who asks while it is made, and not what a load brings that began before', async () => {
    const { thing } = thingOf()
    const before = thing.get(7)
    await turn()
    const making = gate<number>()
    const set = thing.set([7], () => making.passed)
    await turn()
    const meanwhile = thing.get(7)
    making.open(2)
    expect(await set).toBe(true)
    expect(await meanwhile).toMatchObject({ value: 2 })
    loads[0]?.open(1)
    expect((await before).value).toBe(1)
    expect(loads).toHaveLength(1)
  })

  test('has the tags of its kind and of its own, and may say not to be kept', async () => {
    const { cache, thing } = thingOf()
    for (const tag of ['things', 'mine']) {
      expect(await thing.set([7], () => cached(1, { tags: ['mine'] }))).toBe(true)
      await cache.remove({ tags: [tag] })
      expect(thing.prepare(7).hit()).toBeUndefined()
    }
    expect(await thing.set([7], () => cached(1, { skip: true }))).toBe(false)
    expect(thing.prepare(7).hit()).toBeUndefined()
  })

  test('is not kept where making it fails, nor is what was there before', async () => {
    const { thing } = thingOf()
    await thing.set([7], () => 1)
    const failing = thing.set([7], () => Promise.reject(new Error('it cannot be made')))
    await expect(failing).rejects.toThrow('it cannot be made')
    expect(thing.prepare(7).hit()).toBeUndefined()
  })
})

describe('law: a value that was made before an invalidation is not kept after it', () => {
  test.each([
    { by: 'its key', of: (key: string) => ({ keys: [key] }) },
    { by: 'its tag', of: () => ({ tags: ['things'] }) },
    { by: 'a pattern', of: () => ({ patterns: ['thing:*'] }) },
  ])('that was invalidated by $by', async ({ of }) => {
    const { cache, thing } = thingOf()
    const making = gate<number>()
    const set = thing.set([7], () => making.passed)
    await turn()
    await cache.remove(of(thing.key(7)))
    making.open(1)
    expect(await set).toBe(false)
    expect(thing.prepare(7).hit()).toBeUndefined()
  })
})

describe('law: who renews or sets an entry does not wait longer than its hard limit', () => {
  const late = { code: 'TIDEMARK_CACHE_TIMEOUT' }
  const hung = new Promise<never>(() => undefined)

  test.each([
    ['a load that hangs, to renew', (thing: Hanging) => thing.renew(7)],
    ['what is to be set', (thing: Hanging) => thing.set([7], () => hung)],
  ])('for %s', async (_, wait) => {
    const timing = handTiming()
    const cache = openCache({ namespace: 'test', timing })
    const thing = cache.define('thing', (id: number): Promise<number> => hung.then(() => id), {
      hardTimeout: '1s',
    })
    let told: unknown
    wait(thing).catch((error: unknown) => (told = error))
    await timing.pass(999)
    expect(told).toBeUndefined()
    await timing.pass(1)
    expect(told).toMatchObject(late)
    // Who asks after it does not wait for what hangs either.
    expect(await thing.set([7], () => 1)).toBe(true)
    expect(await thing.get(7)).toMatchObject({ value: 1, state: 'hit' })
  })
})

test('a tenant is invalidated whatever kind its entries are of, and no other tenant', async () => {
  const cache = openCache({ namespace: 'test' })
  const ofTenant = { tenant: (id: number) => id }
  const kinds = ['kpis', 'quotes:list'].map((name) =>
    cache.define(name, (id: number) => id, ofTenant),
  )
  const state = async (tenant: number) => {
    const answers = await Promise.all(kinds.map((kind) => kind.get(tenant)))
    return answers.map((answer) => answer.state)
  }
  await state(7)
  await state(8)
  await cache.remove({ tenants: [7] })
  expect(await state(7)).toEqual(['miss', 'miss'])
  expect(await state(8)).toEqual(['hit', 'hit'])
  await cache.expire({ tenants: [8, 9] })
  expect(await state(7)).toEqual(['hit', 'hit'])
  expect(await state(8)).toEqual(['stale', 'stale'])
})
