import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import { apiOf } from '../../examples/onquota/api.ts'
import type { Dashboard } from '../../examples/onquota/caches.ts'
import { dashboardOf, openCache, ttls } from '../../examples/onquota/caches.ts'
import type { Transactions } from '../../examples/onquota/database.ts'
import { clientsOf, expensesOf } from '../../examples/onquota/ledger.ts'
import { salesOf } from '../../examples/onquota/sales.ts'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { redis } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import { recordCache } from '../../src/testing/index.ts'
import type { TestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { exampleDatabase } from './example.ts'

const tenant = '123e4567-e89b-12d3-a456-426614174000'
const other = '9b2f1c5e-0d1a-4a58-8f0e-2f6d3b7c8a90'

let server: TestRedis
let db: TestDatabase
let open: CacheManager[] = []
let lines: string[]
/** Queries that the application has sent. */
let queries = 0
const record = recordCache()

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  lines = []
  record.clear()
  db = await exampleDatabase('onquota')
  await db.sql(`
    insert into clients (tenant_id, name) values ('${tenant}', 'Acme'), ('${tenant}', 'Globex'), ('${other}', 'Initech');
    insert into quotes (tenant_id, client_id, status, total)
      values ('${tenant}', 1, 'ACCEPTED', 1500), ('${tenant}', 2, 'SENT', 900), ('${other}', 3, 'SENT', 400);
    insert into expenses (tenant_id, spent_on, amount) values ('${tenant}', '2025-03-05', 120)`)
  queries = 0
})
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  const client = await createClient({ url: server.url }).connect()
  await client.flushAll()
  await client.close()
  await db.drop()
})

const counted = (): Transactions => ({
  query: (sql, values) => {
    queries += 1
    return db.database.query(sql, [...(values ?? [])])
  },
  transaction: (work) =>
    db.database.transaction((transaction) =>
      work({ query: (sql, values) => transaction.query(sql, [...(values ?? [])]) }),
    ),
})

/** One process of the application. */
function node(options: Partial<CacheOptions> = {}, warm: readonly string[] = []) {
  const note = (line: string) => void lines.push(line)
  const log = { info: note, warn: note, error: note }
  const cache = openCache({ store: redis(server.url), log, onEvent: record.onEvent, ...options })
  open.push(cache)
  const dashboard = dashboardOf(cache, counted(), warm)
  const database = counted()
  const api = apiOf(cache, database, dashboard)
  return {
    cache,
    dashboard,
    sales: salesOf(cache, database),
    expenses: expensesOf(cache, database),
    clients: clientsOf(cache, database),
    call: (method: string, path: string, of = tenant, body?: object) =>
      api(
        new Request(`http://onquota.test/api/v1${path}`, {
          method,
          headers: { authorization: `Bearer ${of}` },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      ),
  }
}

/** Reads the whole dashboard of a tenant, so that all of it is cached. */
async function readAll({ kpis, summary, expensesMonthly, topClients }: Dashboard, of = tenant) {
  const answers = await Promise.all([
    kpis.get(of),
    summary.get(of),
    expensesMonthly.get(of, 2025),
    topClients.get(of),
  ])
  return answers.map(({ state }) => state)
}

const states = { kpis: 0, summary: 1, expenses: 2, clients: 3 }

/** Which parts of the dashboard of a tenant had to be read again. */
async function missed(dashboard: Dashboard, of = tenant): Promise<string[]> {
  const found = await readAll(dashboard, of)
  return Object.entries(states).flatMap(([name, at]) => (found[at] === 'miss' ? [name] : []))
}

test('D1, D4: each endpoint that writes invalidates its dashboards, on every node, and no others', async () => {
  const [{ sales, expenses, clients, dashboard }, b] = [node(), node()]
  const steps: readonly [what: string, write: () => Promise<unknown>, concerns: string[]][] = [
    [
      'a quote',
      () => sales.create(tenant, { clientId: 1, total: 10 }),
      ['kpis', 'summary', 'expenses', 'clients'],
    ],
    ['its end', () => sales.delete(tenant, 2), ['kpis', 'summary', 'expenses', 'clients']],
    ['an expense', () => expenses.create(tenant, 80, '2025-04-01'), ['kpis', 'expenses']],
    ['another amount', () => expenses.update(tenant, 1, 130), ['kpis', 'expenses']],
    ['no expense', () => expenses.delete(tenant, 1), ['kpis', 'expenses']],
    ['a client', () => clients.create(tenant, 'Umbrella'), ['kpis', 'clients']],
    ['a name', () => clients.rename(tenant, 1, 'Acme Inc'), ['clients']],
    ['no client', () => clients.delete(tenant, 1), ['kpis', 'clients']],
  ]
  for (const [what, write, concerns] of steps) {
    await readAll(dashboard)
    await readAll(b.dashboard)
    await write()
    expect([what, ...(await missed(b.dashboard))]).toEqual([what, ...concerns])
  }
  expect((await b.dashboard.kpis.get(tenant)).value).toEqual({
    quotes: 0,
    accepted: '0',
    spent: '80.00',
  })
})

test('D1: what threw invalidates nothing', async () => {
  const { sales, dashboard } = node()
  await readAll(dashboard)
  await expect(sales.delete(tenant, 999)).rejects.toThrow()
  await expect(sales.create(other, { clientId: 1, total: 10 })).rejects.toThrow()
  expect(await missed(dashboard)).toEqual([])
})

test('D2: everything, one resource, one tenant, and only when it matters', async () => {
  const { sales, dashboard } = node()
  const readBoth = async () => [await missed(dashboard), await missed(dashboard, other)]
  await readBoth()
  await sales.setStatus(tenant, 2, 'REJECTED')
  expect(await readBoth()).toEqual([['summary'], []])
  await sales.setStatus(tenant, 2, 'ACCEPTED')
  expect(await readBoth()).toEqual([['kpis', 'summary', 'clients'], []])
  expect((await dashboard.topClients.get(tenant)).value).toEqual([
    { name: 'Acme', accepted: '1500.00' },
    { name: 'Globex', accepted: '900.00' },
  ])
  await sales.correctTotals(2)
  const all = ['kpis', 'summary', 'expenses', 'clients']
  expect(await readBoth()).toEqual([all, all])
})

test('D2: what a transaction invalidates waits for its commit, and is dropped when it rolls back', async () => {
  const { sales, dashboard } = node()
  await readAll(dashboard)
  record.clear()
  await expect(
    sales.import(tenant, [
      { clientId: 1, total: 10 },
      { clientId: 999, total: 10 },
    ]),
  ).rejects.toThrow()
  record.assertNotInvalidated()
  expect(await missed(dashboard)).toEqual([])
  await sales.import(tenant, [
    { clientId: 1, total: 10 },
    { clientId: 2, total: 20 },
  ])
  record.assertInvalidated('quotes:*', 'dashboard:*')
  expect((await dashboard.kpis.get(tenant)).value.quotes).toBe(4)
})

test('D3: keys are those of the document, and a pattern that matches none of them is an error at start', async () => {
  const { cache, dashboard } = node()
  await readAll(dashboard)
  const client = await createClient({ url: server.url }).connect()
  await expect
    .poll(async () =>
      (await client.keys('onquota:[dq]*'))
        .sort()
        .map((key) => key.replace(/[0-9a-f]{8}$/, '{hash}')),
    )
    .toEqual([
      `onquota:dashboard:expenses_monthly:${tenant}:2025:{hash}`,
      `onquota:dashboard:kpis:${tenant}:-:{hash}`,
      `onquota:dashboard:top_clients:${tenant}:-:{hash}`,
      `onquota:quotes:summary:${tenant}:-:{hash}`,
    ])
  await client.close()
  // The document's own: its keys are quotes:list:{tenant_id}:{hash}.
  cache.invalidates('quotes:tenant_{tenant_id}:*')
  await expect(cache.start()).rejects.toThrow("'quotes:list:{tenantId}:*'")
})

test('D4: a GET answers from the cache, a POST makes it read again, a GET never invalidates', async () => {
  const { call } = node()
  const list = async (of?: string) => call('GET', '/sales/quotes', of)
  const first = await list()
  const again = await list()
  expect(first.headers.get('cache-status')).toBe('tidemark; fwd=miss')
  expect(again.headers.get('cache-status')).toBe('tidemark; hit')
  expect(await again.json()).toEqual(await first.json())
  await list(other)
  record.clear()
  await call('GET', '/dashboard/kpis')
  await call('GET', '/sales/quotes')
  record.assertNotInvalidated()
  expect((await call('POST', '/sales/quotes', tenant, { clientId: 1, total: 70 })).status).toBe(201)
  record.assertInvalidated('quotes:*', 'dashboard:*')
  expect(await (await list()).json()).toHaveLength(3)
  record.clear()
  expect((await call('POST', '/sales/quotes', tenant, { clientId: 999, total: 1 })).status).toBe(
    404,
  )
  record.assertNotInvalidated()
  await call('POST', '/expenses', tenant, { amount: 5 })
  record.assertInvalidated('dashboard:expenses_monthly:*', 'dashboard:kpis:*')
  record.assertNotInvalidated('quotes:*', 'dashboard:*')
  expect((await call('GET', '/sales/quotes', '')).status).toBe(401)
})

test('D5: the log says hit, miss and what was invalidated; what is cached costs no query', async () => {
  const { sales, dashboard } = node()
  const key = dashboard.kpis.key(tenant)
  await dashboard.kpis.get(tenant)
  record.assertAnswered(key, 'miss')
  expect(queries).toBe(1)
  await dashboard.kpis.get(tenant)
  record.assertAnswered('dashboard:kpis', 'hit')
  expect(queries).toBe(1)
  await sales.create(tenant, { clientId: 1, total: 10 })
  await dashboard.kpis.get(tenant)
  record.assertAnswered('dashboard:kpis', 'miss')
  expect(() => {
    record.assertInvalidated('expenses:*')
  }).toThrow("'expenses:*' should have been invalidated; 'quotes:*', 'dashboard:*' was.")
  expect(lines).toEqual(
    expect.arrayContaining([
      `Cache miss: ${key}`,
      `Cache set: ${key} (TTL 600 s)`,
      `Cache hit: ${key}`,
      'Invalidated cache pattern: quotes:*',
      'Invalidated cache pattern: dashboard:*',
    ]),
  )
})

test('D6: one table of TTLs, warm at start, counted by kind, and told when the hit rate falls', async () => {
  let now = 0
  const timing = { ...systemTiming, now: () => performance.now() + now }
  const hitRate = { min: 0.8, answersMin: 10 }
  const { cache, dashboard, clients } = node({ timing, hitRate }, [tenant, other])
  expect(ttls['dashboard:expenses_monthly']).toBe('1h')
  await cache.start()
  await expect.poll(() => cache.getStats().kinds['dashboard:kpis']?.loads).toBe(2)
  expect((await dashboard.kpis.get(tenant)).state).toBe('hit')
  expect((await dashboard.kpis.get(other)).state).toBe('hit')
  expect(cache.getStats().kinds['dashboard:kpis']).toMatchObject({ hits: 2, misses: 0, hitRate: 1 })
  for (let look = 0; look < 10; look += 1) {
    await clients.create(tenant, `Hooli ${look}`)
    await dashboard.topClients.get(tenant)
  }
  now += 60_000
  await dashboard.topClients.get(tenant)
  expect(lines).toContainEqual(expect.stringMatching(/^Cache hit rate low: dashboard:top_clients/))
})

test('an invalidation that other nodes cannot be told of holds here, is logged, and fails no write', async () => {
  const { sales, dashboard } = node({ ttl: '1m' })
  await readAll(dashboard)
  server.freeze()
  try {
    const quote = await sales.create(tenant, { clientId: 1, total: 10 })
    expect(quote.status).toBe('DRAFT')
    expect((await dashboard.kpis.get(tenant)).value.quotes).toBe(3)
  } finally {
    server.thaw()
  }
  expect(lines).toContainEqual(
    expect.stringMatching(/^Cache invalidation: .*TIDEMARK_CACHE_UNREACHABLE/),
  )
})
