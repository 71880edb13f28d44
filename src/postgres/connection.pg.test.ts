import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createTestDatabase } from '../../test/support/database.ts'
import { Bell } from '../base/bell.ts'
import { TidemarkError } from '../model/errors.ts'
import { listen, openDatabase, openSession, serverVersion } from './connection.ts'
import { freePort } from './cluster.ts'
import { sqlstateOf } from './sqlstate.ts'

let here: TestDatabase

beforeEach(async () => {
  here = await createTestDatabase()
})

afterEach(() => here.drop())

const calm = new AbortController().signal

/** What a step that must fail failed with. */
async function failure(step: Promise<unknown>): Promise<unknown> {
  return step.then(
    () => {
      throw new Error('It did not fail.')
    },
    (error: unknown) => error,
  )
}

async function terminateOthers(): Promise<void> {
  const session = await here.session()
  await session.query(
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
  )
  await session.close()
}

test('numbers that are exact come as numbers, everything inexact or zoneless as text', async () => {
  const [row] = await here.sql(
    `select 9007199254740991::int8 as safe, 9007199254740992::int8 as large, 1.10::numeric as exact,
            date '2026-03-29' as day, timestamp '2026-03-29 02:30:00' as local, interval '1 day' as span,
            timestamptz '2026-03-29 00:30:00Z' as instant, '7'::xid8 as xid, '{"a": 1}'::jsonb as json`,
  )
  expect(row).toEqual({
    safe: 9007199254740991,
    large: '9007199254740992',
    exact: '1.10',
    day: '2026-03-29',
    local: '2026-03-29 02:30:00',
    span: '1 day',
    instant: new Date('2026-03-29T00:30:00Z'),
    xid: '7',
    json: { a: 1 },
  })
})

test('of several statements the rows of the last come back', async () => {
  expect(await here.sql('select 1 as a; select 2 as b')).toEqual([{ b: 2 }])
  expect(await here.sql('create table t (n int)')).toEqual([])
})

test('nothing is prepared by name and the application says who it is', async () => {
  const session = await here.session()
  await session.query('select $1::int', [1])
  expect(await session.query('select from pg_prepared_statements')).toEqual([])
  expect(await session.query(`select current_setting('application_name') as name`)).toEqual([
    { name: 'tidemark' },
  ])
})

test('a transaction commits what returns and rolls back what throws', async () => {
  await here.sql('create table t (n int)')
  await here.database.transaction((transaction) => transaction.query('insert into t values (1)'))
  const error = new Error('changed my mind')
  const failed = here.database.transaction(async (transaction) => {
    await transaction.query('insert into t values (2)')
    throw error
  })
  expect(await failure(failed)).toBe(error)
  expect(await here.sql('select n from t')).toEqual([{ n: 1 }])
})

test('a transaction in which nothing is asked for as long as it may is ended by the server, and the next may wait', async () => {
  const single = openDatabase(here.url, { connectionsMax: 1 })
  const ask = `select current_setting('idle_in_transaction_session_timeout') as limit,
                      pg_backend_pid() as pid`
  const options = { idleMsMax: 100 }
  const stood = single.transaction(async (transaction) => {
    const [row] = await transaction.query<{ limit: string; pid: number }>(ask)
    expect(row?.limit).toBe('100ms')
    const alive = () => here.sql('select from pg_stat_activity where pid = $1', [row?.pid])
    await expect.poll(alive).toEqual([])
  }, options)
  await expect(stood).rejects.toThrow()
  const [during] = await single.transaction((transaction) => transaction.query(ask), options)
  const [after] = await single.query(ask)
  expect([during, after]).toMatchObject([{ limit: '100ms' }, { limit: '0', pid: during?.['pid'] }])
  await single.close()
})

test('a transaction has the isolation that was asked for', async () => {
  const levels = `select current_setting('transaction_isolation') as level,
                         current_setting('transaction_read_only') as "readOnly"`
  const [row] = await here.database.transaction((transaction) => transaction.query(levels), {
    isolation: 'repeatable read',
    readOnly: true,
  })
  expect(row).toEqual({ level: 'repeatable read', readOnly: 'on' })
})

test('the pool is bounded: who comes late waits', async () => {
  const narrow = openDatabase(here.url, { connectionsMax: 2 })
  const pids = await Promise.all(
    Array.from({ length: 8 }, () =>
      narrow.query<{ pid: number }>('select pg_backend_pid() as pid'),
    ),
  )
  await narrow.close()
  expect(new Set(pids.flat().map(({ pid }) => pid)).size).toBeLessThanOrEqual(2)
})

test('a session is a connection of its own that ends', async () => {
  const pid = await here.database.session(async (session) => {
    await session.query('create temporary table mine (n int)')
    return session.pid
  })
  expect(pid).toBeGreaterThan(0)
  expect(await here.sql(`select to_regclass('pg_temp.mine') as found`)).toEqual([{ found: null }])
})

test('a connection lost while idle is replaced unseen', async () => {
  await here.sql('select 1')
  await terminateOthers()
  await here.sql('select 1').catch(() => undefined)
  expect(await here.sql('select 1 as one')).toEqual([{ one: 1 }])
})

test('a connection lost in a transaction is an error of that transaction and no more', async () => {
  const lost = here.database.transaction(async (transaction) => {
    await transaction.query('select 1')
    await terminateOthers()
    await transaction.query('select 2')
  })
  expect(await failure(lost)).toMatchObject({ code: 'TIDEMARK_DATABASE_UNREACHABLE' })
  expect(await here.sql('select 1 as one')).toEqual([{ one: 1 }])
})

test('notices of the server are heard', async () => {
  const heard: string[] = []
  const session = await openSession(here.url, { onNotice: (message) => heard.push(message) })
  await session.query(`do $$ begin raise notice 'hello %', 1; end $$`)
  await session.close()
  expect(heard).toEqual(['hello 1'])
})

test('faults that the caller can mend have their code, the rest stays what PostgreSQL raised', async () => {
  await here.sql(
    'create table t (n int); create table secret (n int); create role nobody_much login',
  )
  const asNobody = openDatabase(here.urlAs('nobody_much'))
  const locker = await here.session()
  await locker.query('begin; lock table t')
  const cases: [() => Promise<unknown>, string, string][] = [
    [() => asNobody.query('select from secret'), 'TIDEMARK_PRIVILEGE_MISSING', '42501'],
    [() => here.sql(`set lock_timeout = '10ms'; select from t`), 'TIDEMARK_LOCK_TIMEOUT', '55P03'],
    [
      () => here.database.transaction((q) => q.query('create table u ()'), { readOnly: true }),
      'TIDEMARK_STANDBY',
      '25006',
    ],
    [() => here.sql('select from tidemark.freshness'), 'TIDEMARK_NOT_INSTALLED', '42P01'],
    [() => here.sql('select tidemark.tick()'), 'TIDEMARK_NOT_INSTALLED', '3F000'],
    [() => here.sql('select from nowhere'), '42P01', '42P01'],
  ]
  for (const [step, code, sqlstate] of cases) {
    const error = await failure(step())
    expect(error).toMatchObject({ code })
    expect(sqlstateOf(error)).toBe(sqlstate)
  }
  await Promise.all([asNobody.close(), locker.close()])
  await here.sql('drop role nobody_much')
})

test('a server that lets nobody in is told apart from one that is not there', async () => {
  const at = (change: (url: URL) => void): string => {
    const url = new URL(here.url)
    change(url)
    return url.href
  }
  const nowhere = String(await freePort())
  const cases: [string, string][] = [
    [at((url) => (url.pathname = '/no_such_database')), 'TIDEMARK_DATABASE_REFUSED'],
    [at((url) => (url.username = 'no_such_role')), 'TIDEMARK_DATABASE_REFUSED'],
    [at((url) => (url.port = nowhere)), 'TIDEMARK_DATABASE_UNREACHABLE'],
    [at((url) => (url.hostname = 'no-such-host.invalid')), 'TIDEMARK_DATABASE_UNREACHABLE'],
    ['postgres:///x?host=/no/such/folder', 'TIDEMARK_DATABASE_UNREACHABLE'],
  ]
  for (const [url, code] of cases) {
    expect(await failure(openSession(url, { connectTimeoutMs: 5_000 }))).toMatchObject({ code })
  }
})

test('a password is in no message, not even in a cause', async () => {
  const password = 'S3cret#and/more'
  const badUrls = [
    `postgres://u:${password}@127.0.0.1:5432/x`,
    `postgres://u:${encodeURIComponent(password)}@127.0.0.1:${await freePort()}/x`,
    `mysql://u:${encodeURIComponent(password)}@h/x`,
  ]
  for (const url of badUrls) {
    const error = await failure((async () => openSession(url))())
    expect(error).toBeInstanceOf(TidemarkError)
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/S3cret/)
  }
})

test('listening goes on after the connection was lost, and says that it began anew', async () => {
  const bell = new Bell()
  const heard: string[] = []
  const abort = new AbortController()
  const listening = listen({
    url: here.url,
    channel: 'Tide "mark"',
    onNotify: (payload) => {
      heard.push(payload)
      bell.ring()
    },
    signal: abort.signal,
  })
  const hears = async (payload: string): Promise<void> => {
    while (!heard.includes(payload)) await bell.wait(1_000, calm)
    heard.length = 0
  }
  await hears('')
  await here.sql(`select pg_notify('Tide "mark"', 'first')`)
  await hears('first')
  await terminateOthers()
  await hears('')
  await here.sql(`select pg_notify('Tide "mark"', 'second')`).catch(() => undefined)
  await here.sql(`select pg_notify('Tide "mark"', 'third')`)
  await hears('third')
  abort.abort()
  await listening
})

test('listening to a server that is not there ends when the signal fires', async () => {
  const abort = new AbortController()
  const lost: unknown[] = []
  await listen({
    url: `postgres://u@127.0.0.1:${await freePort()}/x`,
    channel: 'c',
    onNotify: () => undefined,
    onLost: (error) => {
      lost.push(error)
      if (lost.length === 2) abort.abort()
    },
    signal: abort.signal,
  })
  expect(lost).toMatchObject([
    { code: 'TIDEMARK_DATABASE_UNREACHABLE' },
    { code: 'TIDEMARK_DATABASE_UNREACHABLE' },
  ])
})

test('closing twice is closing once, and the version is known', async () => {
  const database = openDatabase(here.url)
  expect(await serverVersion(database)).toBeGreaterThanOrEqual(140_000)
  await database.close()
  await database.close()
})
