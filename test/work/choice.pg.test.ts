import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'

const rows = 20_000

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table lines (id int primary key, product int, amount numeric(10,2));
    insert into lines select g, g % 500, g % 90 from generate_series(1, ${String(rows)}) g;
    analyze lines`)
  await applyConfiguration(
    db.database,
    configured({
      views: {
        'public.totals': {
          sql: 'select product, count(*) as n, sum(amount) as total from lines group by product',
          target: '1h',
        },
      },
    }),
  )
})
afterAll(() => db.drop())

interface Learnt {
  readonly fixed_ms: number | null
  readonly learnt_ms: number | null
  readonly learnt_changes: number | null
  readonly full_ms: number | null
  readonly full_rows: number | null
}

const fullFrom = async (sourceRows: number, learnt: Partial<Learnt>): Promise<number> => {
  const [row] = await db.sql<{ full_from: number }>(
    `select tidemark.full_from($1, jsonb_populate_record(null::tidemark.view_state, $2))::int as full_from`,
    [sourceRows, learnt],
  )
  return row?.full_from ?? -1
}

/** What is known of the view is set aside, changes are made, and it is refreshed. */
async function refreshAfter(change: string, learnt: Partial<Learnt> = {}): Promise<unknown> {
  await db.sql(
    `update tidemark.view_state set fixed_ms = $1, learnt_ms = $2, learnt_changes = $3, full_ms = $4, full_rows = $5`,
    [
      learnt.fixed_ms ?? null,
      learnt.learnt_ms ?? null,
      learnt.learnt_changes ?? null,
      learnt.full_ms ?? null,
      learnt.full_rows ?? null,
    ],
  )
  await db.sql(change)
  await db.sql(`call tidemark.run('public.totals', 'event', 'test')`)
  const [run] = await db.sql(
    `select method, changes::int from tidemark.run where view = 'public.totals' order by run_id desc limit 1`,
  )
  return run
}

test('before anything is known, an eighth of the rows is too much', async () => {
  expect(await fullFrom(80_000, {})).toBe(10_000)
  expect(await fullFrom(500, {})).toBe(1_001)
  expect(await fullFrom(1e9, {})).toBe(300_001)
})

test('afterwards what both took decides, for as many rows as there are now', async () => {
  const learnt = {
    fixed_ms: 10,
    learnt_ms: 200,
    learnt_changes: 10_000,
    full_ms: 110,
    full_rows: 1e5,
  }
  expect(await fullFrom(1e5, learnt)).toBe(5_000)
  expect(await fullFrom(2e5, learnt)).toBe(10_500)
  expect(await fullFrom(1e5, { ...learnt, learnt_ms: 0 })).toBe(12_500)
  expect(await fullFrom(1e5, { ...learnt, full_ms: 1e9 })).toBe(300_001)
})

test('few changes are kept up, a bulk load of half the table is refreshed in full by diff', async () => {
  expect(await refreshAfter('update lines set amount = amount + 1 where id <= 500')).toEqual({
    method: 'incremental',
    changes: 1_000,
  })
  expect(
    await refreshAfter(
      `insert into lines select g, g % 500, 1 from generate_series(20001, 30000) g`,
    ),
  ).toEqual({ method: 'diff', changes: 10_000 })
  const [state] = await db.sql(
    `select full_ms > 0 as told, full_rows::int as rows from tidemark.view_state where view = 'public.totals'`,
  )
  expect(state).toEqual({ told: true, rows })
})

test('what is learnt of a view outweighs what holds for views as such', async () => {
  const cheap = {
    fixed_ms: 1,
    learnt_ms: 1,
    learnt_changes: 10_000,
    full_ms: 1_000,
    full_rows: rows,
  }
  expect(await refreshAfter('update lines set amount = amount + 1', cheap)).toMatchObject({
    method: 'incremental',
  })
  const dear = {
    fixed_ms: 1,
    learnt_ms: 10_000,
    learnt_changes: 1_000,
    full_ms: 10,
    full_rows: rows,
  }
  expect(await refreshAfter('update lines set amount = amount + 1 where id <= 600', dear)).toEqual({
    method: 'diff',
    changes: 1_200,
  })
})

test('a refresh that keeps up many changes is learnt from, the latest weighing most', async () => {
  await refreshAfter('update lines set amount = amount + 1 where id <= 100', {
    learnt_ms: 8_000_000,
    learnt_changes: 100,
  })
  const [state] = await db.sql(
    `select learnt_ms between 4000000 and 4100000 as half, learnt_changes from tidemark.view_state where view = 'public.totals'`,
  )
  expect(state).toEqual({ half: true, learnt_changes: 250 })
})

test('why tells the choice and its numbers', async () => {
  await refreshAfter('update lines set amount = amount + 1 where id <= 100')
  const [row] = await db.sql<{ why: { choice: unknown; last: unknown } }>(
    `select tidemark.why('totals') as why`,
  )
  expect(row?.why.choice).toMatchObject({ full_from: 2_500, source_rows: rows })
  expect(row?.why.last).toMatchObject({ method: 'incremental', changes: 200 })
})
