import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import type { State } from '../../src/model/freshness.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { refreshNow } from '../../src/queue/by-hand.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { configured, planAndApply } from '../define/configured.ts'
import { eventually, expectWhole, until, workUntilWhole } from './await-state.ts'
import type { OwnServer } from './own-server.ts'
import { debianProgram, openFolder, ownDebianServer, standbyOf } from './own-server.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

/** A view, a view on it, and a materialized view as it stands. */
const config = {
  views: {
    by_region: {
      sql: 'select region, count(*) as n, sum(amount) as total from orders group by region',
      target: '2s',
    },
    grand: { sql: 'select sum(total) as total from by_region', target: '2s' },
    total: {
      sql: 'select count(*) as n, sum(amount) as total from orders',
      as: 'matview',
      target: '2s',
    },
  },
} as const

const views = ['by_region', 'grand', 'total'] as const

let primary: OwnServer
let original: Database

beforeAll(async () => {
  primary = await ownDebianServer({ max_wal_senders: 4, wal_level: 'replica' })
  const admin = await openSession(primary.url())
  await admin.query('create database shop')
  await admin.close()
  original = openDatabase(primary.url('shop'))
  await original.query(`
    create table orders (id int primary key, region text, amount numeric(10,2));
    insert into orders select g, 'r' || g % 5, g from generate_series(1, 100) g;`)
  await planAndApply(original, config, { populate: true })
  // A commit that no view reflects goes into every copy, and with it a request that waits.
  await workUntilWhole(original, views)
  await original.query(`insert into orders values (1000, 'r1', 5)`)
  await original.query(
    `select tidemark.enqueue(name, 'manual', 'test') from tidemark.refresh_group`,
  )
})
afterAll(async () => {
  await original.close()
  await primary.remove()
})

/** A database that is closed when the test has ended. */
function opened(url: string): Database {
  const database = openDatabase(url)
  onTestFinished(() => database.close())
  return database
}

const states = async (database: Database): Promise<readonly State[]> =>
  (await readFreshness(database)).map(({ state }) => state)

/** Every view says that it is unknown and why; whoever ticks, works or refreshes changes nothing and is told. */
async function expectRefused(copy: Database, reason: string): Promise<void> {
  const before = await copy.query(
    `select (select json_agg(t) from tidemark.tidemark t)::text as tidemarks,
            (select json_agg(r) from tidemark.run r)::text as runs`,
  )
  for (const freshness of await readFreshness(copy)) {
    expect(freshness).toMatchObject({ state: 'unknown', stalenessMs: null })
    expect(freshness.reason).toMatch(new RegExp(`^${reason}: .*; run tidemark apply$`))
  }
  expect(await tick(copy)).toMatchObject({
    problem: expect.stringContaining(reason) as string,
    asked: 0,
    pending: 0,
  })
  expect(await work(copy, order)).toEqual([])
  await expect(
    refreshNow(copy, { view: 'total', triggerType: 'manual', triggeredBy: 'x' }),
  ).rejects.toThrow('TIDEMARK_DATABASE_COPIED')
  await copy.query('call tidemark.clean()')
  const after = await copy.query(
    `select (select json_agg(t) from tidemark.tidemark t)::text as tidemarks,
            (select json_agg(r) from tidemark.run r)::text as runs`,
  )
  expect(after).toEqual(before)
}

const rowCount = async (database: Database): Promise<unknown> =>
  (await database.query<{ n: number }>('select n from total'))[0]?.n

/** Where object ids are as they were, one statement is enough, and views are refreshed by target. */
async function mendByHand(copy: Database): Promise<void> {
  await copy.query('select tidemark.renew_installation()')
  expect(await states(copy)).toEqual(['unknown', 'unknown', 'unknown'])
  await workUntilWhole(copy, views)
}

async function mendByApply(copy: Database): Promise<void> {
  const plan = await planConfiguration(copy, configured(config))
  expect(plan.steps.map(({ noun, name }) => `${noun} ${name}`)).toContain('schema tidemark')
  await apply(copy, plan)
  expect((await planConfiguration(copy, configured(config))).steps).toEqual([])
  await workUntilWhole(copy, views)
}

/** Capture works, and what was written to the copy stays there. */
async function expectAlive(copy: Database): Promise<void> {
  const before = Number(await rowCount(copy))
  await copy.query(`insert into orders values (2000, 'r2', 7)`)
  expect((await readFreshness(copy, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
  await refreshNow(copy, { view: 'total', triggerType: 'manual', triggeredBy: 'x' })
  expect(await rowCount(copy)).toBe(before + 1)
}

async function dump(): Promise<string> {
  const folder = await openFolder()
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'shop.dump')
  await debianProgram('pg_dump', ['-Fc', '-f', file, primary.url('shop')])
  return file
}

describe('a copy of a database', () => {
  test('restored from a dump into another database of the server is unknown until applied', async () => {
    const file = await dump()
    await debianProgram('createdb', ['--maintenance-db', primary.url(), 'restored'])
    await debianProgram('pg_restore', ['-d', primary.url('restored'), '-e', file])
    const copy = opened(primary.url('restored'))
    await expectRefused(copy, 'database_copied')
    await mendByApply(copy)
    await expectAlive(copy)
  })

  test('restored into another cluster, whose transaction ids are lower, is unknown until applied', async () => {
    const file = await dump()
    const other = await ownDebianServer()
    onTestFinished(() => other.remove())
    await debianProgram('createdb', ['--maintenance-db', other.url(), 'shop'])
    await debianProgram('pg_restore', ['-d', other.url('shop'), '-e', file])
    const copy = opened(other.url('shop'))
    await expectRefused(copy, 'database_copied')
    await mendByApply(copy)
    await expectAlive(copy)
  })

  test('restored over the database itself is unknown until applied, for its triggers are others', async () => {
    await debianProgram('createdb', ['--maintenance-db', primary.url(), 'over'])
    const file = await dump()
    await debianProgram('pg_restore', ['-d', primary.url('over'), '-e', file])
    const database = opened(primary.url('over'))
    await mendByApply(database)
    const folder = await openFolder()
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const own = join(folder, 'over.dump')
    await debianProgram('pg_dump', ['-Fc', '-f', own, primary.url('over')])
    await database.query(`insert into orders values (3000, 'r3', 1)`)
    await workUntilWhole(database, views)
    await debianProgram('pg_restore', ['-d', primary.url('over'), '--clean', '-e', own])
    expect(await states(database)).toEqual(['unknown', 'unknown', 'unknown'])
    const plan = await planConfiguration(database, configured(config))
    await apply(database, plan)
    await workUntilWhole(database, views)
    await expectAlive(database)
  })

  test('made with CREATE DATABASE … TEMPLATE is unknown until mended by hand', async () => {
    await original.close()
    await debianProgram('createdb', ['--maintenance-db', primary.url(), '-T', 'shop', 'clone'])
    original = openDatabase(primary.url('shop'))
    const copy = opened(primary.url('clone'))
    await expectRefused(copy, 'database_copied')
    await mendByHand(copy)
    await expectAlive(copy)
    expect(await original.query('select from orders where id = 2000')).toEqual([])
  })

  test('whose transaction ids are below those already seen is unknown until mended by hand', async () => {
    await original.close()
    await debianProgram('createdb', ['--maintenance-db', primary.url(), '-T', 'shop', 'early'])
    original = openDatabase(primary.url('shop'))
    const copy = opened(primary.url('early'))
    await mendByHand(copy)
    await copy.query(`update tidemark.installation set highest_xid = '9000000000'`)
    await expectRefused(copy, 'database_set_back')
    await mendByHand(copy)
    await expectAlive(copy)
  })
})

describe('a standby', () => {
  test('tells the staleness since the last look that arrived, is unknown when cut off, and mended once promoted', async () => {
    const standby = await standbyOf(primary)
    onTestFinished(() => standby.remove())
    const copy = opened(standby.url('shop'))
    await workUntilWhole(original, views)

    // An engine looks at the clock on the primary; the looks arrive here.
    await eventually('fresh on the standby', async () => {
      await tick(original)
      return (await states(copy)).every((state) => state === 'fresh')
    })
    for (const { stalenessMs, confirmedFreshAt } of await readFreshness(copy)) {
      expect(stalenessMs).toBeGreaterThan(0)
      expect(confirmedFreshAt?.getTime()).toBeLessThan(Date.now())
    }
    await expect(tick(copy)).rejects.toThrow('TIDEMARK_STANDBY')
    await expect(
      refreshNow(copy, { view: 'total', triggerType: 'manual', triggeredBy: 'x' }),
    ).rejects.toThrow('TIDEMARK_STANDBY')

    // Cut off: what the primary commits now cannot be known here.
    await copy.query('select pg_wal_replay_pause()')
    await original.query(`insert into orders values (4000, 'r4', 1)`)
    await workUntilWhole(original, views)
    await eventually('unknown on the standby', async () => {
      const freshness = await readFreshness(copy)
      return freshness.every(({ reason }) => reason?.startsWith('standby_behind: ') ?? false)
    })
    expect((await readFreshness(copy)).map(({ stalenessMs }) => stalenessMs)).toEqual([
      null,
      null,
      null,
    ])

    await copy.query('select pg_wal_replay_resume()')
    // Waiting within the call would hold a snapshot against what is still to be replayed.
    await copy.query('select pg_promote(false)')
    await until(copy, 'not pg_is_in_recovery()')
    await expectRefused(copy, 'database_promoted')
    await mendByApply(copy)
    await expectAlive(copy)
    await expectWhole(original, views)
  })
})

test('a transaction whose snapshot is older than an emptied log says that it cannot tell', async () => {
  await workUntilWhole(original, views)
  await original.query(`insert into orders values (5000, 'r0', 1)`)
  const reader = await openSession(primary.url('shop'))
  onTestFinished(() => reader.close())
  await reader.query('begin isolation level repeatable read')
  await reader.query('select count(*) from by_region')
  await workUntilWhole(original, views)
  await original.query(`begin; set local tidemark.emptying = 'on';
    truncate tidemark."log 0 public.orders", tidemark."log 1 public.orders"; commit`)
  const seen = await reader.query('select state, reason from tidemark.freshness')
  expect(seen).toEqual(
    views.map(() => ({
      state: 'unknown',
      reason:
        'snapshot_too_old: a change log was emptied since this transaction began; ask in a new one',
    })),
  )
  await reader.query('commit')
  expect(await states(original)).toEqual(['fresh', 'fresh', 'fresh'])
})
