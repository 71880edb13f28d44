import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createClient } from 'redis'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import { cuttableNetwork } from '../outages/cuttable-network.ts'
import type { TestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { createShop } from './shop.ts'

let server: TestRedis
let db: TestDatabase

beforeAll(async () => {
  server = await startRedis()
  db = await createShop()
  await db.sql('insert into quotes values (1, 7, 10)')
})
afterAll(async () => {
  await db.drop()
  await server.stop()
})

const patience = { timeout: 15_000 }

/** A way to a server, which is gone with the test. */
async function network(url: string) {
  const way = await cuttableNetwork(url)
  onTestFinished(() => way.close())
  return way
}

function cacheOf(options: Partial<CacheOptions>): CacheManager {
  const cache = createCache({ namespace: 'shop', ...options })
  onTestFinished(() => cache.close())
  return cache
}

const amountOf = async (tenant: number): Promise<number> => {
  const [row] = await db.sql<{ amount: number }>(
    `select amount from quotes where tenant_id = ${String(tenant)}`,
  )
  return row?.amount ?? -1
}

test('law: a node that is parted from Redis answers what is true, in time, and goes on when the network is mended', async () => {
  const way = await network(server.url)
  let source = 1
  const [parted, other] = [
    cacheOf({ store: redis(way.url) }),
    cacheOf({ store: redis(server.url) }),
  ]
  const define = (cache: CacheManager) =>
    cache.define('thing', () => source, { version: '1', hardTimeout: '3s' })
  const [mine, theirs] = [define(parted), define(other)]
  await Promise.all([mine.get(), theirs.get()])
  way.freeze()
  source = 2
  await other.remove({ patterns: ['thing:*'] })
  expect((await mine.get()).value).toBe(2)
  expect((await theirs.get()).value).toBe(2)
  const begun = performance.now()
  await expect(mine.remove()).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_UNREACHABLE' })
  expect(performance.now() - begun).toBeLessThan(3_000)
  way.mend()
  await expect.poll(async () => (await mine.get()).state, patience).toBe('hit')
  source = 3
  await parted.remove({ patterns: ['thing:*'] })
  expect([(await mine.get()).value, (await theirs.get()).value]).toEqual([3, 3])
})

test('law: a node that is parted from the database answers what is true, or what it has and says so, and goes on when it is mended', async () => {
  const way = await network(db.url)
  const cache = cacheOf({ database: way.url })
  let isAway = false
  const load = (tenant: number): Promise<number> =>
    isAway ? Promise.reject(new Error('the database is away')) : amountOf(tenant)
  const total = cache.define('total', load, {
    dependsOn: { quotes: 'tenant_id' },
    hardTimeout: '3s',
  })
  expect((await total.get(7)).value).toBe(10)
  way.freeze()
  await db.sql('update quotes set amount = 11 where id = 1')
  await expect.poll(async () => (await total.get(7)).value, patience).toBe(11)
  isAway = true
  expect(await total.get(7)).toMatchObject({ state: 'fallback' })
  const sql = 'select amount from quotes where tenant_id = $1'
  await expect(cache.query(sql, [7], { hardTimeout: '500ms' })).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_TIMEOUT',
  })
  isAway = false
  await db.sql('update quotes set amount = 12 where id = 1')
  way.mend()
  await expect.poll(() => total.get(7), patience).toMatchObject({ value: 12, state: 'hit' })
  await expect
    .poll(async () => (await cache.query(sql, [7]).catch(() => null))?.value, patience)
    .toEqual([{ amount: 12 }])
})

test('law: a node that begins while it is parted from the database answers queries as others have kept them, marked, in time', async () => {
  const client = await createClient({ url: server.url }).connect()
  onTestFinished(() => {
    client.destroy()
  })
  await client.flushAll()
  const way = await network(db.url)
  const store = redis(server.url)
  const sql = 'select id from quotes where tenant_id = $1'
  const ask = (cache: CacheManager, tenant: number) =>
    cache.query(sql, [tenant], { hardTimeout: '800ms' })
  const other = cacheOf({ database: db.url, store })
  await other.query(sql, [7])
  await expect.poll(async () => (await client.keys('shop:query:*')).length).toBe(1)
  way.freeze()
  const parted = cacheOf({ database: way.url, store })
  for (let times = 0; times < 4; times += 1) {
    expect(await ask(parted, 7)).toMatchObject({ value: [{ id: 1 }], state: 'fallback' })
  }
  await expect(ask(parted, 9)).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_TIMEOUT' })
  way.mend()
  await expect.poll(async () => (await ask(parted, 7)).state, patience).toBe('hit')
})
