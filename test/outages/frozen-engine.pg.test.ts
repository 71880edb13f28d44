import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { isAlive } from '../../src/postgres/cluster.ts'
import type { Session } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { long, seed, seeded } from '../support/random.ts'
import type { EngineProcess } from '../support/spawn-engine.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { thisDatabase } from '../support/waiting-at.ts'
import { expectWhole, until, workUntilWhole } from './await-state.ts'

test('two engines race, one is frozen and thawed again and again: nothing runs twice at once, nothing is lost', async () => {
  const rng = seeded(seed)
  const db = await createInstalledDatabase()
  onTestFinished(() => db.drop())
  await installHandMade(db.sql, 300)
  const steady = await spawnEngine(db.url, 'steady')
  onTestFinished(() => steady.kill())
  const sleepy = await spawnEngine(db.url, 'sleepy')
  onTestFinished(() => sleepy.kill())

  let written = 0
  const writing = new AbortController()
  const writer = (async (): Promise<void> => {
    while (!writing.signal.aborted) {
      written += 1
      await db.sql(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [
        10_000 + written,
      ])
      await sleep(5)
    }
  })()
  for (let freeze = 0; freeze < (long ? 60 : 5); freeze += 1) {
    await sleep(rng() * 300)
    sleepy.signal('SIGSTOP')
    const runs = `(select count(*) from tidemark.run where status = 'completed' and worker like 'steady%')`
    const [before] = await db.sql<{ n: number }>(`select ${runs} as n`)
    // The other goes on alone.
    await until(db.database, `${runs} > ${String(before?.n)}`)
    await sleep(rng() * 600)
    sleepy.signal('SIGCONT')
  }
  // The steady one is frozen for good: the other has to do it all.
  steady.signal('SIGSTOP')
  writing.abort()
  await writer
  await expectWhole(db.database)
  expect(await db.sql('select n from public.total')).toEqual([{ n: 10 + written }])
  const overlapping = await db.sql(
    `select a.view, a.run_id, b.run_id from tidemark.run a join tidemark.run b
       on a.view = b.view and a.run_id < b.run_id and a.status = 'completed' and b.status = 'completed'
      and a.finished_at > b.started_at`,
  )
  expect(overlapping).toEqual([])
  expect(await sleepy.stop()).toBe(0)
}, 300_000)

describe('frozen in the middle of a refresh', () => {
  let db: TestDatabase
  let first: EngineProcess
  let backend: number
  let gate: Session

  /** The refresh of the first engine has written its rows and waits before its fence. */
  beforeEach(async () => {
    db = await createInstalledDatabase()
    onTestFinished(() => db.drop())
    await installHandMade(db.sql, 300)
    await db.sql(`delete from tidemark.view where name = 'public.by_region'`)
    await workUntilWhole(db.database, ['total'])
    first = await spawnEngine(db.url, 'first')
    onTestFinished(() => first.kill())
    gate = await db.session()
    await gate.query('select pg_advisory_lock(4712)')
    await db.sql(`insert into public.orders values (1000, 'r1', 5)`)
    const waiting = `select pid from pg_locks where locktype = 'advisory' and objid = 4712 and not granted and database = ${thisDatabase}`
    await until(db.database, `exists (${waiting})`)
    const [row] = await db.sql<{ pid: number }>(waiting)
    backend = row?.pid ?? 0
  })

  /** Who refreshed because of the target, and how that ended. */
  const runs = (): Promise<{ engine: string; status: string }[]> =>
    db.sql(
      `select (regexp_match(worker, '^\\w+'))[1] as engine, status from tidemark.run
       where trigger_type = 'target' order by run_id`,
    )

  test('an engine whose backend the server gave up: another takes over, thawed it commits nothing of that', async () => {
    const begun = await runs()
    first.signal('SIGSTOP')
    await db.sql('select pg_terminate_backend($1, 5000)', [backend])
    await gate.query('select pg_advisory_unlock(4712)')
    const other = await spawnEngine(db.url, 'other')
    onTestFinished(() => other.kill())
    await expectWhole(db.database, ['total'])
    first.signal('SIGCONT')
    expect(await other.stop()).toBe(0)

    await db.sql(`insert into public.orders values (1001, 'r1', 5)`)
    await expectWhole(db.database, ['total'])
    expect((await runs()).slice(begun.length - 1)).toEqual([
      { engine: 'first', status: 'lost' },
      { engine: 'other', status: 'completed' },
      { engine: 'first', status: 'completed' },
    ])
    expect(await first.stop()).toBe(0)
  })

  // We may signal it: the server runs as us, or we are root.
  test('a backend that is cancelled: nobody refreshes beside it, thawed it commits nothing, and another takes over', async () => {
    const begun = await runs()
    process.kill(backend, 'SIGSTOP')
    onTestFinished(() => {
      if (isAlive(backend)) process.kill(backend, 'SIGCONT')
    })
    await gate.query('select pg_advisory_unlock(4712)')
    await db.sql(`select tidemark.cancel('total', 'it hangs')`)
    await first.kill()
    await tick(db.database)
    expect(
      await work(db.database, { worker: 'test', groupsMax: 10, laneMax: 'background' }),
    ).toEqual([])
    expect((await runs()).slice(begun.length - 1)).toEqual([{ engine: 'first', status: 'running' }])

    process.kill(backend, 'SIGCONT')
    await workUntilWhole(db.database, ['total'])
    expect((await runs()).slice(begun.length - 1)).toEqual([
      { engine: 'first', status: 'cancelled' },
      { engine: 'test', status: 'completed' },
    ])
  })
})
