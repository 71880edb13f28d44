import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../src/postgres/cluster.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { plainUser } from '../../src/postgres/plain-user.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { cancelRefresh, refreshNow } from '../../src/queue/by-hand.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { long, seed, seeded } from '../support/random.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { waitingAt } from '../support/waiting-at.ts'
import { eventually, expectWhole, until, workUntilWhole } from './await-state.ts'
import { openFolder } from './own-server.ts'

const poolSize = 4

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  // Not afterEach: what a test opens through its pooler ends before this.
  onTestFinished(() => db.drop())
  await installHandMade(db.sql, 500)
})

/** Debian's PgBouncer in transaction mode before a database; its end is that of the test. */
async function poolerOf(url: string): Promise<string> {
  const { hostname, port, pathname } = new URL(url)
  const folder = await openFolder()
  const ownPort = await freePort()
  const users = join(folder, 'users')
  const settings = join(folder, 'pgbouncer.ini')
  await writeFile(users, '"postgres" ""\n')
  await writeFile(
    settings,
    `[databases]
${pathname.slice(1)} = host=${hostname} port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${String(ownPort)}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${String(poolSize)}
max_client_conn = 100
`,
  )
  const user = plainUser()
  if (user !== null) for (const file of [users, settings]) await chown(file, user.uid, user.gid)
  const child = spawn('/usr/sbin/pgbouncer', [settings], {
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    cwd: folder,
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const through = new URL(url)
  through.port = String(ownPort)
  return through.href
}

/** A pool through the pooler. */
async function opened(url: string): Promise<Database> {
  const database = openDatabase(url)
  onTestFinished(() => database.close())
  await eventually('the pooler answers', async () => {
    await database.query('select 1')
    return true
  })
  return database
}

test('behind PgBouncer in transaction mode ticks, work, refreshes by hand, cancelling and freshness work', async () => {
  const database = await opened(await poolerOf(db.url))
  expect((await tick(database)).asked).toBe(2)
  const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const
  expect((await work(database, order)).map(({ outcome }) => outcome)).toEqual([
    'completed',
    'completed',
  ])
  await database.query(`insert into public.orders values (100, 'r1', 1)`)
  const asked = { view: 'total', triggerType: 'manual', triggeredBy: 'cfo' }
  expect((await refreshNow(database, asked)).status).toBe('completed')
  expect((await readFreshness(database, 'total'))[0]).toMatchObject({
    state: 'fresh',
    stalenessMs: 0,
  })

  const gate = await db.session()
  await gate.query('select pg_advisory_lock(4711)')
  const cancelled = expect(refreshNow(database, asked)).rejects.toThrow('cancelled')
  await until(db.database, waitingAt(4711))
  expect(await cancelRefresh(database, 'total', 'no longer needed')).toBe(true)
  await cancelled
  await gate.query('select pg_advisory_unlock(4711)')
  await workUntilWhole(database)
})

test('behind PgBouncer the settings of a refresh do not leak to whoever gets its connection next', async () => {
  const database = await opened(await poolerOf(db.url))
  await workUntilWhole(database)
  const seen = await Promise.all(
    Array.from({ length: 4 * poolSize }, () =>
      database.query(`select current_setting('lock_timeout') as lock_timeout,
        current_setting('transaction_isolation') as isolation,
        coalesce(current_setting('tidemark.refreshing', true), '') as refreshing from pg_sleep(0.02)`),
    ),
  )
  for (const rows of seen) {
    expect(rows).toEqual([{ lock_timeout: '0', isolation: 'read committed', refreshing: '' }])
  }
})

test('an engine behind PgBouncer with a pool of 4 keeps views fresh, and killed again and again it loses nothing', async () => {
  const url = await poolerOf(db.url)
  const database = await opened(url)
  const rng = seeded(seed)
  let written = 0
  const writing = new AbortController()
  const writer = (async (): Promise<void> => {
    while (!writing.signal.aborted) {
      written += 1
      await database.query(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [
        10_000 + written,
      ])
      await sleep(5)
    }
  })()
  for (let kill = 0; kill < (long ? 50 : 4); kill += 1) {
    const doomed = await spawnEngine(url, `doomed ${String(kill)}`)
    await sleep(rng() * 600)
    await doomed.kill()
  }
  const last = await spawnEngine(url, 'last')
  onTestFinished(() => last.kill())
  await until(db.database, `(select count(*) > 4 from tidemark.run where worker like 'last%')`)
  writing.abort()
  await writer
  await expectWhole(db.database)
  expect(await db.sql('select n from public.total')).toEqual([{ n: 10 + written }])
  expect(await last.stop()).toBe(0)
}, 300_000)

test('plan and apply work through PgBouncer in transaction mode', async () => {
  const empty = await createTestDatabase()
  onTestFinished(() => empty.drop())
  await empty.sql('create table orders (id int primary key, region text, amount numeric)')
  const database = await opened(await poolerOf(empty.url))
  const sql = 'select region, sum(amount) as total from orders group by region'
  await planAndApply(database, { views: { by_region: { sql } } }, { populate: true })
  expect((await readFreshness(database)).map(({ state }) => state)).toEqual(['fresh'])
})
