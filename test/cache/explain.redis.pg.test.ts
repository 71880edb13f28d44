import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import type { CacheManager } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

let server: TestRedis
let db: TestDatabase
let open: CacheManager[] = []

beforeAll(async () => {
  server = await startRedis()
  db = await createTestDatabase()
  await db.sql(`create table quotes (id int primary key, tenant_id int, status text, amount int)`)
  await db.sql(`insert into quotes values (1, 7, 'a:b, c', 10)`)
  await planAndApply(db.database, {
    views: {},
    caches: { shop: { dependsOn: { quotes: [['tenant_id'], ['status', 'tenant_id']] } } },
  })
})
afterAll(async () => {
  await server.stop()
  await db.drop()
})
beforeEach(() => server.restart())
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
})

function node(name: string, database: string | null = db.url) {
  const cache = createCache({
    namespace: 'shop',
    node: name,
    ...(database === null ? {} : { database }),
    store: redis(server.url),
  })
  open.push(cache)
  const dependsOn = database === null ? [] : ({ quotes: 'tenant_id' } as const)
  const tenant = (id: number): number => id
  const total = cache.define('total', (id: number) => Promise.resolve(id), {
    dependsOn,
    tenant,
    tags: ['totals'],
    version: '1',
  })
  return { cache, total }
}

test('a commit: which transaction changed which rows of which table, and by which tag that concerns the entry', async () => {
  const { total } = node('a')
  await total.get(7)
  expect(await total.explain(7)).toMatchObject({
    state: 'fresh',
    tier: 'memory',
    node: 'a',
    invalidSince: null,
    tags: expect.arrayContaining(['source:public.quotes:tenant_id=7', 'tag:totals']) as string[],
  })
  const [{ xid } = { xid: '' }] = await db.sql<{ xid: string }>(
    `update quotes set amount = amount + 1 where id = 1 returning pg_current_xact_id()::text as xid`,
  )
  await expect.poll(async () => (await total.explain(7)).state).toBe('removed')
  const why = await total.explain(7)
  expect(why).toMatchObject({
    tier: 'memory',
    invalidation: {
      verb: 'remove',
      by: 'journal',
      tag: 'source:public.quotes:tenant_id=7',
      source: 'public.quotes',
      rows: { tenant_id: '7' },
      position: expect.any(Number) as number,
      xids: { first: xid, last: xid },
    },
  })
  expect(why.invalidSince).toBe(why.invalidation?.heardAt)
  const [{ seen } = { seen: null }] = await db.sql<{ seen: boolean }>(
    `select pg_visible_in_snapshot('${xid}', '${why.tidemark ?? ''}') as seen`,
  )
  expect(seen).toBe(false)
  await total.get(7)
  const after = await total.explain(7)
  expect(after).toMatchObject({ state: 'fresh', invalidSince: null })
  expect(after.invalidation).toEqual(why.invalidation)
  const [{ now } = { now: null }] = await db.sql<{ now: boolean }>(
    `select pg_visible_in_snapshot('${xid}', '${after.tidemark ?? ''}') as now`,
  )
  expect(now).toBe(true)
})

test('values with what parts a tag are read back, TRUNCATE concerns rows that cannot be told', async () => {
  const { cache } = node('a')
  const state = cache.define('state', (status: string) => status, {
    dependsOn: { quotes: { tenant_id: () => 7, status: (status) => status } },
  })
  await state.get('a:b, c')
  await db.sql(`update quotes set amount = amount + 1 where id = 1`)
  await expect
    .poll(async () => (await state.explain('a:b, c')).invalidation?.rows)
    .toEqual({ tenant_id: '7', status: 'a:b, c' })
  await state.get('a:b, c')
  await db.sql(`truncate quotes`)
  await expect
    .poll(async () => (await state.explain('a:b, c')).invalidation)
    .toMatchObject({ tag: 'source:public.quotes:*', source: 'public.quotes', rows: null })
  await db.sql(`insert into quotes values (1, 7, 'a:b, c', 10)`)
})

test('without a database: what this process and the journal in Redis know', async () => {
  const [a, b] = [node('a', null), node('b', null)]
  await a.total.get(7)
  await expect.poll(async () => (await b.total.explain(7)).tier).toBe('shared')
  expect(await b.total.explain(7)).toMatchObject({ state: 'fresh', node: 'a', tidemark: null })
  await b.total.get(7)
  await a.cache.remove({ tags: ['totals'] })
  const here = { by: 'here', tag: 'tag:totals', source: null, xids: null, position: 1 }
  expect((await a.total.explain(7)).invalidation).toMatchObject(here)
  expect(await b.total.explain(7)).toMatchObject({
    state: 'removed',
    node: 'a',
    invalidation: { ...here, by: 'journal' },
  })
})

test('explaining is no read: it loads nothing, counts nothing, keeps nobody from loading', async () => {
  const [a, b] = [node('a'), node('b')]
  expect(await a.total.explain(7)).toMatchObject({
    state: 'absent',
    tier: null,
    tags: expect.any(Array) as string[],
  })
  const client = await createClient({ url: server.url }).connect()
  expect(await client.keys('shop:~lease:*')).toEqual([])
  client.destroy()
  expect((await b.total.get(7)).state).toBe('miss')
  expect(a.cache.getStats()).toMatchObject({ hits: 0, misses: 0, loads: 0, entries: 0 })
})

test('while nobody can tell what was invalidated, it says so', async () => {
  const { total } = node('a', null)
  await total.get(7)
  await server.kill()
  await expect
    .poll(() => total.explain(7), { timeout: 5_000 })
    .toMatchObject({ state: 'fresh', current: false })
})
