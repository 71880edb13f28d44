import { afterEach, describe, expect, test } from 'vitest'
import type { CacheEvent, CacheManager, CacheOptions, WarmOptions } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import { gate } from '../support/gate.ts'

let open: CacheManager[] = []
let events: CacheEvent[] = []

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  events = []
})

function makeCache(options: Partial<CacheOptions> = {}): CacheManager {
  const onEvent = (event: CacheEvent): void => void events.push(event)
  const cache = createCache({ namespace: 'test', onEvent, ...options })
  open.push(cache)
  return cache
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const warmings = () =>
  events.flatMap((event) => (event.event === 'warming' ? [`${event.why} ${event.progress}`] : []))

const upTo = (count: number): [number][] => Array.from({ length: count }, (_, id) => [id])

describe('what a warming does', () => {
  test('entries are there at start, before anybody asks', async () => {
    const cache = makeCache()
    const list: WarmOptions<[number]> = { entries: () => Promise.resolve(upTo(3)) }
    const thing = cache.define('thing', (id: number) => id * 2, { warm: list })
    await cache.start()
    expect(await cache.warm()).toMatchObject({ thing: { loaded: 3, failed: 0, complete: true } })
    expect(await thing.get(2)).toMatchObject({ value: 4, state: 'hit' })
    expect(warmings()).toEqual(['start began', 'start ended'])
    expect(cache.getStats().kinds['thing']).toMatchObject({
      misses: 0,
      loads: 3,
      warming: { running: false, ended: 1, loaded: 3, lastEnded: expect.any(String) as string },
    })
  })

  test('no more loads are under way than it may have', async () => {
    const cache = makeCache()
    let running = 0
    let most = 0
    const load = async (id: number): Promise<number> => {
      running += 1
      most = Math.max(most, running)
      await turn()
      running -= 1
      return id
    }
    cache.define('thing', load, { warm: { entries: () => upTo(9), concurrency: 2 } })
    expect(await cache.warm()).toMatchObject({ thing: { loaded: 9 } })
    expect(most).toBe(2)
  })

  test('no load is begun that could not end in time, by the slowest that was seen', async () => {
    let now = 0
    const cache = makeCache({ timing: { ...systemTiming, now: () => now } })
    const load = (id: number): number => {
      now += 400
      return id
    }
    cache.define('thing', load, {
      warm: { entries: () => upTo(5), concurrency: 1, within: '1s' },
    })
    expect(await cache.warm()).toMatchObject({ thing: { loaded: 2, complete: false } })
    expect(cache.getStats().kinds['thing']?.warming).toMatchObject({ incomplete: 1 })
  })

  test('it ends in time though a load does not', async () => {
    const cache = makeCache()
    const never = gate()
    const warm: WarmOptions<[number]> = { entries: () => upTo(1), within: '50ms' }
    cache.define('thing', (id: number) => never.passed.then(() => id), { warm })
    expect(await cache.warm()).toMatchObject({ thing: { loaded: 0, failed: 1 } })
  })

  test('a source that refuses is left alone, and what it said is told', async () => {
    const cache = makeCache()
    let asked = 0
    const load = (id: number): Promise<number> => {
      asked += 1
      return Promise.reject(new Error(`the source refuses ${id}`))
    }
    cache.define('thing', load, {
      warm: { entries: () => upTo(100), concurrency: 1 },
    })
    expect(await cache.warm()).toMatchObject({ thing: { failed: 10, complete: false } })
    expect(asked).toBe(10)
    expect(events.at(-1)).toMatchObject({ event: 'warming', progress: 'ended' })
    expect(events.at(-1)).toHaveProperty('error.message', 'the source refuses 9')
  })

  test('a list that breaks off ends the warming, and what came before it is there', async () => {
    const cache = makeCache()
    const entries = async function* (): AsyncGenerator<[number]> {
      yield await Promise.resolve<[number]>([1])
      throw new Error('the list broke off')
    }
    const thing = cache.define('thing', (id: number) => id, { warm: { entries } })
    expect(await cache.warm()).toMatchObject({ thing: { loaded: 1, complete: false } })
    expect((await thing.get(1)).state).toBe('hit')
  })

  test('progress is told on the way', async () => {
    const cache = makeCache()
    cache.define('thing', (id: number) => id, { warm: { entries: () => upTo(250) } })
    await cache.warm()
    const progress = events.flatMap((event) =>
      event.event === 'warming' && event.progress === 'going' ? [event.loaded] : [],
    )
    expect(progress).toEqual([100, 200])
  })
})

test('law: a warming that reads before an invalidation stores nothing that is served after it', async () => {
  const cache = makeCache()
  let value = 1
  const held = gate()
  const load = async (id: number): Promise<number> => {
    const seen = value * id
    await held.passed
    return seen
  }
  const thing = cache.define('thing', load, { tags: ['things'], warm: { entries: () => [[1]] } })
  const warmed = cache.warm()
  await turn()
  value = 2
  await cache.remove({ tags: ['things'] })
  held.open()
  await warmed
  expect(await thing.get(1)).toMatchObject({ value: 2, state: 'miss' })
})

describe('when it happens', () => {
  test.each([
    ['a duration', { every: '1s' }],
    ['a cron expression', { cron: '* * * * * *', zone: 'Europe/Madrid' }],
  ] as const)('by %s, for entries that would run out before the next time', async (_, times) => {
    const cache = makeCache()
    const warm = { entries: () => [[1]] as [number][], atStart: false, ...times }
    let loads = 0
    const counted = (id: number): number => (loads += 1) + id
    cache.define('short', counted, { ttl: '2s', warm })
    cache.define('long', counted, { ttl: '2h', warm })
    await cache.start()
    const ended = () => warmings().filter((what) => what === 'schedule ended').length
    await expect.poll(ended, { timeout: 5_000 }).toBeGreaterThanOrEqual(4)
    const { short, long } = cache.getStats().kinds
    expect(short?.warming.loaded).toBe(short?.warming.ended)
    expect(long?.warming.loaded).toBe(1)
  })

  const ways = {
    'by its key': (cache: CacheManager, key: string) => cache.remove({ keys: [key] }),
    'by a tag': (cache: CacheManager) => cache.remove({ tags: ['things'] }),
    'with everything': (cache: CacheManager) => cache.remove({ patterns: ['*'] }),
    'and may be served while it is renewed': (cache: CacheManager) =>
      cache.expire({ tags: ['things'] }),
  }
  test.each(Object.entries(ways))(
    'what is read most is there again after it was invalidated %s, and nothing else',
    async (_, invalidate) => {
      const cache = makeCache()
      let loads = 0
      const load = (id: number): number => (loads += 1) + 100 * id
      const thing = cache.define('thing', load, { tags: ['things'], warm: { hot: 1 } })
      await cache.start()
      for (const id of [1, 2, 2, 2]) await thing.get(id)
      await invalidate(cache, thing.key(2))
      await expect.poll(() => loads).toBe(3)
      expect(await thing.get(2)).toMatchObject({ value: 203, state: 'hit' })
      expect(warmings()).toEqual(['invalidation began', 'invalidation ended'])
    },
  )

  test('an invalidation of something else loads nothing', async () => {
    const cache = makeCache()
    const thing = cache.define('thing', (id: number) => id, { warm: { hot: 1 } })
    const other = cache.define('other', () => 1, { tags: ['others'], warm: { hot: 1 } })
    await cache.start()
    await thing.get(1)
    await other.get()
    await cache.remove({ tags: ['others'] })
    await expect.poll(warmings).toEqual(['invalidation began', 'invalidation ended'])
    expect(cache.getStats().kinds['thing']?.loads).toBe(1)
  })
})

test.each([
  ['two schedules', { every: '5m', cron: '* * * * *' }, 'TIDEMARK_CACHE_INVALID'],
  ['no time between', { every: '0s' }, 'TIDEMARK_CACHE_INVALID'],
  ['a span that is none', { every: 'often' }, 'TIDEMARK_CACHE_INVALID'],
  ['no load at a time', { concurrency: 0 }, 'TIDEMARK_CACHE_INVALID'],
  ['half a hot entry', { hot: 0.5 }, 'TIDEMARK_CACHE_INVALID'],
  ['a cron expression that is none', { cron: 'daily' }, 'TIDEMARK_CRON_INVALID'],
  ['a zone that is none', { cron: '* * * * *', zone: 'Mars' }, 'TIDEMARK_ZONE_UNKNOWN'],
])('%s is refused when the kind is defined', (_, warm, code) => {
  const cache = makeCache()
  expect(() => cache.define('thing', () => 1, { warm })).toThrow(code)
})
