import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { CacheOptions } from '../../src/cache.ts'
import { cached, postgres } from '../../src/cache.ts'
import type { SharedStore } from '../../src/cache/shared-store.ts'
import { tick } from '../../src/queue/tick.ts'
import type { TestDatabase } from '../support/database.ts'
import { gate } from '../support/gate.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { createShop } from './shop.ts'

let db: TestDatabase
let loads = 0

beforeAll(async () => {
  db = await createShop()
})
afterAll(async () => {
  await db.drop()
})
beforeEach(async () => {
  loads = 0
  await db.sql(`delete from quotes; insert into quotes values (1, 7, 10), (2, 8, 20);
    delete from tidemark.shared_entry; delete from tidemark.shared_lease`)
})

const makeCache = cachesOfTests()

const sum = async (tenant: number): Promise<number> => {
  loads += 1
  const [row] = await db.sql<{ total: number }>(
    `select coalesce(sum(amount), 0)::int as total from quotes where tenant_id = ${String(tenant)}`,
  )
  return row?.total ?? -1
}

/** A node that shares a table with the others. */
function node(
  load: (tenant: number) => unknown = sum,
  maxLag: '100ms' | 0 = 0,
  through: Partial<CacheOptions> = {},
) {
  const of = { namespace: 'shop', database: db.url, store: postgres(), maxLag }
  const cache = makeCache({ ...of, ...through })
  const options = { dependsOn: { quotes: 'tenant_id' }, version: '1', hardTimeout: '5s' } as const
  return { cache, total: cache.define('total', load, { ...options, tags: ['totals'] }) }
}

const entries = async (): Promise<number> => {
  const [row] = await db.sql<{ n: number }>('select count(*)::int as n from tidemark.shared_entry')
  return row?.n ?? -1
}

test('one node loads, others take it from the table, and a commit outdates it for all, of that tenant alone', async () => {
  const [a, b] = [node(), node()]
  expect(await a.total.get(7)).toMatchObject({ value: 10, tier: 'source' })
  await a.total.get(8)
  await expect.poll(entries).toBe(2)
  expect(await b.total.get(7)).toMatchObject({ value: 10, tier: 'shared', state: 'hit' })
  await db.sql(`update quotes set amount = 11 where id = 1`)
  for (const { total } of [a, b]) expect((await total.get(7)).value).toBe(11)
  expect(await b.total.get(8)).toMatchObject({ value: 20, tier: 'shared' })
})

test('law: with maxLag 0 the table gives nothing from before what was committed before the question', async () => {
  const nodes = [node(), node()]
  for (let amount = 1; amount <= 40; amount += 1) {
    await db.sql(`update quotes set amount = ${String(amount)} where id = 1`)
    const answers = await Promise.all(nodes.map(({ total }) => total.get(7)))
    expect(answers.map(({ value }) => value)).toEqual([amount, amount])
  }
})

test('many callers on four nodes make one load', async () => {
  const held = gate()
  const slow = async (tenant: number): Promise<number> => {
    const result = await sum(tenant)
    await held.passed
    return result
  }
  const nodes = [1, 2, 3, 4].map(() => node(slow))
  const answers = nodes.flatMap(({ total }) => Array.from({ length: 50 }, () => total.get(7)))
  await expect.poll(() => loads).toBe(1)
  held.open()
  expect(new Set((await Promise.all(answers)).map(({ value }) => value))).toEqual(new Set([10]))
  expect(loads).toBe(1)
})

test('explaining an entry takes no lease, not even for a moment', async () => {
  const asked: { readonly leaseMs: number; readonly leased: boolean }[] = []
  const storeThrough = (store: SharedStore): SharedStore => ({
    ...store,
    async read(question) {
      const answer = await store.read(question)
      asked.push({ leaseMs: question.leaseMs, leased: answer.leased })
      return answer
    },
  })
  const { total } = node(sum, 0, { storeThrough })
  expect(await total.explain(7)).toMatchObject({ state: 'absent' })
  expect(asked).toEqual([{ leaseMs: 0, leased: false }])
})

test('a load that fails has failed for all nodes that wait for it; who asks afterwards loads anew', async () => {
  const held = gate()
  const failing = async (): Promise<number> => {
    loads += 1
    await held.passed
    if (loads === 1) throw new Error('the source is away')
    return loads
  }
  const asked = new Map<SharedStore, number>()
  const storeThrough = (store: SharedStore): SharedStore => ({
    ...store,
    async read(question) {
      const answer = await store.read(question)
      asked.set(store, (asked.get(store) ?? 0) + 1)
      return answer
    },
  })
  const nodes = [1, 2, 3].map(() => node(failing, 0, { storeThrough }))
  const answers = Promise.allSettled(nodes.map(({ total }) => total.get(7)))
  await expect.poll(() => loads).toBe(1)
  await expect.poll(() => [...asked.values()].filter((times) => times > 3).length).toBe(2)
  held.open()
  const codes = (await answers).map((each) =>
    each.status === 'rejected' ? (each.reason as { code?: string }).code : 'answered',
  )
  expect(codes.sort()).toEqual([
    'TIDEMARK_CACHE_LOAD_FAILED',
    'TIDEMARK_CACHE_LOAD_FAILED',
    undefined,
  ])
  expect((await nodes[1]?.total.get(7))?.value).toBe(2)
})

test('law: a load that a commit, a tag or its key outdates on the way is stored nowhere', async () => {
  const ways = [
    (_: ReturnType<typeof node>, tenant: number) =>
      db.sql(`update quotes set amount = 2 where tenant_id = ${String(tenant)}`),
    ({ cache }: ReturnType<typeof node>) => cache.remove({ tags: ['totals'] }),
    ({ total }: ReturnType<typeof node>, tenant: number) => total.remove(tenant),
  ]
  for (const [at, outdate] of ways.entries()) {
    // Each has a tenant of its own: what was stored behind the one before does not matter.
    const tenant = 100 + at
    await db.sql(`insert into quotes values (${String(tenant)}, ${String(tenant)}, 1)`)
    const [held, begun] = [gate(), gate()]
    const slow = node(async (of) => {
      const result = await sum(of)
      begun.open()
      await held.passed
      return result
    })
    const other = node()
    const first = slow.total.get(tenant)
    await begun.passed
    await outdate(other, tenant)
    // Positions are given before the load comes back.
    await other.total.get(8)
    held.open()
    await first
    const { value, state } = await other.total.get(tenant)
    expect([state, value]).toEqual(['miss', await sum(tenant)])
  }
})

test('what is removed by code is gone on every node, what is expired is renewed', async () => {
  let source = 1
  const load = (): unknown => cached({ source }, { tags: ['brand'] })
  const [a, b] = [node(load), node(load)]
  await a.total.get(7)
  await expect.poll(entries).toBe(1)
  for (const remove of [
    () => a.total.remove(7),
    () => a.cache.remove({ tags: ['brand'] }),
    () => b.cache.remove({ patterns: ['total:*'] }),
    () => b.cache.expire({ tags: ['totals'] }),
  ]) {
    source += 1
    await remove()
    for (const { total } of [a, b]) {
      await expect.poll(async () => (await total.get(7)).value).toEqual({ source })
    }
  }
})

test('a table that a crash has emptied costs loads, and a journal that began anew, or has forgotten, outdates all of it', async () => {
  const [a, b] = [node(), node()]
  await a.total.get(7)
  await expect.poll(entries).toBe(1)
  await db.sql(`delete from tidemark.shared_entry`)
  expect((await b.total.get(7)).value).toBe(10)
  await expect.poll(entries).toBe(1)
  // Nobody is told of this commit, neither by the journal that begins anew nor by one that has forgotten it.
  await db.sql(`update quotes set amount = 12 where id = 1; select tidemark.renew_cache('shop')`)
  expect(await node().total.get(7)).toMatchObject({ value: 12, tier: 'source' })
  await db.sql(`update quotes set amount = 13 where id = 1`)
  await db.sql(`select tidemark.poll_invalidations('shop')`)
  await db.sql(
    `update tidemark.cache_state set forgotten = position; delete from tidemark.invalidation`,
  )
  expect(await node().total.get(7)).toMatchObject({ value: 13, tier: 'source' })
})

test('ticks take away what has run out', async () => {
  const { total } = node(() => cached(1, { ttl: '20ms' }))
  await total.get(7)
  await expect.poll(entries).toBe(1)
  await db.sql(`update tidemark.shared_entry set expires_at = now() - interval '1 s'`)
  await tick(db.database)
  expect(await entries()).toBe(0)
})

test('without a database there is no table to share', () => {
  expect(() => makeCache({ namespace: 'shop', store: postgres() })).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_CACHE_INVALID' }),
  )
})
