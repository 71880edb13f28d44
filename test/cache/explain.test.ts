import { afterEach, expect, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'

let open: CacheManager[] = []
let now = 0

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  now = 0
})

function makeThing(options: Partial<CacheOptions> = {}) {
  const timing = { ...systemTiming, now: () => now }
  const cache = createCache({ namespace: 'test', node: 'me', timing, ...options })
  open.push(cache)
  const thing = cache.define('thing', (id: number) => id, {
    ttl: '1s',
    stale: '1h',
    eagerness: 0,
    tags: (id) => [`thing_${id}`],
  })
  return { cache, thing }
}

test('an entry whose time is over says since when', async () => {
  const { thing } = makeThing()
  await thing.get(1)
  expect(await thing.explain(1)).toMatchObject({ state: 'fresh', node: 'me', freshMs: 1_000 })
  now = 3_000
  const why = await thing.explain(1)
  expect(why).toMatchObject({ state: 'stale', freshMs: 0, invalidation: null })
  const over = Date.parse(why.invalidSince ?? '') - Date.parse(why.loadedAt ?? '')
  expect(Math.abs(over - 1_000)).toBeLessThanOrEqual(1)
})

test('of several invalidations the first after the load made it invalid', async () => {
  const { cache, thing } = makeThing()
  await cache.remove({ tags: ['thing_1'] })
  await thing.get(1)
  await cache.remove({ patterns: ['thing:*'] })
  await cache.remove({ tags: ['thing_1'] })
  expect(await thing.explain(1)).toMatchObject({
    state: 'removed',
    invalidation: { tag: 'key:thing', verb: 'remove', by: 'here' },
  })
})

test('an entry that was expired is stale, by its key too', async () => {
  const { cache, thing } = makeThing()
  await thing.get(1)
  await thing.get(2)
  await cache.expire({ tags: ['thing_1'] })
  await thing.expire(2)
  expect(await thing.explain(1)).toMatchObject({ state: 'stale', invalidation: { verb: 'expire' } })
  expect(await thing.explain(2)).toMatchObject({
    state: 'stale',
    invalidation: { verb: 'expire', tag: null },
  })
})

test('of what is gone the last invalidation is told, by its key alone as well', async () => {
  const { cache, thing } = makeThing()
  await thing.get(1)
  await thing.remove(1)
  expect(await thing.explain(1)).toMatchObject({ state: 'absent', invalidation: { tag: null } })
  await cache.remove({ patterns: ['thing:*'] })
  expect(await cache.explain(thing.key(1))).toMatchObject({
    state: 'absent',
    invalidation: { tag: 'key:thing' },
  })
})

test('what is remembered is bounded: the oldest invalidations are forgotten', async () => {
  const { cache, thing } = makeThing()
  await thing.get(1)
  await cache.remove({ tags: ['thing_1'] })
  for (let other = 0; other < 10_000; other += 1) await cache.remove({ tags: ['other'] })
  expect(await thing.explain(1)).toMatchObject({
    state: 'removed',
    invalidSince: null,
    invalidation: null,
  })
})
