import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { createClient } from 'redis'
import { redis } from '../../src/cache.ts'
import { openSession } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { createShop } from './shop.ts'

let server: TestRedis
let db: TestDatabase

beforeAll(async () => {
  server = await startRedis()
})
afterAll(async () => {
  await server.stop()
})
beforeEach(async () => {
  db = await createShop()
  await db.sql(`insert into quotes values (1, 7, 10), (2, 8, 20)`)
})
afterEach(async () => {
  await db.drop()
})

const makeCache = cachesOfTests()

/** A node whose entries are the sums of tenants. */
function node(maxLag: '100ms' | 0 = '100ms', hardTimeout = '10s') {
  const cache = makeCache({
    namespace: 'shop',
    database: db.url,
    store: redis(server.url),
    maxLag,
  })
  const counted = { loads: 0, away: false, hangs: false }
  const load = async (tenant: number): Promise<number> => {
    counted.loads += 1
    if (counted.hangs) return new Promise<never>(() => undefined)
    if (counted.away) throw new Error('the database is away')
    const rows = await db.sql<{ total: string }>(
      `select coalesce(sum(amount), 0)::text as total from quotes where tenant_id = ${tenant}`,
    )
    return Number(rows[0]?.total)
  }
  const options = { dependsOn: { quotes: 'tenant_id' }, version: '1', hardTimeout } as const
  return { cache, counted, total: cache.define('total', load, options) }
}

test('one node loads, others take it from Redis, and a commit outdates it for all', async () => {
  const [a, b] = [node(), node()]
  expect((await a.total.get(7)).value).toBe(10)
  await expect.poll(async () => (await b.total.get(7)).tier).not.toBe('source')
  expect(a.counted.loads + b.counted.loads).toBeLessThanOrEqual(2)
  await db.sql(`update quotes set amount = 11 where id = 1`)
  for (const { total } of [a, b]) {
    await expect.poll(async () => (await total.get(7)).value).toBe(11)
  }
})

test('law: with maxLag 0, Redis gives nothing from before what was committed before the question', async () => {
  const nodes = [node(0), node(0)]
  for (let amount = 1; amount <= 40; amount += 1) {
    await db.sql(`update quotes set amount = ${amount} where id = 1`)
    const answers = await Promise.all(nodes.map(({ total }) => total.get(7)))
    expect(answers.map(({ value }) => value)).toEqual([amount, amount])
  }
})

test('law: what a Redis that came back with less than it had still holds is brought up to date before it is used', async () => {
  const [a, b] = [node(0), node(0)]
  await a.total.get(7)
  const client = await createClient({ url: server.url }).connect()
  await expect.poll(() => client.exists(a.total.key(7))).toBe(1)
  const head = (await client.get('shop:~head')) ?? ''
  await db.sql(`update quotes set amount = 11 where id = 1`)
  expect((await a.total.get(7)).value).toBe(11)
  // As a failover to a replica that has heard of nothing since.
  await client.set('shop:~head', head)
  for (const tag of await client.keys('shop:~tag:*'))
    await client.set(tag, `${head.split(' ')[1] ?? 0} 0`)
  expect((await b.total.get(7)).value).toBe(11)
  await client.close()
})

test('while Redis is away the source answers, and a commit outdates memory as before', async () => {
  const a = node()
  await a.total.get(7)
  server.freeze()
  try {
    await db.sql(`update quotes set amount = 12 where id = 1`)
    await expect.poll(async () => (await a.total.get(7)).value, { timeout: 5_000 }).toBe(12)
  } finally {
    server.thaw()
  }
})

test('law: a node that begins while the database is away answers queries as others have kept them, marked, or says what is away', async () => {
  const client = await createClient({ url: server.url }).connect()
  onTestFinished(() => {
    client.destroy()
  })
  await client.flushAll()
  const sql = 'select amount from quotes where tenant_id = $1'
  const { cache: a } = node()
  for (const tenant of [7, 8]) await a.query(sql, [tenant])
  const queries = async (): Promise<number> => (await client.keys('shop:query:*')).length
  await expect.poll(queries).toBe(2)
  await cutOff()
  const { cache: b } = node()
  // Those that nobody has asked for before are refused by what the database says of itself.
  for (let times = 0; times < 5; times += 1) {
    expect(await b.query(sql, [7])).toMatchObject({
      value: [{ amount: 10 }],
      state: 'fallback',
      tier: 'shared',
    })
    await expect(b.query(sql, [9])).rejects.toMatchObject({ code: 'TIDEMARK_DATABASE_UNREACHABLE' })
  }
  expect([await queries(), b.getStats().entries]).toEqual([2, 0])
  await restored()
  await db.sql(`update quotes set amount = 11 where tenant_id = 7`)
  await expect
    .poll(async () => (await b.query(sql, [7])).state, { timeout: 10_000 })
    .not.toBe('fallback')
  expect((await b.query(sql, [7])).value).toEqual([{ amount: 11 }])
  // What was found out late is what the result depends on.
  await db.sql(`update quotes set amount = 12 where tenant_id = 7`)
  await expect.poll(async () => (await b.query(sql, [7])).value).toEqual([{ amount: 12 }])
})

/** Lets everybody in again. */
async function restored(): Promise<void> {
  const other = await openSession(db.url.replace(db.name, 'postgres'))
  await other.query(`alter database ${db.name} allow_connections true`)
  await other.close()
}

/** Ends the database for everybody but the one who asks. */
async function cutOff(): Promise<void> {
  const other = await openSession(db.url.replace(db.name, 'postgres'))
  await other.query(`alter database ${db.name} allow_connections false`)
  await other.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${db.name}'`,
  )
  await other.close()
}

test('law: while the database is away, what one node knew is answered by all, marked, and stored nowhere; what was removed is not', async () => {
  const [a, b, c] = [node(), node(), node('100ms', '2s')]
  const client = await createClient({ url: server.url }).connect()
  onTestFinished(() => {
    client.destroy()
  })
  await client.flushAll()
  for (const tenant of [7, 8, 9]) await a.total.get(tenant)
  const written = [7, 8, 9].map((tenant) => a.total.key(tenant))
  await expect.poll(() => client.exists(written)).toBe(3)
  // Another process hears of a removal, and takes Redis along.
  await db.sql(`update quotes set amount = 21 where tenant_id = 8`)
  const place = async (): Promise<number> => Number((await client.get('shop:~head'))?.split(' ')[1])
  const before = await place()
  await expect.poll(() => b.total.get(10).then(place)).toBeGreaterThan(before)
  for (const { counted } of [a, b, c]) counted.away = true
  await cutOff()
  const away = { value: 10, state: 'fallback' }
  await expect.poll(() => a.total.get(7)).toMatchObject({ ...away, tier: 'memory' })
  const kept = await client.keys('*')
  for (const [entries, { total, cache }] of [[1, b] as const, [0, c] as const]) {
    expect(await total.get(7)).toMatchObject({ ...away, tier: 'shared' })
    await expect(total.get(8)).rejects.toThrow('the database is away')
    expect(cache.getStats()).toMatchObject({ entries, fallbacks: 1 })
  }
  expect((await client.keys('*')).sort()).toEqual(kept.sort())
  // What a node removes meanwhile it does not answer with, whether or not others can be told.
  const removed = expect(b.total.remove(9)).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_UNREACHABLE',
  })
  await expect(b.total.get(9)).rejects.toThrow('the database is away')
  // Nor does a source that hangs keep anybody longer than he may wait.
  c.counted.hangs = true
  expect(await c.total.get(9)).toMatchObject({ value: 0, state: 'fallback', tier: 'shared' })
  await removed
})
