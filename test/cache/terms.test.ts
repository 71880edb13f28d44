import { beforeEach, describe, expect, test } from 'vitest'
import type { CacheOptions } from '../../src/cache.ts'
import { cached, redis } from '../../src/cache.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'
import type { HandTiming } from '../support/hand-timing.ts'
import { handTiming, turn } from '../support/hand-timing.ts'
import { cachesOfTests } from './caches-of-tests.ts'

const openCache = cachesOfTests()
let timing: HandTiming
/** The loads that were begun, which end when a test lets them. */
let loads: Gate<unknown>[]

beforeEach(() => {
  timing = handTiming()
  loads = []
})

const makeCache = (options: Partial<CacheOptions> = {}) =>
  openCache({ namespace: 'test', timing, random: () => 0.5, ...options })

const load = (): Promise<unknown> => {
  const begun = gate<unknown>()
  loads.push(begun)
  return begun.passed
}

/** Ends the load that began last. */
async function bring(value: unknown): Promise<void> {
  await turn()
  loads.at(-1)?.open(value)
  await turn()
}

test.each([undefined, ''])('a store or a database that is %j is refused, not left out', (unset) => {
  const refused = expect.objectContaining({ code: 'TIDEMARK_CACHE_INVALID' }) as Error
  expect(() => redis(unset)).toThrow(refused)
  expect(() => makeCache({ database: unset })).toThrow(refused)
})

test('a TTL for a kind that is not defined is refused at start, and one that is no duration at once', async () => {
  const cache = makeCache({ ttls: { product: '1m', produtc: '1m' } })
  cache.define('product', () => 1)
  await expect(cache.start()).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_INVALID',
    message: expect.stringMatching(/'produtc'.*product/s) as string,
  })
  cache.define('produtc', () => 1)
  await cache.start()
  expect(() => makeCache({ ttls: { product: 'soon' } })).toThrow(/soon.*ttls\['product'\]/s)
})

describe('how long an entry is fresh', () => {
  test('as its kind says, else the table of the cache, else its default, else five minutes', async () => {
    const cache = makeCache({ ttl: '2m', ttls: { listed: '1m', own: '1m' } })
    const kinds = [
      cache.define('own', () => 1, { ttl: '10s', eagerness: 0 }),
      cache.define('listed', () => 1, { eagerness: 0 }),
      cache.define('other', () => 1, { eagerness: 0 }),
      makeCache().define('default', () => 1, { eagerness: 0 }),
    ]
    const ends = [10_000, 60_000, 120_000, 300_000]
    for (const kind of kinds) await kind.get()
    for (const end of ends) {
      await timing.pass(end - 1 - timing.now())
      const before = kinds.map((kind) => kind.prepare().hit() !== undefined)
      await timing.pass(1)
      const after = kinds.map((kind) => kind.prepare().hit() !== undefined)
      expect(before).toEqual(ends.map((other) => other >= end))
      expect(after).toEqual(ends.map((other) => other > end))
    }
  })

  test('an answer says how it came about, how old it is and where it comes from', async () => {
    const thing = makeCache().define('thing', () => 1, { ttl: '1m', stale: '1h', eagerness: 0 })
    const source = { value: 1, state: 'miss', tier: 'source', ageMs: 0, tidemark: null }
    expect(await thing.get()).toEqual(source)
    await timing.pass(30_000)
    const kept = { ...source, tier: 'memory', ageMs: 30_000 }
    expect(await thing.get()).toEqual({ ...kept, state: 'hit' })
    await timing.pass(30_000)
    expect(await thing.get()).toEqual({ ...kept, state: 'stale', ageMs: 60_000 })
  })

  test('what a load says of one entry goes before its kind', async () => {
    const brief = (): unknown => cached(1, { ttl: '1s' })
    const thing = makeCache().define('thing', brief, { ttl: '1h', eagerness: 0 })
    await thing.get()
    await timing.pass(999)
    expect((await thing.get()).state).toBe('hit')
    await timing.pass(1)
    expect((await thing.get()).state).toBe('miss')
  })
})

describe('an entry whose time is over', () => {
  test('is served for as long as it may be, while one load renews it', async () => {
    const thing = makeCache().define('thing', load, { ttl: '1s', stale: '1m', eagerness: 0 })
    const first = thing.get()
    await bring('old')
    await first
    await timing.pass(1_000)
    expect(await thing.get()).toMatchObject({ value: 'old', state: 'stale' })
    expect(await thing.get()).toMatchObject({ value: 'old', state: 'stale' })
    expect(loads).toHaveLength(2)
    await bring('new')
    expect(await thing.get()).toMatchObject({ value: 'new', state: 'hit' })
  })

  test('is not served when that time is over too', async () => {
    const thing = makeCache().define('thing', load, { ttl: '1s', stale: '1m', eagerness: 0 })
    const first = thing.get()
    await bring('old')
    await first
    await timing.pass(61_000)
    const late = thing.get()
    await bring('new')
    expect(await late).toMatchObject({ value: 'new', state: 'miss' })
  })

  test('is served to who has waited for the renewal as long as the soft limit says', async () => {
    const options = { ttl: '1s', stale: '1m', softTimeout: '80ms', eagerness: 0 } as const
    const thing = makeCache().define('thing', load, options)
    const first = thing.get()
    await bring('old')
    await first
    await timing.pass(1_000)
    const inTime = thing.get()
    await timing.pass(79)
    await bring('new')
    expect(await inTime).toMatchObject({ value: 'new', state: 'miss' })
    await timing.pass(1_000)
    const waiting = thing.get()
    await timing.pass(80)
    expect(await waiting).toMatchObject({ value: 'new', state: 'stale' })
  })

  test('is what is answered, and marked, where the load fails', async () => {
    const thing = makeCache().define('thing', load, { ttl: '1s', stale: '1m', softTimeout: '1s' })
    const first = thing.get()
    await bring('old')
    await first
    await timing.pass(1_000)
    const failing = thing.get()
    await turn()
    loads.at(-1)?.fail(new Error('the source is away'))
    expect(await failing).toMatchObject({ value: 'old', state: 'fallback' })
  })
})

test('no reader waits longer than the hard limit, and what comes later is kept', async () => {
  const thing = makeCache().define('thing', load, { hardTimeout: '2s' })
  const waiting = expect(thing.get()).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_TIMEOUT' })
  await timing.pass(1_999)
  expect(loads).toHaveLength(1)
  await timing.pass(1)
  await waiting
  await bring('late')
  expect(await thing.get()).toMatchObject({ value: 'late', state: 'hit' })
})

describe('an entry that is in demand', () => {
  /** When a reader first has it renewed, of an entry that is fresh for 60 s and whose load takes 10. */
  async function renewedAt(eagerness: number, random: () => number): Promise<number> {
    const cache = makeCache({ random })
    const thing = cache.define('thing', load, { ttl: '60s', hardTimeout: '1m', eagerness })
    const first = thing.get()
    await timing.pass(10_000)
    await bring('value')
    await first
    const since = timing.now()
    const before = loads.length
    for (;;) {
      const { state } = await thing.get()
      await turn()
      // Nobody waits for a renewal that is ahead of its time.
      if (loads.length > before && state === 'hit') return timing.now() - since
      await timing.pass(1_000)
      if (timing.now() - since >= 60_000) return 60_000
    }
  }

  test('is renewed before its time is over, the earlier the longer its load takes and the more eager it is', async () => {
    expect(await renewedAt(1, () => 0.5)).toBe(54_000)
    expect(await renewedAt(2, () => 0.5)).toBe(47_000)
    expect(await renewedAt(1, () => 0.9)).toBe(37_000)
    expect(await renewedAt(0, () => 0.9)).toBe(60_000)
  })
})

describe('an answer that there is nothing', () => {
  test.each([null, undefined])(
    '%j is kept as long as that may be, and is invalidated',
    async (nothing) => {
      const options = { ttl: '1h', negativeTtl: '1s', tags: ['things'], eagerness: 0 } as const
      const cache = makeCache()
      const thing = cache.define('thing', load, options)
      const read = async () => {
        const answer = thing.get()
        await bring(nothing)
        return (await answer).state
      }
      expect(await read()).toBe('miss')
      await timing.pass(999)
      expect(await read()).toBe('hit')
      await timing.pass(1)
      expect(await read()).toBe('miss')
      await cache.remove({ tags: ['things'] })
      expect(await read()).toBe('miss')
    },
  )

  test('is not kept where its time is 0, and what there is is', async () => {
    const thing = makeCache().define('thing', load, { negativeTtl: 0 })
    for (const value of [null, null, 'something']) {
      const answer = thing.get()
      await bring(value)
      expect(await answer).toMatchObject({ value, state: 'miss' })
    }
    expect((await thing.get()).state).toBe('hit')
  })
})

test('a value that its load says not to keep is for those who wait for it', async () => {
  const thing = makeCache().define('thing', load)
  const waiting = [thing.get(), thing.get()]
  await bring(cached('once', { skip: true }))
  for (const answer of await Promise.all(waiting)) expect(answer.value).toBe('once')
  expect(loads).toHaveLength(1)
  const again = thing.get()
  await bring('kept')
  expect(await again).toMatchObject({ value: 'kept', state: 'miss' })
  expect((await thing.get()).state).toBe('hit')
})

test('readers who share a load share its failure, and the next one tries again', async () => {
  const thing = makeCache().define('thing', load)
  const failures = [1, 2, 3].map(() => expect(thing.get()).rejects.toThrow('the source is away'))
  await turn()
  loads.at(-1)?.fail(new Error('the source is away'))
  await Promise.all(failures)
  expect(loads).toHaveLength(1)
  const again = thing.get()
  await bring('back')
  expect((await again).value).toBe('back')
})

test('many are answered in their order, each loaded once, and what fails of them fails all', async () => {
  const asked: number[] = []
  const square = (id: number): number => {
    asked.push(id)
    if (id < 0) throw new Error(`there is no ${id}`)
    return id * id
  }
  const thing = makeCache().define('thing', square)
  await thing.get(2)
  const answers = await thing.getMany([[3], [2], [3], [4]])
  expect(answers.map(({ value }) => value)).toEqual([9, 4, 9, 16])
  expect(answers.map(({ state }) => state)).toEqual(['miss', 'hit', 'miss', 'miss'])
  expect(asked).toEqual([2, 3, 4])
  await expect(thing.getMany([[2], [-1]])).rejects.toThrow('there is no -1')
})
