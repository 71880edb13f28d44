import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFreshness } from '../../src/observe/freshness.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { copiesOf } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { applyExample, exampleDatabase } from './example.ts'

let db: TestDatabase
const view = 'public.universal_transactions_mv'
const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

const create = copiesOf(async () => {
  const made = await exampleDatabase('universal-transactions')
  await made.sql(
    `insert into cpg_pos (cliente, monto_total) select 'cliente ' || n, n from generate_series(1, 500) n`,
  )
  await made.sql('refresh materialized view universal_transactions_mv')
  await applyExample(made, 'universal-transactions')
  return made
})

beforeEach(async () => {
  db = await create()
})
afterEach(() => db.drop())

test('C1: the hourly slot fires also when nothing happened, is logged as skipped, and confirms freshness', async () => {
  await db.sql(`insert into tidemark.slot (schedule_id, slot_at)
    select schedule_id, now() from tidemark.schedule where name = 'hourly_job'`)
  expect((await tick(db.database)).fired).toBe(1)
  await work(db.database, order)
  const runs = await db.sql(
    `select status, trigger_type, triggered_by from tidemark.refresh_log order by id desc limit 1`,
  )
  expect(runs).toEqual([{ status: 'skipped', trigger_type: 'cron', triggered_by: 'hourly_job' }])
  expect((await readFreshness(db.database))[0]?.state).toBe('fresh')
})

test('C1: slots of the frequent job lie within Monday to Friday, 9 to 19, in Mexico City', async () => {
  const [outside] = await db.sql<{ n: number; all: number }>(
    `select count(*)::int as all, (count(*) filter (where extract(isodow from slot_at at time zone 'America/Mexico_City') > 5
        or extract(hour from slot_at at time zone 'America/Mexico_City') not between 9 and 18))::int as n
       from tidemark.slot s join tidemark.schedule c using (schedule_id) where c.name = 'frequent_job'`,
  )
  expect(outside?.n).toBe(0)
  expect(outside?.all).toBeGreaterThan(500)
})

test('C2: a consignment of 10,000 or more asks with priority critical; smaller ones do not; a batch is one request', async () => {
  await db.sql(`insert into cpg_consignment (cliente, monto_total) values ('chico', 9999.99)`)
  expect((await tick(db.database)).events).toBe(0)
  await db.sql(`insert into cpg_consignment (cliente, monto_total) values ('grande', 50000)`)
  await db.sql(`insert into cpg_pos (cliente, monto_total) values ('otro', 10000)`)
  expect((await tick(db.database)).events).toBe(2)
  const requests = await db.sql(
    `select lane, trigger_type, requests, due > now() + interval '4 minutes' as batched from tidemark.request`,
  )
  expect(requests).toEqual([{ lane: 0, trigger_type: 'event', requests: 2, batched: true }])
  await db.sql('update tidemark.request set due = now()')
  const processed = await db.sql(`select view_name, status from tidemark.process_pending()`)
  expect(processed).toEqual([{ view_name: view, status: 'completed' }])
  const [seen] = await db.sql<{ n: number }>(
    `select count(*)::int as n from universal_transactions_mv where monto_total >= 10000`,
  )
  expect(seen?.n).toBe(2)
})

test('C3, C4, C5: refresh by hand from SQL returns id, duration, rows and status, and is in the log with who asked', async () => {
  const [answer] = await db.sql(
    `select refresh_id, duration_ms, rows_affected, status from tidemark.refresh('universal_transactions_mv', 'test', 'ceo@company.com')`,
  )
  expect(answer).toMatchObject({ rows_affected: 500, status: 'completed' })
  const [logged] = await db.sql(
    `select view_name, status, trigger_type, triggered_by, rows_affected from tidemark.refresh_log order by id desc limit 1`,
  )
  expect(logged).toEqual({
    view_name: view,
    status: 'completed',
    trigger_type: 'test',
    triggered_by: 'ceo@company.com',
    rows_affected: 500,
  })
})

test('C6, C7: health says staleness and not age; metrics count by the hour', async () => {
  const [health] = await db.sql(
    `select view_name, freshness, rows_count, needs_refresh, staleness_ms from tidemark.health_check()`,
  )
  expect(health).toEqual({
    view_name: view,
    freshness: 'fresh',
    rows_count: 500,
    needs_refresh: false,
    staleness_ms: 0,
  })
  const [metrics] = await db.sql<{ successful: number; failed: number }>(
    'select successful, failed from tidemark.refresh_metrics limit 1',
  )
  expect(metrics).toEqual({ successful: 1, failed: 0 })
})

test('C8: only admin and cfo may refresh by hand, ten times an hour', async () => {
  await db.sql(`do $$ begin
    if not exists (select from pg_roles where rolname = 'cfo') then create role cfo login; end if;
    if not exists (select from pg_roles where rolname = 'cajero') then create role cajero login; end if;
  end $$`)
  await db.sql(`grant usage on schema tidemark to cfo, cajero`)
  await db.sql(`grant execute on function tidemark.refresh to cfo, cajero`)
  const cajero = await db.session('cajero')
  await expect(
    cajero.query(`select tidemark.refresh('universal_transactions_mv')`),
  ).rejects.toThrow(
    'cajero may not refresh public.universal_transactions_mv by hand (TIDEMARK_REFRESH_FORBIDDEN). It is allowed to: admin, cfo',
  )
  const cfo = await db.session('cfo')
  for (let n = 0; n < 10; n += 1)
    await cfo.query(`select tidemark.refresh('universal_transactions_mv')`)
  await expect(cfo.query(`select tidemark.refresh('universal_transactions_mv')`)).rejects.toThrow(
    'TIDEMARK_REFRESH_LIMITED',
  )
  await Promise.all([cajero.close(), cfo.close()])
  await db.sql('drop owned by cfo, cajero')
})

test('C9: when the view is not fresh the health check names the live view of the same query', async () => {
  await db.sql(`update tidemark.view set target_ms = 1, very_stale_ms = 2`)
  await db.sql(`insert into cpg_online (cliente, monto_total) values ('nuevo', 1)`)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const [health] = await db.sql<{ freshness: string; recommendation: string }>(
    'select freshness, recommendation from tidemark.health_check()',
  )
  expect(health?.freshness).toBe('very_stale')
  const live = /read (\S+(?: \S+)*)\.$/.exec(health?.recommendation ?? '')?.[1] ?? ''
  const [fallback] = await db.sql<{ n: number }>(`select count(*)::int as n from ${live}`)
  expect(fallback?.n).toBe(501)
})
