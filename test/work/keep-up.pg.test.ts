import { afterAll, beforeAll, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
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
        'public.calm': { sql: 'select id, 1000 / total as share from orders', target: '1m' },
      },
    }),
  )
})
afterAll(() => db.drop())

const totalOf = async (view: string): Promise<number> => {
  const [row] = await db.sql<{ total: string }>(`select sum(total) as total from ${view}`)
  return Number(row?.total)
}

/** Somebody looks after eager views, however long `body` takes. */
async function keptUp(worker: string, body: () => Promise<unknown>): Promise<void> {
  const session = await db.session()
  const over = new AbortController()
  const keeping = (async (): Promise<void> => {
    while (!over.signal.aborted) await session.query(`call tidemark.keep_up('${worker}', 500)`)
  })()
  try {
    await body()
  } finally {
    over.abort()
    await keeping
  }
}

const salesComeTo = (total: number): Promise<void> =>
  expect.poll(() => totalOf('public.sales'), { interval: 5 }).toBe(total)

test('commits to eager views are reflected one after the other, without a request', async () => {
  await keptUp('test', async () => {
    for (let id = 1001; id <= 1005; id += 1) {
      await db.sql(`insert into orders values (${String(id)}, 'r1', 1)`)
      await salesComeTo(4050 + id)
    }
  })
  const [run] = await db.sql(
    `select sum(refreshes) > 1 as many, count(distinct request_id)::int as requests from tidemark.run
     where view = 'public.sales' and triggered_by = 'eager'`,
  )
  expect(run).toEqual({ many: true, requests: 0 })
  const [fresh] = await db.sql(`select state from tidemark.freshness where view = 'public.sales'`)
  expect(fresh).toEqual({ state: 'fresh' })
})

test('several who look after the same views lose nothing and do nothing twice', async () => {
  const writing = async (): Promise<void> => {
    for (let id = 2000; id < 2050; id += 1) {
      await db.sql(`insert into orders values (${String(id)}, 'r2', 1)`)
    }
    await salesComeTo(5105)
  }
  await keptUp('one', () => keptUp('another', () => keptUp('a third', writing)))
  expect(await totalOf('public.sales')).toBe(5105)
})

test(
  'a hundred refreshes leave the catalogue as small as it was',
  { timeout: 180_000 },
  async () => {
    interface Look {
      readonly pages: number
      readonly runs: number
      readonly refreshes: number
      readonly seconds: number
    }
    const look = async (): Promise<Look> => {
      const [row] = await db.sql<Look>(
        `select (select sum(pg_relation_size(oid) / 8192)::int from pg_class
               where oid in ('tidemark.run'::regclass, 'tidemark.view_state'::regclass, 'tidemark.tidemark'::regclass)) as pages,
              count(*)::int as runs, sum(refreshes)::int as refreshes, extract(epoch from now())::float8 as seconds
         from tidemark.run where view = 'public.sales'`,
      )
      return must(row, 'a sum is a row')
    }
    // Each is waited for: whoever is kept from the processor with a transaction open holds versions of rows as well.
    const hundred = (): Promise<void> =>
      keptUp('hundred', async () => {
        const total = await totalOf('public.sales')
        for (let n = 1; n <= 100; n += 1) {
          await db.sql('update orders set total = total + 1 where id = 1')
          await salesComeTo(total + n)
        }
      })
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
      const tens = Math.ceil((after.seconds - before.seconds) / 10)
      expect(after.runs - before.runs).toBeLessThanOrEqual(1 + tens)
      grown = after.pages - before.pages
    }
    expect(grown).toBeLessThanOrEqual(2)
  },
)

test('a TRUNCATE is reflected', async () => {
  await db.sql('truncate orders')
  const rows = (): Promise<unknown> => db.sql('select from public.sales')
  await keptUp('test', () => expect.poll(rows).toEqual([]))
})

test('a row that made the query fail and was mended does not make refreshes fail for ever', async () => {
  const run = (): Promise<unknown> => db.sql(`call tidemark.run('public.calm', 'event', 'test')`)
  await db.sql(`insert into orders values (-1, 'r1', 0)`)
  await expect(run()).rejects.toThrow('division by zero')
  await expect(run()).rejects.toThrow('division by zero')
  await db.sql('update orders set total = 10 where id = -1')
  // By what changed, and afresh.
  await run().catch(() => undefined)
  await run()
  expect(await db.sql('select share::int from calm where id = -1')).toEqual([{ share: 100 }])
  await db.sql('delete from orders where id = -1')
  await run()
  expect(
    await db.sql(
      `select r.method, g.failures from tidemark.run r join tidemark.refresh_group g on g.name = r.group_name
       where r.view = 'public.calm' order by r.run_id desc limit 1`,
    ),
  ).toEqual([{ method: 'incremental', failures: 0 }])
})

test('what the logs cannot tell is left to a request', async () => {
  await db.sql(`
    insert into tidemark.gap (source, reason) values ('public.orders', 'a test');
    insert into orders values (1, 'r1', 1)`)
  const requests = (): Promise<unknown> =>
    db.sql('select group_name, triggered_by from tidemark.request')
  await keptUp('test', () =>
    expect.poll(requests).toEqual([{ group_name: 'public.sales', triggered_by: 'eager' }]),
  )
  await db.sql('call tidemark.work()')
  expect(await totalOf('public.sales')).toBe(1)
})

test.each([
  ['set back', '- 3600', 2],
  ['set on', '3600', 3],
])('whoever looks after them comes to an end though the clock is %s', async (_, by, from) => {
  const session = await db.session()
  await session.query(`
    create schema clock;
    create sequence clock.asked;
    create function clock.clock_timestamp() returns timestamptz language sql volatile as $$
      select pg_catalog.clock_timestamp()
             + case when nextval('clock.asked') > ${String(from)} then ${by} else 0 end * interval '1 second' $$;
    set search_path = clock, pg_catalog, public;
    set statement_timeout = '5s'`)
  try {
    const [row] = await session.query(`call tidemark.keep_up('test', 100)`)
    expect(row).toEqual({ refreshes: 0 })
  } finally {
    await session.query('drop schema clock cascade')
  }
})

test('without eager views nobody waits', async () => {
  await db.sql(`select tidemark.pause('public.sales', 'test')`)
  const session = await db.session()
  const [row] = await session.query(`call tidemark.keep_up('test', 60000)`)
  expect(row).toEqual({ refreshes: null })
})
