import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import { redis } from '../../src/cache.ts'
import type { TestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { gate } from '../support/gate.ts'
import { startRedis } from '../support/redis.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { createShop } from './shop.ts'

let server: TestRedis
let db: TestDatabase
let loads: number[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(async () => {
  await server.stop()
})
beforeEach(async () => {
  db = await createShop()
  await db.sql(`insert into quotes select n, n, 10 from generate_series(1, 20) n`)
})
afterEach(async () => {
  loads = []
  await server.restart()
  await db.drop()
})

const makeCache = cachesOfTests()

/** A node that has the sums of all tenants ready. */
function node(warm: object) {
  const cache = makeCache({ namespace: 'shop', database: db.url, store: redis(server.url) })
  const total = cache.define(
    'total',
    async (tenant: number) => {
      loads.push(tenant)
      const rows = await db.sql<{ total: string }>(
        `select coalesce(sum(amount), 0)::text as total from quotes where tenant_id = ${tenant}`,
      )
      return Number(rows[0]?.total)
    },
    { dependsOn: { quotes: 'tenant_id' }, version: '1', warm },
  )
  return { cache, total }
}

const tenants = async (): Promise<[number][]> => {
  const rows = await db.sql<{ tenant_id: number }>(`select distinct tenant_id from quotes`)
  return rows.map(({ tenant_id }) => [tenant_id])
}

test('of nodes that start together one warms, and the others answer without a load', async () => {
  const nodes = [1, 2, 3].map(() => node({ entries: tenants }))
  await Promise.all(nodes.map(({ cache }) => cache.start()))
  await expect.poll(() => loads.length).toBe(20)
  const reports = await Promise.all(nodes.map(({ cache }) => cache.warm()))
  expect(reports.filter(({ total }) => total !== null).length).toBeGreaterThanOrEqual(1)
  for (const { total } of nodes) expect(await total.get(20)).toMatchObject({ state: 'hit' })
  expect(new Set(loads).size).toBe(loads.length)
})

test('the node that warms holds a lease: another one leaves it alone, until the first has gone', async () => {
  const client = await createClient({ url: server.url }).connect()
  const lease = 'shop:~lease:shop:~warming:total'
  const { cache } = node({ entries: tenants })
  await cache.start()
  await cache.warm()
  const listing = gate()
  const first = node({ entries: () => listing.passed.then(tenants), atStart: false }).cache
  const warming = first.warm()
  await expect.poll(() => client.exists(lease)).toBe(1)
  expect(await cache.warm()).toEqual({ total: null })
  // As when it has died, and its time is over.
  await client.del(lease)
  expect(await cache.warm()).toMatchObject({ total: { ready: 20, loaded: 0 } })
  expect(await client.exists(lease)).toBe(0)
  listing.open()
  await warming
  client.destroy()
})

test('a commit has what is read most loaded again, and no reader waits for it', async () => {
  const { cache, total } = node({ hot: 1 })
  await cache.start()
  for (const tenant of [1, 2, 2]) await total.get(tenant)
  await db.sql(`update quotes set amount = 11`)
  await expect
    .poll(() => cache.getStats().kinds['total']?.warming.loaded, { timeout: 5_000 })
    .toBe(1)
  expect(await total.get(2)).toMatchObject({ value: 11, state: 'hit' })
  expect(loads).toEqual([1, 2, 2])
})

test('while Redis is away nothing is warmed, and it says so', async () => {
  const { cache } = node({ entries: tenants, atStart: false })
  await cache.start()
  await server.kill()
  await expect.poll(() => cache.warm()).toEqual({ total: null })
  expect(loads).toEqual([])
})

test('while the database is away nothing is loaded that could not be kept', async () => {
  const { cache } = node({ entries: () => [[1]], atStart: false })
  await cache.start()
  await db.sql(`drop function tidemark.poll_invalidations`)
  await expect.poll(() => cache.warm()).toMatchObject({ total: { failed: 1, loaded: 0 } })
  loads = []
  expect(await cache.warm()).toMatchObject({ total: { failed: 1, loaded: 0 } })
  expect(loads).toEqual([])
})
