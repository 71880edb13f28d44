import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { captureProgram } from '../../src/capture/program.ts'
import { readSourceShape } from '../../src/capture/shape.ts'
import { relationName } from '../../src/model/ids.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { runEngine } from '../../src/engine/engine.ts'
import type { EngineEvent } from '../../src/engine/engine.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'

let db: TestDatabase
let stop: AbortController
let ended: Promise<void>
let events: EngineEvent[]

const seen = async (kind: EngineEvent['kind'], times: number): Promise<void> => {
  for (let look = 0; look < 1000; look += 1) {
    if (events.filter((event) => event.kind === kind).length >= times) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never seen ${String(times)} times: ${kind}`)
}

const until = async (met: () => Promise<boolean>): Promise<void> => {
  for (let look = 0; look < 500; look += 1) {
    if (await met()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('never met')
}

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql, 500)
  const orders = relationName('public', 'orders')
  await db.sql('drop trigger capture on public.orders')
  await db.sql(`drop function tidemark."public.orders is captured; run tidemark plan"(public.orders);
    drop type tidemark."image public.orders"`)
  const program = await db.database.transaction(async (transaction) =>
    captureProgram({
      shape: await readSourceShape(transaction, orders),
      mode: 'marks',
      columns: ['region', 'amount'],
      events: [],
      wakes: true,
      cached: false,
    }),
  )
  await db.database.transaction(async (transaction) => {
    for (const statement of program.install) await transaction.query(statement)
    await transaction.query(`select tidemark.trust('public.orders')`)
  })
  events = []
  stop = new AbortController()
  ended = runEngine(
    {
      databaseUrl: db.url,
      workers: 1,
      pollMs: 30,
      idleAfterMs: 300,
      name: 'sleeper',
      onEvent: (event) => {
        events.push(event)
      },
    },
    stop.signal,
  )
})
afterEach(async () => {
  stop.abort()
  await ended
  await db.drop()
})

test('law: an engine that sleeps sends no query, and a commit wakes it', async () => {
  await seen('asleep', 1)
  // Backends of the engine by their last query: those of this test are its own session and its pool; the server vacuums.
  const watching = await db.session()
  const mine = new Set([
    watching.pid,
    ...(await db.sql<{ pid: number }>('select pg_backend_pid() as pid')).map((r) => r.pid),
  ])
  const queries = async (): Promise<readonly unknown[]> => {
    const backends = await watching.query<{ pid: number; query_start: Date }>(
      `select pid, query_start from pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' order by pid`,
    )
    return backends.filter(({ pid }) => !mine.has(pid))
  }
  const before = await queries()
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(await queries()).toEqual(before)
  await db.sql(`insert into public.orders values (50, 'r1', 1)`)
  await seen('awake', 1)
  await until(async () => {
    const rows = await db.sql<{ n: number }>('select n from public.total')
    return rows[0]?.n === 11
  })
  await seen('asleep', 2)
  expect((await readFreshness(db.database)).map((f) => f.stalenessMs)).toEqual([0, 0])
})

test('an engine whose clock is set back lies down all the same', async () => {
  const now = Date.now()
  vi.spyOn(Date, 'now').mockReturnValue(now - 3_600_000)
  try {
    await seen('asleep', 1)
  } finally {
    vi.restoreAllMocks()
  }
})

test('a reader wakes an engine that sleeps', async () => {
  await seen('asleep', 1)
  await readFreshness(db.database)
  await seen('awake', 1)
})

test('law: a transaction that was at work when the engine lay down is not overslept', async () => {
  const writer = await db.session()
  await writer.query('begin isolation level repeatable read')
  await writer.query('select 1')
  await seen('asleep', 1)
  await writer.query(`insert into public.orders values (51, 'r1', 1)`)
  await writer.query('commit')
  await until(async () => {
    const rows = await db.sql<{ n: number }>('select n from public.total')
    return rows[0]?.n === 11
  })
})

test('what is written to a database asleep is not dated to before the sleep', async () => {
  await seen('asleep', 1)
  await new Promise((resolve) => setTimeout(resolve, 400))
  stop.abort()
  await ended
  await db.sql(`insert into public.orders values (52, 'r1', 1)`)
  const [behind] = await readFreshness(db.database)
  expect(behind?.stalenessMs).toBeGreaterThan(0)
  const [looked] = await db.sql<{ own: boolean }>(
    `select $1::timestamptz >= (select date_trunc('milliseconds', max(at)) from tidemark.sample) as own`,
    [behind?.oldestUnreflectedAt],
  )
  expect(looked).toEqual({ own: true })
})
