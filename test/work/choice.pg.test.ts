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
  readonly learnt_effort: number | null
  readonly full_ms: number | null
  readonly full_rows: number | null
}

const fullFrom = async (sourceRows: number, learnt: Partial<Learnt>): Promise<number> => {
  const [row] = await db.sql<{ full_from: number }>(
    `select tidemark.full_from($1, jsonb_populate_record(null::tidemark.view_state, $2))::float8 as full_from`,
    [sourceRows, learnt],
  )
  return row?.full_from ?? -1
}

/** So many changes of a view that reads so many rows, and what they took. */
const learntOf = (ms: number, changes: number, sourceRows: number): Partial<Learnt> => ({
  learnt_ms: ms,
  learnt_changes: changes,
  learnt_effort: Math.log(1 + (15 * changes) / sourceRows),
})

const columns = [
  'fixed_ms',
  'learnt_ms',
  'learnt_changes',
  'learnt_effort',
  'full_ms',
  'full_rows',
] as const

/** What is known of the view is set aside, changes are made, and it is refreshed. */
async function refreshAfter(change: string, learnt: Partial<Learnt> = {}): Promise<unknown> {
  await db.sql(
    `update tidemark.view_state set ${columns.map((name, at) => `${name} = $${String(at + 1)}`).join(', ')}`,
    columns.map((name) => learnt[name] ?? null),
  )
  await db.sql(change)
  await db.sql(`call tidemark.run('public.totals', 'event', 'test')`)
  const [run] = await db.sql(
    `select method, changes::int from tidemark.run where view = 'public.totals' order by run_id desc limit 1`,
  )
  return run
}

/** Rows in which the view differs from its query. */
const differing = async (): Promise<unknown> =>
  db.sql(`with afresh as (select product, count(*) as n, sum(amount) as total from lines group by product)
    (table totals except all table afresh) union all (table afresh except all table totals)`)

test('before anything is known, a quarter of the rows is too much', async () => {
  expect(await fullFrom(80_000, {})).toBe(20_000)
  expect(await fullFrom(500, {})).toBe(1_001)
})

test('afterwards what both took decides, for as many rows as there are now', async () => {
  const learnt = { fixed_ms: 10, ...learntOf(200, 10_000, 1e5), full_ms: 210, full_rows: 1e5 }
  expect(await fullFrom(1e5, learnt)).toBe(10_000)
  expect(await fullFrom(1e5, { ...learnt, full_ms: 10 })).toBe(1_001)
  // Twice the rows take twice as long in full, and as many changes among them half the effort.
  expect(await fullFrom(2e5, learnt)).toBe(70_283)
  expect(await fullFrom(1e5, { ...learnt, full_ms: 1e9 })).toBeGreaterThan(1e9)
  expect(await fullFrom(1e5, { ...learnt, learnt_ms: 0 })).toBe(25_000)
})

test('whatever was learnt, the answer is a number of changes and no error', async () => {
  const [answers] = await db.sql<{ least: number; most: number; asked: number }>(
    `select count(*)::int as asked, min(f)::float8 as least, max(f)::float8 as most
     from unnest('{0,1e-3,5,1e9}'::float8[]) full_ms, unnest('{0,1e-3,20,1e9}'::float8[]) fixed_ms,
       unnest('{0,1e-300,1e-3,10,1e12}'::float8[]) learnt_ms, unnest('{0,1e-15,1e-3,1,1e9}'::float8[]) learnt_effort,
       unnest('{0,1,1e6,1e15}'::float8[]) full_rows, unnest('{0,1,1e6,1e15}'::float8[]) source_rows,
       lateral (select tidemark.full_from(source_rows, jsonb_populate_record(null::tidemark.view_state, jsonb_build_object(
         'full_ms', full_ms, 'fixed_ms', fixed_ms, 'learnt_ms', learnt_ms, 'learnt_effort', learnt_effort, 'full_rows', full_rows))) as f) l`,
  )
  expect(answers).toEqual({ asked: 6_400, least: 1_001, most: 1e15 })
})

test('what is learnt again and again neither vanishes nor fails a refresh', async () => {
  const known = {
    fixed_ms: 1e6,
    learnt_effort: 1,
    learnt_changes: 100,
    full_ms: 1e-3,
    full_rows: rows,
  }
  const changed = 'update lines set amount = amount + 1 where id between 1 and 400'
  expect(await refreshAfter(changed, { ...known, learnt_ms: 5e-324 })).toEqual({
    method: 'incremental',
    changes: 800,
  })
  expect(await db.sql('select learnt_ms, full_ms from tidemark.view_state')).toEqual([
    { learnt_ms: 0, full_ms: 1e-3 },
  ])
})

test('ten times as many changes are no ten times the effort', async () => {
  const effort = async (changes: number): Promise<number> => {
    const [row] = await db.sql<{ effort: number }>(
      'select tidemark.effort($1, 1000000) as effort',
      [changes],
    )
    return row?.effort ?? 0
  }
  expect((await effort(1_000)) / (await effort(100))).toBeCloseTo(10, 0)
  expect((await effort(160_000)) / (await effort(16_000))).toBeCloseTo(5.7, 1)
  expect((await effort(480_000)) / (await effort(160_000))).toBeCloseTo(1.9, 1)
})

test('statistics are gathered where there are none, and where rows have become more or fewer by a fifth', async () => {
  const after = async (statement: string): Promise<{ known: number | null; rows: number }> => {
    const [before] = await db.sql<{ rows: number | null }>(
      `select tidemark.known_rows('counted')::int as rows`,
    )
    await db.sql(statement)
    await db.sql(
      `select tidemark.gather_statistics('counted', $1, (select count(*) from counted))`,
      [before?.rows ?? null],
    )
    const [now] = await db.sql<{ rows: number }>(
      `select reltuples::int as rows from pg_class where oid = 'counted'::regclass`,
    )
    return { known: before?.rows ?? null, rows: now?.rows ?? -1 }
  }
  await db.sql('create table counted (n int)')
  const fill = (most: number): string =>
    `insert into counted select generate_series(1, ${String(most)})`
  expect(await after(fill(100))).toEqual({ known: null, rows: 100 })
  expect(await after(fill(20))).toEqual({ known: 100, rows: 100 })
  expect(await after(fill(20))).toEqual({ known: 100, rows: 140 })
  // Emptied, it is counted: the planner has forgotten how many rows there were.
  expect(await after(`truncate counted; ${fill(150)}`)).toEqual({ known: 140, rows: -1 })
  expect(await after(`truncate counted; ${fill(90)}`)).toEqual({ known: 150, rows: 90 })
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
  const cheap = { fixed_ms: 1, ...learntOf(1, 10_000, rows), full_ms: 1_000, full_rows: rows }
  expect(await refreshAfter('update lines set amount = amount + 1', cheap)).toMatchObject({
    method: 'incremental',
  })
  expect(await differing()).toEqual([])
  const dear = { fixed_ms: 1, ...learntOf(10_000, 1_000, rows), full_ms: 10, full_rows: rows }
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
  expect(row?.why.choice).toMatchObject({ full_from: 5_000, source_rows: rows })
  expect(row?.why.last).toMatchObject({ method: 'incremental', changes: 200 })
})

test('what changed and does not fit in memory is computed afresh by the next refresh, and only by that', async () => {
  const [asked] = await db.sql<{ sql: string }>(
    `select pg_get_functiondef('tidemark.prefers_full'::regproc) as sql`,
  )
  const run = (): Promise<unknown> => db.sql(`call tidemark.run('public.totals', 'event', 'test')`)
  await db.sql(`
    create or replace function tidemark.prefers_full(view_name text, changes bigint, bytes double precision default 0) returns boolean
    language plpgsql as $$ begin raise 'too large' using errcode = 'program_limit_exceeded'; end $$;
    update lines set amount = amount + 1 where id <= 600`)
  await expect(run()).rejects.toThrow('too large')
  await run()
  await db.sql(asked?.sql ?? '')
  expect(await differing()).toEqual([])
  await db.sql('update lines set amount = amount + 1 where id = 1')
  await run()
  expect(
    await db.sql(
      `select status, method, (select failures from tidemark.refresh_group) as failures
       from tidemark.run where view = 'public.totals' order by run_id desc limit 3`,
    ),
  ).toEqual([
    { status: 'completed', method: 'incremental', failures: 0 },
    { status: 'completed', method: 'diff', failures: 0 },
    { status: 'failed', method: 'diff', failures: 0 },
  ])
})

test('a TRUNCATE among many changes is seen before they are read', async () => {
  const cheap = { ...learntOf(1, 10_000, rows), full_ms: 1_000, full_rows: rows }
  expect(
    await refreshAfter(
      `update lines set amount = amount + 1;
       truncate lines;
       insert into lines select g, g % 500, g % 90 from generate_series(1, ${String(rows)}) g`,
      cheap,
    ),
  ).toMatchObject({ method: 'diff' })
  expect(await differing()).toEqual([])
})
