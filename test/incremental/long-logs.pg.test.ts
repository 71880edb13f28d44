import { afterAll, beforeAll, expect, test } from 'vitest'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

// A load lies in the change log until the bucket of its transaction is emptied. What comes after it is found by the index.

const loaded = 300_000

let db: TestDatabase

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql('create table lines (id int primary key, region text, amount numeric(10,2))')
  await planAndApply(
    db.database,
    {
      views: {
        'public.totals': {
          sql: 'select region, count(*) as n, sum(amount) as total from lines group by region',
          maintain: 'incremental',
        },
        'public.highest': {
          sql: 'select id, amount from lines order by amount desc, id limit 3',
          maintain: 'incremental',
        },
      },
      caches: { shop: { dependsOn: { lines: ['region'] } } },
    },
    { populate: true },
  )
})
afterAll(() => db.drop())

test('after a load, refreshes and looks of one change read no log from end to end', async () => {
  await db.sql(
    `insert into lines select g, repeat('r', 50) || g % 7, g % 1000 from generate_series(1, ${String(loaded)}) g`,
  )
  const session = await db.session()
  const logs = async (): Promise<unknown> => {
    await session.query('select pg_stat_force_next_flush()')
    return session.query(
      `select relname as log, seq_scan::int as scans from pg_stat_all_tables
       where schemaname = 'tidemark' and relname like 'log %' and pg_relation_size(relid) > 0`,
    )
  }
  const refresh = async (): Promise<void> => {
    for (const view of ['totals', 'highest'])
      await session.query(`call tidemark.run('public.${view}', 'event', 'test')`)
    await session.query('select tidemark.tick()')
    await session.query(`select tidemark."poll shop"(null, null, 10)`)
  }
  await refresh()
  const before = await logs()
  expect(before).toHaveLength(1)
  // As often as PostgreSQL takes to settle for plans that serve all values.
  for (let change = 1; change <= 7; change += 1) {
    await db.sql('update lines set amount = amount + 1 where id = $1', [change])
    await refresh()
  }
  const after = await logs()
  expect(after).toEqual(before)
  expect(
    await db.sql(`select distinct method from tidemark.run where changes between 1 and 2`),
  ).toEqual([{ method: 'incremental' }])
})
