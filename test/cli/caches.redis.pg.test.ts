import { afterAll, beforeAll, expect, test } from 'vitest'
import { createCache, redis } from '../../src/cache.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { jsonOf, openShell } from './run.ts'
import type { Shell } from './run.ts'

let db: TestDatabase
let store: TestRedis
let shell: Shell

beforeAll(async () => {
  store = await startRedis()
  db = await createTestDatabase()
  await db.sql(`create table quotes (id int primary key, tenant_id int)`)
  await db.sql(
    `create table totals (tenant_id int primary key, n int, at timestamptz default now())`,
  )
  await planAndApply(db.database, {
    views: {},
    caches: { shop: { dependsOn: { quotes: ['tenant_id'] } } },
    cacheTables: {
      totals: {
        key: ['tenant_id'],
        updatedAt: 'at',
        ttl: '5m',
        rules: [{ on: 'quotes', key: { tenant_id: 'tenant_id' } }],
      },
    },
  })
  shell = await openShell(db.url)
})
afterAll(async () => {
  await shell.remove()
  await store.stop()
  await db.drop()
})

/** A cache of the database with entries in Redis. */
async function filled() {
  const cache = createCache({ namespace: 'shop', database: db.url, store: redis(store.url) })
  const total = cache.define('quotes:total', (id: number) => id, {
    dependsOn: { quotes: 'tenant_id' },
    version: '1',
  })
  await total.get(7)
  await total.get(8)
  const keys = async () =>
    jsonOf(await shell.run(['keys', 'shop', '--redis-url', store.url, '--json']))
  await expect.poll(async () => ((await keys())['keys'] as unknown[]).length).toBe(2)
  return { cache, total, keys }
}

test('cache lists caches and cache tables, what they depend on and who listens', async () => {
  const { cache } = await filled()
  const listed = async () => jsonOf(await shell.run(['cache', '--json']))
  await expect.poll(listed).toMatchObject({
    kind: 'caches',
    caches: [
      {
        name: 'shop',
        depends_on: ['public.quotes'],
        listeners: 1,
        kept: 0,
        behind_ms: expect.any(Number) as number,
      },
    ],
    tables: [
      {
        name: 'public.totals',
        sources: ['public.quotes'],
        ttl_ms: 300_000,
        bytes: expect.any(Number) as number,
      },
    ],
  })
  const { out } = await shell.run(['cache', 'list'])
  expect(out).toMatch(/shop +\d+ +\d+ +.* 1 .*public\.quotes/)
  expect(out).toContain('public.totals')
  await cache.close()
})

test('keys shows readable keys with their state, age and time left, and changes nothing', async () => {
  const { cache, total, keys } = await filled()
  const [seven, eight] = [total.key(7), total.key(8)]
  const one = {
    state: 'fresh',
    age_ms: expect.any(Number) as number,
    bytes: expect.any(Number) as number,
  }
  expect((await keys())['keys']).toMatchObject([
    { ...one, key: seven },
    { ...one, key: eight },
  ])
  await cache.expire({ patterns: ['quotes:total:tenant_7:*'] })
  await db.sql(`insert into quotes values (1, 8)`)
  await expect
    .poll(async () => (await keys())['keys'], { timeout: 5_000 })
    .toMatchObject([
      { key: seven, state: 'expired' },
      { key: eight, state: 'removed' },
    ])
  const { out } = await shell.run(['keys', 'shop', '*tenant_7*'], {
    environment: { TIDEMARK_REDIS_URL: store.url },
  })
  expect(out).toContain(seven)
  expect(out).not.toContain(eight)
  await cache.close()
})

test('cache invalidate says what it does, asks, and does nothing after a no', async () => {
  const { cache, total } = await filled()
  const words = ['cache', 'invalidate', 'shop', 'quotes:*']
  const no = await shell.run(words, { confirm: () => Promise.resolve(false) })
  expect(no).toMatchObject({ status: 1 })
  expect(no.out).toMatch(
    /Cache shop: entries of quotes:\* may not be served again[^]*Nothing was invalidated/,
  )
  expect((await total.get(7)).state).toBe('hit')
  expect(await shell.run(words, { confirm: () => Promise.resolve(true) })).toMatchObject({
    status: 0,
  })
  await expect.poll(async () => (await total.explain(7)).state).toBe('removed')
  await cache.close()
})

test.each([
  [['keys', 'shop'], 'TIDEMARK_USAGE', /No Redis is named/],
  [['keys', 'shop', '--redis-url', 'localhost'], 'TIDEMARK_USAGE', /not of the form redis:/],
  [
    ['keys', 'shop', '--redis-url', 'redis://u:secret@127.0.0.1:1'],
    'TIDEMARK_CACHE_UNREACHABLE',
    /127\.0\.0\.1:1 does not answer/,
  ],
  [['keys', 'shop', '--redis-url', 'redis://h', '--limit', '0'], 'TIDEMARK_USAGE', /--limit 0/],
  [['keys'], 'TIDEMARK_USAGE', /NAMESPACE/],
  [['cache', 'invalidate', 'shop'], 'TIDEMARK_USAGE', /not said/],
  [['cache', 'flush'], 'TIDEMARK_USAGE', /nothing like flush/],
  [['cache', 'invalidate', 'shop', 'quotes*'], 'TIDEMARK_USAGE', /not a pattern/],
  [['cache', 'invalidate', 'shop', '*'], 'TIDEMARK_USAGE', /Nobody can be asked/],
  [['cache', 'invalidate', 'nowhere', '*', '--yes'], 'TIDEMARK_CACHE_UNKNOWN', /nowhere/],
])('%j is refused with %s', async (words, code, says) => {
  const ran = await shell.run([...words, '--json'])
  expect(ran.status).toBe(1)
  expect(jsonOf(ran)).toMatchObject({ code, what: expect.stringMatching(says) as string })
  expect(ran.out).not.toContain('secret')
})
