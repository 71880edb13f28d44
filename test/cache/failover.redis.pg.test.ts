import { createClient } from 'redis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import { cuttableNetwork } from '../outages/cuttable-network.ts'
import type { TestDatabase } from '../support/database.ts'
import { gate } from '../support/gate.ts'
import { startRedis } from '../support/redis.ts'
import { createShop } from './shop.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await createShop()
})
afterAll(() => db.drop())

const patience = { timeout: 10_000 }

/** A primary, its replica, and the way by which caches find whichever is the primary. */
async function pairOfServers() {
  const [primary, replica] = await Promise.all([startRedis(), startRedis()])
  const replication = await cuttableNetwork(primary.url)
  const way = await cuttableNetwork(primary.url)
  onTestFinished(async () => {
    await Promise.all([primary.stop(), replica.stop(), replication.close(), way.close()])
  })
  await replica.follow(replication.url)
  const [atPrimary, atReplica] = await Promise.all(
    [primary, replica].map(({ url }) => createClient({ url }).connect()),
  )
  onTestFinished(() => {
    atReplica?.destroy()
  })
  return {
    url: way.url,
    /** Resolves when the replica has what the primary has. */
    async replicated() {
      await expect.poll(() => atReplica?.info('replication')).toContain('master_link_status:up')
      expect(await atPrimary?.wait(1, 10_000)).toBe(1)
    },
    /** From here on the replica gets nothing. */
    lag: () => {
      replication.freeze()
    },
    async failOver() {
      atPrimary?.destroy()
      await primary.kill()
      await replica.follow(null)
      way.leadTo(replica.url)
    },
    holds: async (key: string) => (await atReplica?.exists(key)) === 1,
  }
}

function cacheOf(options: Partial<CacheOptions>): CacheManager {
  const cache = createCache({ namespace: 'shop', ...options })
  onTestFinished(() => cache.close())
  return cache
}

test('law: what was removed by commands that a failover lost is given by nobody, also who never heard of it', async () => {
  const servers = await pairOfServers()
  let source = 1
  const things = () => {
    const cache = cacheOf({ store: redis(servers.url) })
    const options = { version: '1', tags: ['things'], hardTimeout: '3s' } as const
    return { cache, thing: cache.define('thing', (id: number) => [id, source], options) }
  }
  const [a, b, late] = [things(), things(), things()]
  await Promise.all([a.thing.get(7), b.thing.get(7), a.thing.get(8)])
  await expect.poll(() => servers.holds(a.thing.key(7))).toBe(true)
  await servers.replicated()
  servers.lag()
  source = 2
  await a.cache.remove({ tags: ['things'] })
  // Who knew of it is gone as well.
  await Promise.all([a.cache.close(), b.cache.close()])
  await servers.failOver()
  expect(await servers.holds(a.thing.key(7))).toBe(true)
  await expect.poll(async () => (await late.thing.get(7)).state, patience).toBe('hit')
  expect((await late.thing.get(7)).value).toEqual([7, 2])
  expect((await late.thing.get(8)).value).toEqual([8, 2])
})

test('law: nodes that go on after a failover give what is true, in time, and share again', async () => {
  const servers = await pairOfServers()
  let source = 1
  const things = () => {
    const cache = cacheOf({ store: redis(servers.url) })
    const thing = cache.define('thing', () => source, { version: '1', hardTimeout: '3s' })
    return { cache, thing }
  }
  const [a, b] = [things(), things()]
  await Promise.all([a.thing.get(), b.thing.get()])
  await expect.poll(() => servers.holds(a.thing.key())).toBe(true)
  await servers.replicated()
  servers.lag()
  source = 2
  await a.thing.remove()
  await servers.failOver()
  for (const answer of await Promise.all([a.thing.get(), b.thing.get()]))
    expect(answer.value).toBe(2)
  source = 3
  await b.thing.remove().catch(() => b.thing.remove())
  for (const answer of await Promise.all([a.thing.get(), b.thing.get()]))
    expect(answer.value).toBe(3)
  await expect.poll(async () => (await a.thing.get()).state, patience).toBe('hit')
})

test('law: a load whose invalidation a failover lost is not shared', async () => {
  const servers = await pairOfServers()
  let source = 1
  const held = gate()
  const begun = gate()
  const load = async (): Promise<number> => {
    const read = source
    begun.open()
    if (read === 1) await held.passed
    return read
  }
  const [a, b] = [cacheOf({ store: redis(servers.url) }), cacheOf({ store: redis(servers.url) })]
  const options = { version: '1', hardTimeout: '5s' } as const
  const [slow, other] = [a.define('slow', load, options), b.define('slow', () => source, options)]
  const first = slow.get()
  await begun.passed
  await servers.replicated()
  servers.lag()
  source = 2
  await other.remove()
  await servers.failOver()
  held.open()
  expect((await first).value).toBe(1)
  await expect.poll(async () => (await other.get()).state, patience).toBe('hit')
  expect((await other.get()).value).toBe(2)
  expect((await slow.get()).value).toBe(2)
})

test('law: a journal in the database tells a Redis that failed over what it has lost, and what else it holds stays', async () => {
  await db.sql('insert into quotes values (1, 7, 10), (2, 8, 20)')
  const servers = await pairOfServers()
  const loads: number[] = []
  const totals = () => {
    const cache = cacheOf({ store: redis(servers.url), database: db.url })
    const load = async (tenant: number): Promise<number> => {
      loads.push(tenant)
      const rows = await db.sql<{ amount: number }>(
        `select amount from quotes where tenant_id = ${String(tenant)}`,
      )
      return rows[0]?.amount ?? -1
    }
    const options = { version: '1', dependsOn: { quotes: 'tenant_id' }, hardTimeout: '3s' } as const
    return { cache, total: cache.define('total', load, options) }
  }
  const [a, late] = [totals(), totals()]
  await a.total.get(7)
  await a.total.get(8)
  for (const tenant of [7, 8])
    await expect.poll(() => servers.holds(a.total.key(tenant))).toBe(true)
  await servers.replicated()
  servers.lag()
  await db.sql('update quotes set amount = 11 where tenant_id = 7')
  await expect.poll(async () => (await a.total.get(7)).value, patience).toBe(11)
  await a.cache.close()
  await servers.failOver()
  loads.length = 0
  await expect.poll(async () => (await late.total.get(8)).tier, patience).not.toBe('source')
  expect((await late.total.get(7)).value).toBe(11)
  expect(loads).toEqual([7])
})
