import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readFreshness } from '../../src/observe/freshness.ts'
import type { Session } from '../../src/postgres/connection.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { differing, installHandMade } from '../support/hand-made.ts'
import { long, seed, seeded } from '../support/random.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { casesOf } from '../support/shares.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql, 300)
})
afterEach(() => db.drop())

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 1500; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}`)
}

/** Nothing is left undone: no run without an end, every view fresh and equal to its query. */
async function expectWhole(): Promise<void> {
  await until(`not exists (select from tidemark.request)
               and not exists (select from tidemark.freshness f where f.staleness_ms is distinct from 0)`)
  expect(await differing(db.sql, 'by_region')).toBe(0)
  expect(await differing(db.sql, 'total')).toBe(0)
  expect(await db.sql(`select from tidemark.run where status = 'running'`)).toEqual([])
}

async function workUntilWhole(): Promise<void> {
  for (let round = 0; round < 400; round += 1) {
    await tick(db.database)
    await work(db.database, order)
    const [left] = await db.sql<{ n: number }>(
      `select (select count(*) from tidemark.request)::int
            + (select count(*) from tidemark.freshness where staleness_ms is distinct from 0)::int as n`,
    )
    if (left?.n === 0) break
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  await expectWhole()
}

describe('a backend that dies', () => {
  const steps: readonly [string, (worker: Session) => Promise<unknown>][] = [
    [
      'after it claimed, before it began',
      async (worker) => {
        await worker.query(`select tidemark.claim('doomed')`)
      },
    ],
    [
      'while it waits for a lock on a source',
      async (worker) => {
        const blocker = await db.session()
        await blocker.query('begin')
        await blocker.query('lock table public.orders in access exclusive mode')
        void worker.query(`call tidemark.work('doomed', 1)`).catch(() => undefined)
        await until(
          `exists (select from pg_locks where pid = ${String(worker.pid)} and not granted)`,
        )
        return blocker
      },
    ],
    [
      'before it writes rows',
      async (worker) => {
        const gate = await db.session()
        await gate.query('select pg_advisory_lock(4711)')
        void worker.query(`call tidemark.work('doomed', 1)`).catch(() => undefined)
        await until(
          `exists (select from pg_locks where pid = ${String(worker.pid)} and not granted)`,
        )
        return gate
      },
    ],
    [
      'after it wrote rows, before its tidemark',
      async (worker) => {
        const gate = await db.session()
        await gate.query('select pg_advisory_lock(4712)')
        void worker.query(`call tidemark.work('doomed', 1)`).catch(() => undefined)
        await until(
          `exists (select from pg_locks where pid = ${String(worker.pid)} and not granted)`,
        )
        return gate
      },
    ],
    [
      'at its fence, before its commit',
      async (worker) => {
        const gate = await db.session()
        await gate.query('select pg_advisory_lock(4712)')
        void worker.query(`call tidemark.work('doomed', 1)`).catch(() => undefined)
        await until(
          `exists (select from pg_locks where pid = ${String(worker.pid)} and not granted)`,
        )
        await gate.query('begin')
        await gate.query(`select from tidemark.request where status = 'running' for update`)
        await gate.query('select pg_advisory_unlock(4712)')
        // No longer where it waited before, which it leaves at its own time.
        await until(
          `exists (select from pg_locks where pid = ${String(worker.pid)} and locktype = 'transactionid' and not granted)`,
        )
        return gate
      },
    ],
  ]
  test.each(steps)('%s leaves nothing lost', async (_, stopAt) => {
    await tick(db.database)
    await work(db.database, order)
    await db.sql(`insert into public.orders values (1000, 'r1', 5)`)
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const doomed = await db.session()
    const gate = await stopAt(doomed)
    await db.sql('select pg_terminate_backend($1, 5000)', [doomed.pid])
    if (gate !== undefined) await (gate as Session).close()
    await workUntilWhole()
    const lost = await db.sql(`select view from tidemark.run where status = 'lost'`)
    expect(lost).toEqual([{ view: 'public.total' }])
  })
})

test('a worker whose request was taken over cannot commit, however late it comes', async () => {
  await tick(db.database)
  await db.sql(`delete from tidemark.request where group_name <> 'public.total'`)
  const zombie = await db.session()
  const gate = await db.session()
  await gate.query('select pg_advisory_lock(4712)')
  const working = zombie.query<{ done: { outcome: string }[] }>(
    `call tidemark.work('zombie', 1, 2::smallint, null)`,
  )
  await until(`exists (select from pg_locks where pid = ${String(zombie.pid)} and not granted)`)
  await db.sql(
    `select tidemark.put_back(q, now()) from tidemark.request q where q.status = 'running'`,
  )
  await gate.query('select pg_advisory_unlock(4712)')
  const [answer] = await working
  expect(answer?.done[0]?.outcome).toBe('taken_over')
  expect(await db.sql('select * from public.total')).toEqual([])
})

test('engines killed at random while writers write lose no change and no run', async () => {
  const rng = seeded(seed)
  const kills = long ? 200 : casesOf(8)
  const writing = new AbortController()
  let written = 0
  const writer = (async (): Promise<void> => {
    const session = await db.session()
    while (!writing.signal.aborted) {
      written += 1
      await session.query(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [
        10_000 + written,
      ])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  // Two race; one of them is killed again and again.
  const steady = await spawnEngine(db.url, 'steady')
  for (let kill = 0; kill < kills; kill += 1) {
    const doomed = await spawnEngine(db.url, `doomed ${String(kill)}`)
    await new Promise((resolve) => setTimeout(resolve, rng() * 400))
    await doomed.kill()
  }
  await steady.kill()
  writing.abort()
  await writer
  const last = await spawnEngine(db.url, 'last')
  await expectWhole()
  expect(await last.stop()).toBe(0)
  const [total] = await db.sql<{ n: number }>('select n from public.total')
  expect(total?.n).toBe(10 + written)
  const [overlap] = await db.sql<{ n: number }>(
    `select count(*)::int as n from tidemark.run a join tidemark.run b
       on a.view = b.view and a.run_id < b.run_id and a.status = 'completed' and b.status = 'completed'
      and a.finished_at > b.started_at`,
  )
  expect(overlap?.n).toBe(0)
}, 1_200_000)

test('eight tickers and four workers fire each slot once and run each view once at a time', async () => {
  await db.sql(`
    insert into tidemark.schedule (name, view, cron, zone, digest) values
      ('a', 'public.total', '* * * * * *', 'UTC', 'x'), ('b', 'public.by_region', '* * * * * *', 'UTC', 'x');
    insert into tidemark.slot (schedule_id, slot_at)
      select s.schedule_id, now() + n * interval '100 milliseconds' from tidemark.schedule s, generate_series(0, 9) n;
    insert into tidemark.slot (schedule_id, slot_at) select s.schedule_id, now() + interval '30 days' from tidemark.schedule s`)
  const ending = new AbortController()
  const endless = async (body: (session: Session) => Promise<unknown>): Promise<void> => {
    const session = await db.session()
    while (!ending.signal.aborted) await body(session)
  }
  const everyone = [
    ...Array.from({ length: 8 }, () => endless((session) => tick(session))),
    ...Array.from({ length: 4 }, (_, n) =>
      endless((session) => work(session, { ...order, worker: `worker ${String(n)}` })),
    ),
  ]
  await until(`not exists (select from tidemark.slot where outcome is null and slot_at <= now())
               and now() > (select max(slot_at) from tidemark.slot where slot_at < now() + interval '1 day')`)
  ending.abort()
  await Promise.all(everyone)
  const [slots] = await db.sql<{ fired: number; open: number }>(
    `select count(*) filter (where outcome in ('fired', 'collapsed'))::int as fired,
            count(*) filter (where outcome is null and slot_at <= now())::int as open from tidemark.slot`,
  )
  expect(slots).toEqual({ fired: 20, open: 0 })
  const [asked] = await db.sql<{ n: number }>(
    `select (select coalesce(sum(jsonb_array_length(reasons)), 0) from (
               select distinct on (request_id) reasons from tidemark.run order by request_id) r)::int
          + (select coalesce(sum(requests), 0) from tidemark.request)::int as n
       from (select 1) one`,
  )
  const [fired] = await db.sql<{ n: number }>(
    `select count(*)::int as n from tidemark.slot where outcome = 'fired'`,
  )
  const [others] = await db.sql<{ n: number }>(
    `select count(*)::int as n from (
       select jsonb_array_elements(reasons) as reason from (
         select distinct on (request_id) reasons from tidemark.run order by request_id) d) r
      where r.reason ->> 'type' <> 'cron'`,
  )
  expect((asked?.n ?? 0) - (others?.n ?? 0)).toBe(fired?.n)
  expect((await readFreshness(db.database)).map((f) => f.stalenessMs)).toEqual([0, 0])
})
