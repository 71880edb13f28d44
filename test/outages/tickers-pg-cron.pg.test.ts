import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '../../src/define/migrate.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { planAndApply } from '../define/configured.ts'
import { differing, installHandMade } from '../support/hand-made.ts'
import { long } from '../support/random.ts'
import { eventually, expectWhole, until, workUntilWhole } from './await-state.ts'
import type { OwnServer } from './own-server.ts'
import { debianProgram, ownDebianServer } from './own-server.ts'

let server: OwnServer
let database: Database
/** Another database of the server, with a cache table and nothing that ticks. */
let cleaned: Database

beforeAll(async () => {
  server = await ownDebianServer({
    shared_preload_libraries: 'pg_cron',
    'cron.database_name': 'shop',
    'cron.host': '127.0.0.1',
  })
  const admin = await openSession(server.url())
  await admin.query('create database shop')
  await admin.query('create database cleaned')
  await admin.close()
  database = openDatabase(server.url('shop'))
  await migrate(database)
  await installHandMade(database.query, 1_000)
  await database.query('create extension pg_cron')
  cleaned = openDatabase(server.url('cleaned'))
  await migrate(cleaned)
  await installCacheTable()
})
afterAll(async () => {
  await database.close()
  await cleaned.close()
  await server.remove()
})

/** Rows that were computed one and six minutes ago, of a cache table that keeps them for five. */
async function installCacheTable(): Promise<void> {
  await cleaned.query(`
    create table sales (user_id int primary key);
    create table progress (user_id int primary key, computed_at timestamptz not null)`)
  const progress = {
    key: ['user_id'],
    updatedAt: 'computed_at',
    ttl: '5m',
    rules: [{ on: 'sales', key: { user_id: 'user_id' } }],
  } as const
  await planAndApply(cleaned, { views: {}, cacheTables: { progress } })
  for (const minutes of [1, 6]) {
    const [fill] = await cleaned.query<{ token: string }>(
      `select tidemark.fill_begin('progress', $1) as token`,
      [String(minutes)],
    )
    await cleaned.query(
      `insert into progress select $1::int, now() - $1::int * interval '1 minute' where tidemark.fill_end($2)`,
      [minutes, fill?.token],
    )
  }
}

/** Run details of pg_cron: what it ran and how that ended. */
const details = (): Promise<{ command: string; status: string; message: string | null }[]> =>
  database.query(
    `select distinct command, status, return_message as message from cron.job_run_details order by 1`,
  )

// pg_cron 1.4 fires once a minute; '@reboot' fires as the server starts, by the same path.
test('pg_cron ticks, works and cleans a cache table without any engine, with the jobs of the manual', async () => {
  const moment = long ? '* * * * *' : '@reboot'
  await database.query(`select cron.schedule('tidemark tick', $1, 'select tidemark.tick()')`, [
    moment,
  ])
  await database.query(`select cron.schedule('tidemark work', $1, 'call tidemark.work()')`, [
    moment,
  ])
  await database.query(
    `select cron.schedule_in_database('clean-progress', $1, $$select tidemark.clean_stale('progress')$$, 'cleaned')`,
    [moment],
  )
  const left = () => cleaned.query('select user_id from progress order by 1')
  expect(await left()).toEqual([{ user_id: 1 }, { user_id: 6 }])
  // Asked for by the tick before; the work of a minute does what the tick of that minute or the last one asked.
  await database.query('select tidemark.tick()')
  if (!long) {
    await server.stop()
    await server.start()
  }
  await eventually(
    'all jobs have run',
    async () => (await details()).filter(({ status }) => status === 'succeeded').length === 3,
    130_000,
  )
  await until(database, `(select count(*) = 2 from tidemark.freshness where state = 'fresh')`)
  expect(await differing(database.query, 'total')).toBe(0)
  expect(await details()).toEqual([
    { command: 'call tidemark.work()', status: 'succeeded', message: '1 row' },
    {
      command: `select tidemark.clean_stale('progress')`,
      status: 'succeeded',
      message: '1 row',
    },
    { command: 'select tidemark.tick()', status: 'succeeded', message: '1 row' },
  ])
  expect(await left()).toEqual([{ user_id: 1 }])
  const runs = await database.query(
    `select distinct status, worker like 'pid %' as by_backend from tidemark.run`,
  )
  expect(runs).toEqual([{ status: 'completed', by_backend: true }])
}, 180_000)

test('a slot that pg_cron, the OS and an engine tick at once fires once', async () => {
  await workUntilWhole(database)
  await database.query(`
    insert into tidemark.schedule (name, view, cron, zone, digest) values ('hourly', 'public.total', '0 * * * *', 'UTC', 'x');
    insert into tidemark.slot (schedule_id, slot_at) select schedule_id, now() from tidemark.schedule;
    insert into tidemark.slot (schedule_id, slot_at) select schedule_id, now() + interval '30 days' from tidemark.schedule`)
  const psql = (command: string): Promise<string> =>
    debianProgram('psql', ['-d', server.url('shop'), '-v', 'ON_ERROR_STOP=1', '-Atc', command])
  await Promise.all([
    psql('select tidemark.tick()'),
    psql('select tidemark.tick()'),
    database.query('select tidemark.tick()'),
    database.query('select tidemark.tick()'),
  ])
  const fired = await database.query(
    `select outcome, count(*)::int as n from tidemark.slot where outcome is not null group by 1`,
  )
  expect(fired).toEqual([{ outcome: 'fired', n: 1 }])
  const asked = await database.query(
    `select group_name, trigger_type, triggered_by, requests from tidemark.request`,
  )
  expect(asked).toEqual([
    { group_name: 'public.total', trigger_type: 'cron', triggered_by: 'hourly', requests: 1 },
  ])
})

test('the cron of the OS ticks, works and cleans with two calls of psql', async () => {
  await database.query(`update tidemark.setting set value = '16384' where name = 'max_log_bytes'`)
  await database.query(`insert into public.orders values (100, 'r1', 1)`)
  await until(
    database,
    `(select count(*) = 2 from tidemark.freshness where state in ('stale', 'very_stale'))`,
  )
  await debianProgram('psql', [
    ...['-d', server.url('shop'), '-v', 'ON_ERROR_STOP=1'],
    ...['-c', 'select tidemark.tick()', '-c', 'call tidemark.work()'],
  ])
  expect((await readFreshness(database)).map(({ state }) => state)).toEqual(['fresh', 'fresh'])
  expect(await database.query(`select tidemark.log_bytes('public.orders') as bytes`)).toEqual([
    { bytes: 0 },
  ])
  await expectWhole(database)
})
