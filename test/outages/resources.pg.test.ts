import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { EngineEvent } from '../../src/engine/engine.ts'
import { runEngine } from '../../src/engine/engine.ts'
import type { Session } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { sqlstateOf } from '../../src/postgres/sqlstate.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { refreshNow } from '../../src/queue/by-hand.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { waitingAt } from '../support/waiting-at.ts'
import { eventually, expectWhole, until, workUntilWhole } from './await-state.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

let db: TestDatabase
let role: string

beforeEach(async () => {
  db = await createInstalledDatabase()
  role = `worker_of_${db.name}`
  await db.sql(`create role ${role} superuser login;
    grant usage on schema tidemark, tidemark_state to ${role};
    grant execute on all routines in schema tidemark to ${role};
    grant select on all tables in schema tidemark to ${role}`)
  onTestFinished(async () => {
    const admin = await openSession(db.url.replace(db.name, 'postgres'))
    await db.drop()
    await admin.query(`drop role ${role}`)
    await admin.close()
  })
  await installHandMade(db.sql, 300)
})

/** The refresh of total fails with this SQLSTATE. */
const failWith = (state: string): Promise<unknown> =>
  db.sql(`create or replace function tidemark_state."maintain public.total"(verify boolean, since pg_snapshot, out rows_total bigint,
      out rows_inserted bigint, out rows_updated bigint, out rows_deleted bigint, out differing bigint, out method text)
    language plpgsql as $f$ begin raise exception using errcode = '${state}', message = 'no room'; end $f$`)

test('a refresh that the statement_timeout of the role ends says which setting to raise, and is set aside after five times', async () => {
  await db.sql(`alter role ${role} set statement_timeout = '100ms'`)
  const worker = await db.session(role)
  const gate = await db.session()
  await gate.query('select pg_advisory_lock(4711)')
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await db.sql(`update tidemark.refresh_group set not_before = null`)
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    await db.sql(`update tidemark.request set due = now()`)
    const [done] = await work(worker, { ...order, groupsMax: 1 })
    expect(done?.outcome).toMatch(
      /^(timed_out|quarantined): canceling statement due to statement timeout$/,
    )
  }
  const [run] = await db.sql(`select status, reason from tidemark.run order by run_id desc limit 1`)
  expect(run).toEqual({
    status: 'timed_out',
    reason: `statement_timeout of role ${role} is 100ms; a refresh takes longer: alter role ${role} set statement_timeout = 0`,
  })
  expect((await readFreshness(db.database, 'total'))[0]?.quarantineReason).toContain(
    'failed 5 times',
  )
  await gate.query('select pg_advisory_unlock(4711)')
  await db.sql(`alter role ${role} reset statement_timeout`)
  await db.sql(`select tidemark.resume('total')`)
  await workUntilWhole(db.database)
})

test.each([
  ['the disk is full', '53100'],
  ['memory is short', '53200'],
])('while %s views wait longer and longer and are not set aside', async (_, state) => {
  await failWith(state)
  for (let attempt = 0; attempt < 7; attempt += 1) {
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    await db.sql(`update tidemark.request set due = now()`)
    expect((await work(db.database, { ...order, groupsMax: 1 }))[0]?.outcome).toBe(
      'failed: no room',
    )
  }
  const [waiting] = await db.sql(
    `select q.due > now() + interval '30 seconds' as later, g.failures, g.quarantined_at
     from tidemark.request q join tidemark.refresh_group g on g.name = q.group_name`,
  )
  expect(waiting).toEqual({ later: true, failures: 0, quarantined_at: null })
})

test('a server without a free connection is told as such, and an engine comes back when there is one', async () => {
  await workUntilWhole(db.database)
  await db.sql(`alter role ${role} nosuperuser connection limit 2`)
  const taken: Session[] = [await db.session(role), await db.session(role)]
  const refused = openDatabase(db.urlAs(role))
  onTestFinished(() => refused.close())
  const error: unknown = await readFreshness(refused).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'TIDEMARK_DATABASE_REFUSED' })
  expect(sqlstateOf(error)).toBe('53300')

  const stopping = new AbortController()
  const events: EngineEvent[] = []
  const engine = { name: 'late', workers: 1, pollMs: 50, idleAfterMs: null }
  const running = runEngine(
    { ...engine, databaseUrl: db.urlAs(role), onEvent: (event) => events.push(event) },
    stopping.signal,
  )
  onTestFinished(() => {
    stopping.abort()
    return running
  })
  await eventually('the engine has met it', () => events.some(({ kind }) => kind === 'lost'))
  await db.sql(`insert into public.orders values (100, 'r1', 1)`)
  await Promise.all(taken.map((session) => session.close()))
  await db.sql(`alter role ${role} connection limit -1`)
  await expectWhole(db.database)
  stopping.abort()
  await running
})

test('a database that takes no writes for a while is told as such, can be read, and goes on by itself', async () => {
  await workUntilWhole(db.database)
  await db.sql(`alter database ${db.name} set default_transaction_read_only = on`)
  const reader = openDatabase(db.url)
  onTestFinished(() => reader.close())
  await expect(tick(reader)).rejects.toMatchObject({ code: 'TIDEMARK_STANDBY' })
  await expect(
    refreshNow(reader, { view: 'total', triggerType: 'manual', triggeredBy: 'x' }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_STANDBY' })
  expect((await readFreshness(reader)).map(({ state }) => state)).toEqual(['fresh', 'fresh'])
  await db.sql(`alter database ${db.name} reset default_transaction_read_only`)
})

test('a refresh whose backend dies again and again waits longer each time, so that the server gets its breath', async () => {
  await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
  const gate = await db.session()
  await gate.query('select pg_advisory_lock(4711)')
  for (let death = 0; death < 5; death += 1) {
    await db.sql(`update tidemark.request set due = now()`)
    const doomed = await db.session()
    const working = work(doomed, { ...order, groupsMax: 1 }).catch(() => undefined)
    await until(db.database, waitingAt(4711))
    await db.sql('select pg_terminate_backend($1, 5000)', [doomed.pid])
    await working
    expect(await tick(db.database)).toMatchObject({ reaped: 1 })
  }
  await gate.query('select pg_advisory_unlock(4711)')
  const [request] = await db.sql(
    `select due > now() + interval '3 seconds' as later from tidemark.request where group_name = 'public.total'`,
  )
  expect(request).toEqual({ later: true })
  // By hand it is refreshed at once.
  const asked = { view: 'total', triggerType: 'manual', triggeredBy: 'cfo' }
  expect((await refreshNow(db.database, asked)).status).toBe('completed')
  await workUntilWhole(db.database)
})
