import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table orders (id int primary key, region text, total numeric(10,2));
    insert into orders select g, 'r' || g % 5, g from generate_series(1, 100) g`)
  await applyConfiguration(
    db.database,
    configured({
      views: {
        'public.sales': {
          sql: 'select region, sum(total) as total from orders group by region',
          target: '1m',
          policy: 'eager',
        },
        'public.calm': { sql: 'select id from orders where total > 50', target: '1m' },
      },
    }),
  )
})
afterAll(() => db.drop())

const totalOf = async (view: string): Promise<number> => {
  const [row] = await db.sql<{ total: string }>(`select sum(total) as total from ${view}`)
  return Number(row?.total)
}

test('commits to eager views are reflected one after the other, without a request', async () => {
  const session = await db.session()
  const keeping = session.query(`call tidemark.keep_up('test', 2000)`)
  for (let id = 1001; id <= 1005; id += 1) {
    await db.sql(`insert into orders values (${String(id)}, 'r1', 1)`)
    await expect.poll(() => totalOf('public.sales'), { timeout: 10_000 }).toBe(4050 + id)
  }
  await keeping
  const [run] = await db.sql(
    `select sum(refreshes) > 1 as many, count(distinct request_id)::int as requests from tidemark.run
     where view = 'public.sales' and triggered_by = 'eager'`,
  )
  expect(run).toEqual({ many: true, requests: 0 })
  const [fresh] = await db.sql(`select state from tidemark.freshness where view = 'public.sales'`)
  expect(fresh).toEqual({ state: 'fresh' })
})

test('several who look after the same views lose nothing and do nothing twice', async () => {
  const sessions = await Promise.all([db.session(), db.session(), db.session()])
  const keeping = sessions.map((session, n) =>
    session.query(`call tidemark.keep_up('test ${String(n)}', 1500)`),
  )
  for (let id = 2000; id < 2050; id += 1) {
    await db.sql(`insert into orders values (${String(id)}, 'r2', 1)`)
  }
  await Promise.all(keeping)
  expect(await totalOf('public.sales')).toBe(5105)
})

test(
  'a hundred refreshes leave the catalogue as small as it was',
  { timeout: 180_000 },
  async () => {
    const session = await db.session()
    const hundred = async (): Promise<void> => {
      for (let round = 0, done = 0; done < 100 && round < 60; round += 1) {
        const keeping = session.query<{ refreshes: number }>(
          `call tidemark.keep_up('hundred', 1000)`,
        )
        const writing = AbortSignal.timeout(1_000)
        for (; !writing.aborted;) await db.sql('update orders set total = total + 1 where id = 1')
        const [kept] = await keeping
        done += kept?.refreshes ?? 0
      }
    }
    const look = async (): Promise<{ pages: number; runs: number; refreshes: number }> => {
      const [row] = await db.sql<{ pages: number; runs: number; refreshes: number }>(
        `select (select sum(pg_relation_size(oid) / 8192)::int from pg_class
               where oid in ('tidemark.run'::regclass, 'tidemark.view_state'::regclass, 'tidemark.tidemark'::regclass)) as pages,
              count(*)::int as runs, sum(refreshes)::int as refreshes from tidemark.run where view = 'public.sales'`,
      )
      return row ?? { pages: 0, runs: 0, refreshes: 0 }
    }
    // Whoever begins a subscription, in whatever database, holds versions of rows on the whole server.
    const isHeld = async (): Promise<boolean | undefined> => {
      const [row] = await db.sql<{ held: boolean }>(
        `select exists (select from pg_replication_slots where xmin is not null or slot_type = 'logical' and confirmed_flush_lsn is null)
           or exists (select from pg_stat_activity where backend_type = 'walsender' and backend_xmin is not null) as held`,
      )
      return row?.held
    }
    let grown = Infinity
    for (let attempt = 0; attempt < 8 && grown > 2; attempt += 1) {
      await expect.poll(isHeld, { timeout: 60_000 }).toBe(false)
      const before = await look()
      await hundred()
      const after = await look()
      expect(after.refreshes - before.refreshes).toBeGreaterThanOrEqual(100)
      // One row for ten seconds, not one for each refresh.
      expect(after.runs - before.runs).toBeLessThanOrEqual(8)
      grown = after.pages - before.pages
    }
    expect(grown).toBeLessThanOrEqual(2)
  },
)

test('what has to be computed afresh is left to a request', async () => {
  await db.sql('truncate orders')
  const session = await db.session()
  await session.query(`call tidemark.keep_up('test', 300)`)
  await db.sql('call tidemark.work()')
  const [rows] = await db.sql('select count(*)::int as n from public.sales')
  expect(rows).toEqual({ n: 0 })
})

test('without eager views nobody waits', async () => {
  await db.sql(`select tidemark.pause('public.sales', 'test')`)
  const session = await db.session()
  const [row] = await session.query(`call tidemark.keep_up('test', 60000)`)
  expect(row).toEqual({ refreshes: null })
})
