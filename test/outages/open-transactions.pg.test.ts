import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { waitingAt } from '../support/waiting-at.ts'
import { planAndApply } from '../define/configured.ts'
import { until, workUntilWhole } from './await-state.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql, 300)
})
afterEach(() => db.drop())

describe('a refresh asked for in a transaction that is left open', () => {
  test.each([
    ['which refreshed at once', 'read committed'],
    ['which is queued', 'repeatable read'],
  ])('%s keeps no other view from being refreshed', async (_, isolation) => {
    await workUntilWhole(db.database)
    await db.sql(`
      insert into tidemark.schedule (name, view, cron, zone, digest) values
        ('of total', 'public.total', '0 * * * *', 'UTC', 'x'), ('of regions', 'public.by_region', '0 * * * *', 'UTC', 'x');
      insert into tidemark.slot (schedule_id, slot_at)
        select schedule_id, now() + at from tidemark.schedule, unnest(array[interval '0', interval '30 days']) at;
      insert into tidemark.event_rule (name, view, source, condition, changes)
        values ('big', 'public.total', 'public.orders', 'true', '{amount}')`)
    const forgetful = await db.session()
    await forgetful.query(`begin isolation level ${isolation}`)
    await forgetful.query(`insert into public.orders values (100, 'r1', 1)`)
    await forgetful.query(`select tidemark.refresh('total')`)

    await db.sql(`insert into public.orders values (101, 'r1', 1)`)
    await db.sql(`insert into tidemark.event (rule) values ('big')`)
    await until(
      db.database,
      `(select bool_and(staleness_ms > target_ms) from tidemark.freshness_of())`,
    )
    expect(await tick(db.database)).toMatchObject({ fired: 1 })
    expect((await work(db.database, order)).map(({ group }) => group)).toEqual(['public.by_region'])
    expect((await readFreshness(db.database, 'by_region'))[0]?.stalenessMs).toBe(0)
    const open = (): Promise<unknown> =>
      db.sql(`select c.name from tidemark.slot x join tidemark.schedule c using (schedule_id)
              where x.outcome is null and x.slot_at <= now()`)
    expect(await open()).toEqual([{ name: 'of total' }])

    await forgetful.query('commit')
    expect(await tick(db.database)).toMatchObject({ fired: 1, events: 1 })
    expect(await open()).toEqual([])
    await workUntilWhole(db.database)
    expect(await db.sql('select n from public.total')).toEqual([{ n: 12 }])
  })

  test('does not hold a worker for ever whose refresh of the same view has failed', async () => {
    await workUntilWhole(db.database)
    await db.sql(`update tidemark.setting set value = '500' where name = 'lock_wait_ms'`)
    const gate = await db.session()
    await gate.query('select pg_advisory_lock(4711)')
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test', force => true)`)
    const failing = expect(work(db.database, order)).rejects.toThrow('TIDEMARK_LOCK_TIMEOUT')
    await until(db.database, waitingAt(4711))
    const forgetful = await db.session()
    await forgetful.query('begin')
    await forgetful.query(`select tidemark.enqueue('public.total', 'manual', 'forgetful')`)
    // Whether its request waits again depends on the one that is not committed: left to the next tick.
    await failing
    await gate.query('select pg_advisory_unlock(4711)')
    await forgetful.query('commit')
    await workUntilWhole(db.database)
    expect(await db.sql(`select status from tidemark.run order by run_id desc limit 2`)).toEqual([
      { status: 'completed' },
      { status: 'lost' },
    ])
  }, 60_000)
})

test('a partition on which somebody is at work for long keeps no tick from deciding', async () => {
  const own = await createTestDatabase()
  try {
    await own.sql(`
      create table events (id int not null, amount numeric) partition by range (id);
      create table events_1 partition of events for values from (0) to (1000);
      create table other (id int primary key);`)
    await planAndApply(
      own.database,
      {
        views: {
          total: { sql: 'select sum(amount) as total from events', target: '300ms' },
          others: { sql: 'select count(*) as n from other', target: '300ms' },
        },
      },
      { populate: true },
    )
    await own.sql('create table events_2 partition of events for values from (1000) to (2000)')
    const loader = await own.session()
    await loader.query('begin')
    await loader.query('insert into events values (1001, 5)')
    await own.sql('insert into other values (1)')
    expect(await tick(own.database)).toMatchObject({ problem: null })
    expect((await readFreshness(own.database, 'total'))[0]?.state).toBe('unknown')
    await until(own.database, `(select (tidemark.tick() ->> 'pending')::int > 0)`)
    await work(own.database, order)
    expect((await readFreshness(own.database, 'others'))[0]?.stalenessMs).toBe(0)
    await loader.query('commit')
    await workUntilWhole(own.database, [])
    expect(await own.sql('select total from total')).toEqual([{ total: '5' }])
  } finally {
    await own.drop()
  }
})

test('a partition of another owner makes its view unknown, and keeps no tick from deciding', async () => {
  const own = await createTestDatabase()
  const installer = `installer_${own.name}`
  await own.sql(`
    create role ${installer} login;
    grant create on database ${own.name} to ${installer};
    grant create on schema public to ${installer}`)
  const database = openDatabase(own.urlAs(installer))
  try {
    await database.query(`
      create table events (id int not null, amount numeric) partition by range (id);
      create table events_1 partition of events for values from (0) to (1000);
      create table other (id int primary key)`)
    const views = {
      total: { sql: 'select sum(amount) as total from events' },
      others: { sql: 'select count(*) as n from other' },
    }
    await planAndApply(database, { views }, { populate: true })
    await own.sql('create table events_2 partition of events for values from (1000) to (2000)')
    expect(await tick(database)).toMatchObject({ problem: null })
    const seen = await readFreshness(database)
    expect(seen.map(({ view, state }) => [view, state])).toEqual([
      ['public.total', 'unknown'],
      ['public.others', 'fresh'],
    ])
    expect(seen[0]?.reason).toMatch(/^broken: .*run tidemark apply/)
  } finally {
    await database.close()
    await own.drop()
    const admin = await openSession(own.url.replace(own.name, 'postgres'))
    await admin.query(`drop role ${installer}`)
    await admin.close()
  }
})
