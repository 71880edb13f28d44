import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import type { CacheOptions } from '../../src/cache.ts'
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
  db = await createShop()
})
afterAll(async () => {
  await db.drop()
  await server.stop()
})
beforeEach(async () => {
  await db.sql(`delete from quotes; insert into quotes values (1, 7, 0)`)
})

const makeCache = cachesOfTests()

/** A node that looks so seldom that it would not hear of a write in the time of a test. */
function node(options: Partial<CacheOptions> = {}) {
  const cache = makeCache({ namespace: 'shop', database: db.url, maxLag: '30s', ...options })
  const load = async (tenant: number): Promise<number> => {
    const [row] = await db.sql<{ amount: number }>(
      `select amount from quotes where tenant_id = ${String(tenant)}`,
    )
    return row?.amount ?? -1
  }
  const options_ = { dependsOn: { quotes: 'tenant_id' }, version: '1', hardTimeout: '2s' } as const
  return { cache, amount: cache.define('amount', load, options_) }
}

const write = async (amount: number): Promise<string> => {
  const [row] = await db.sql<{ token: string }>(
    `begin; update quotes set amount = ${String(amount)}; create temporary table if not exists t (token text);
     delete from t; insert into t select tidemark.token(); commit; select token from t`,
  )
  return row?.token ?? ''
}

test('law: who reads after a token reads the write on every node, from memory and through Redis', async () => {
  const store = redis(server.url)
  const nodes = [node({ store }), node({ store }), node()]
  for (const { amount } of nodes) await amount.get(7)
  for (let amount = 1; amount <= 20; amount += 1) {
    const token = await write(amount)
    for (const reader of nodes) {
      expect((await reader.amount.after(token).get(7)).value).toBe(amount)
    }
  }
})

test('a token outside of a write stands for all that was visible then', async () => {
  const reader = node()
  await reader.amount.get(7)
  await write(5)
  const [row] = await db.sql<{ token: string }>(`select tidemark.token() as token`)
  expect((await reader.amount.get(7)).value).toBe(0)
  const [answer] = await reader.amount.after(row?.token ?? '').getMany([[7]])
  expect(answer?.value).toBe(5)
})

test('what one node has loaded after a token, others take from Redis', async () => {
  const store = redis(server.url)
  const [a, b] = [node({ store }), node({ store })]
  const client = await createClient({ url: server.url }).connect()
  await client.flushAll()
  const token = await write(1)
  await a.amount.after(token).get(7)
  await expect.poll(() => client.exists(a.amount.key(7))).toBe(1)
  expect(await b.amount.after(token).get(7)).toMatchObject({ value: 1, tier: 'shared' })
  client.destroy()
})

test('a query reads after a token as well', async () => {
  const { cache } = node()
  const sql = 'select amount from quotes where tenant_id = $1'
  await cache.query(sql, [7])
  const after = await write(6)
  expect((await cache.query(sql, [7], { after })).value).toEqual([{ amount: 6 }])
})

test('a transaction that is still open is waited for, within the hard limit', async () => {
  const reader = node()
  await reader.amount.get(7)
  const session = await openSession(db.url)
  await session.query('begin; update quotes set amount = 9')
  const [row] = await session.query<{ token: string }>('select tidemark.token() as token')
  const token = row?.token ?? ''
  await expect(reader.amount.after(token).get(7)).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_TIMEOUT',
  })
  const waiting = reader.amount.after(token).get(7)
  await session.query('commit')
  expect((await waiting).value).toBe(9)
  await session.close()
})

test('a token means nothing to a cache without a database', async () => {
  const cache = makeCache({ namespace: 'shop', store: redis(server.url) })
  const kind = cache.define('other', () => 1)
  await expect(kind.after('123').get()).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_INVALID' })
})
