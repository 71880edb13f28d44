import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CacheEvent, CacheManager, CacheOptions } from '../../src/cache.ts'
import type { TestDatabase } from '../support/database.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { createShop } from './shop.ts'

let db: TestDatabase

beforeEach(async () => {
  db = await createShop()
  await db.sql(`insert into quotes values (1, 7, 10), (2, 8, 20)`)
})
afterEach(async () => {
  await db.drop()
})

const cacheOf = cachesOfTests()

const makeCache = (options: Partial<CacheOptions> = {}): CacheManager =>
  cacheOf({ namespace: 'shop', database: db.url, ...options })

/** What a tenant's quotes come to. */
function totals(cache: CacheManager) {
  const loads: number[] = []
  const load = async (tenant: number): Promise<number> => {
    loads.push(tenant)
    const rows = await db.sql<{ total: string }>(
      `select coalesce(sum(amount), 0)::text as total from quotes where tenant_id = ${tenant}`,
    )
    return Number(rows[0]?.total)
  }
  const total = cache.define('total', load, { dependsOn: { quotes: 'tenant_id' } })
  return { loads, total }
}

test('a commit by anybody outdates the entries of that tenant, on every node, and no other', async () => {
  const [a, b] = [totals(makeCache()), totals(makeCache())]
  for (const { total } of [a, b]) {
    expect((await total.get(7)).value).toBe(10)
    expect((await total.get(8)).value).toBe(20)
  }
  await db.sql(`update quotes set amount = 11 where id = 1`)
  for (const { total } of [a, b]) {
    await expect.poll(async () => (await total.get(7)).value).toBe(11)
    expect((await total.get(8)).value).toBe(20)
  }
  expect(a.loads).toEqual([7, 8, 7])
  await db.sql(`update quotes set tenant_id = 8 where id = 1`)
  await expect.poll(async () => (await a.total.get(7)).value).toBe(0)
  await expect.poll(async () => (await a.total.get(8)).value).toBe(31)
})

test('law: with maxLag 0 no answer is older than what was committed before the question', async () => {
  const { total } = totals(makeCache({ maxLag: 0 }))
  await total.get(7)
  for (let amount = 1; amount <= 50; amount += 1) {
    await db.sql(`update quotes set amount = ${amount} where id = 1`)
    expect((await total.get(7)).value).toBe(amount)
  }
})

test('an answer bears the snapshot that its load began with', async () => {
  const { total } = totals(makeCache())
  const [written] = await db.sql<{ xid: string }>(
    `update quotes set amount = 12 where id = 1 returning pg_current_xact_id()::text as xid`,
  )
  const { tidemark, value } = await total.get(7)
  expect(value).toBe(12)
  const [seen] = await db.sql<{ visible: boolean }>(
    `select pg_visible_in_snapshot('${written?.xid ?? ''}', '${tidemark ?? ''}') as visible`,
  )
  expect(seen?.visible).toBe(true)
})

test('what code removes is gone on every node when that is acknowledged', async () => {
  const [a, b] = [makeCache(), makeCache()]
  let source = 1
  const define = (cache: CacheManager) =>
    cache.define('thing', () => Promise.resolve(source), { version: '1' })
  const [mine, yours] = [define(a), define(b)]
  await Promise.all([mine.get(), yours.get()])
  source = 2
  await a.remove({ patterns: ['thing:*'] })
  expect((await yours.get()).value).toBe(2)
  expect((await mine.get()).value).toBe(2)
})

test.each([
  {
    of: 'a name that no configuration has',
    namespace: 'shp',
    role: 'postgres',
    code: 'TIDEMARK_CACHE_UNKNOWN',
    words: 'under caches',
  },
  {
    of: 'a role that its configuration does not name',
    namespace: 'shop',
    role: 'shop_stranger',
    code: 'TIDEMARK_PRIVILEGE_MISSING',
    words: 'roles:',
  },
])('a cache of $of says so, whatever is asked of it', async ({ namespace, role, code, words }) => {
  await db.sql(`
    do $$ begin create role shop_stranger login; exception when duplicate_object or unique_violation then null; end $$;
    grant select on quotes to shop_stranger`)
  const cache = makeCache({ namespace, database: db.urlAs(role) })
  totals(cache)
  const refused = { code, mend: expect.stringContaining(words) as unknown }
  await expect(cache.start()).rejects.toMatchObject(refused)
  await expect(cache.query('select * from quotes')).rejects.toMatchObject(refused)
  await expect(cache.remove({ patterns: ['total:*'] })).rejects.toMatchObject(refused)
})

test('a kind that depends on what nobody tells is named with the line to add, and is not kept', async () => {
  await db.sql(`create table expenses (tenant_id int)`)
  const events: CacheEvent[] = []
  const cache = makeCache({ onEvent: (event) => void events.push(event) })
  let loads = 0
  const kind = cache.define('sum', (tenant: number) => tenant + (loads += 1), {
    dependsOn: { expenses: 'tenant_id' },
  })
  await expect(cache.start()).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_BLIND',
    mend: expect.stringContaining(`'public.expenses': [['tenant_id']]`) as unknown,
  })
  await kind.get(1)
  await kind.get(1)
  expect(loads).toBe(2)
  expect(events.map(({ event }) => event)).toContain('unreachable')
})
