import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readFreshness } from '../../src/observe/freshness.ts'
import { cancelRefresh, pauseView, refreshNow, resumeView } from '../../src/queue/by-hand.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { differing, installHandMade } from '../support/hand-made.ts'
import { waitingAt } from '../support/waiting-at.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql)
})
afterEach(() => db.drop())

const runsOf = (status: string): Promise<{ view: string; trigger_type: string }[]> =>
  db.sql('select view, trigger_type from tidemark.run where status = $1 order by run_id', [status])

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 500; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}`)
}

describe('a request', () => {
  test('is made for a view that was never populated, worked off, and the view is fresh', async () => {
    expect((await readFreshness(db.database)).map((f) => f.state)).toEqual([
      'never_populated',
      'never_populated',
    ])
    expect((await tick(db.database)).asked).toBe(2)
    expect((await work(db.database, order)).map((d) => d.outcome)).toEqual([
      'completed',
      'completed',
    ])
    const [first] = await readFreshness(db.database)
    expect(first).toMatchObject({ state: 'fresh', stalenessMs: 0, reason: null })
    expect(await differing(db.sql, 'by_region')).toBe(0)
  })

  test('joins the one that waits: four hundred askers leave one row with the highest lane', async () => {
    await Promise.all(
      Array.from({ length: 400 }, (_, n) =>
        db.sql(`select tidemark.enqueue('public.total', 'manual', $1, $2::smallint)`, [
          `asker ${String(n)}`,
          n === 200 ? 0 : 2,
        ]),
      ),
    )
    const rows = await db.sql('select requests, lane from tidemark.request')
    expect(rows).toEqual([{ requests: 400, lane: 0 }])
  })

  test('that arrives while the group is being refreshed becomes the next one', async () => {
    const gate = await db.session()
    await gate.query('select pg_advisory_lock(4711)')
    const running = refreshNow(db.database, {
      view: 'total',
      triggerType: 'manual',
      triggeredBy: 'first',
    })
    await until(`exists (select from tidemark.request where status = 'running')`)
    const second = await refreshNow(db.database, {
      view: 'total',
      triggerType: 'manual',
      triggeredBy: 'second',
    })
    expect(second.status).toBe('queued')
    await gate.query('select pg_advisory_unlock(4711)')
    expect((await running).status).toBe('completed')
    expect((await work(db.database, order)).map((d) => d.group)).toEqual(['public.total'])
  })

  test('of the critical lane overtakes, and one that has waited long is not overtaken for ever', async () => {
    await db.sql(
      `select tidemark.enqueue('public.total', 'target', 't', 2::smallint, now() - interval '10 minutes')`,
    )
    await db.sql(`select tidemark.enqueue('public.by_region', 'manual', 't', 0::smallint)`)
    expect((await work(db.database, { ...order, groupsMax: 1 }))[0]?.group).toBe('public.total')
  })
})

test('a request that was tried thousands of times and lost its backend is tried again within ten minutes', async () => {
  await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
  const lost = await db.session()
  await lost.query(`select tidemark.claim('lost')`)
  await lost.close()
  await db.sql(
    `update tidemark.request set attempt = 5000, claimed_at = claimed_at - interval '1 minute'`,
  )
  expect((await tick(db.database)).reaped).toBe(1)
  expect(
    await db.sql(
      `select status, attempt, due between now() + interval '9 minutes' and now() + interval '10 minutes' as soon
       from tidemark.request where group_name = 'public.total'`,
    ),
  ).toEqual([{ status: 'pending', attempt: 5001, soon: true }])
})

describe('a clock that was set back', () => {
  /** As if the clock had been ten hours ahead of the present until now. */
  const setBack = (): Promise<unknown> =>
    db.sql(`
      update tidemark.sample set at = at + interval '10 hours';
      update tidemark.tidemark set as_of = as_of + interval '10 hours';
      update tidemark.first_unreflected set at = at + interval '10 hours';
      update tidemark.view_state set as_of = as_of + interval '10 hours',
        refreshed_at = refreshed_at + interval '10 hours', checked_at = checked_at + interval '10 hours';
      update tidemark.refresh_group set kept_up_at = kept_up_at + interval '10 hours',
        not_before = not_before + interval '10 hours';
      update tidemark.request set due = due + interval '10 hours';
      update tidemark.run set started_at = started_at + interval '10 hours';`)

  const refreshAll = async (): Promise<void> => {
    await tick(db.database)
    await work(db.database, order)
  }

  const grownStale = (view: string): Promise<unknown> =>
    expect
      .poll(async () => (await readFreshness(db.database, view))[0]?.stalenessMs ?? 0)
      .toBeGreaterThan(0)

  test('hides nothing for ten hours: neither what was written before nor after it, nor what time has moved', async () => {
    await refreshAll()
    await db.sql(`insert into public.orders values (100, 'r1', 1)`)
    await tick(db.database)
    await db.sql(`
      delete from tidemark.first_unreflected where snapshot in (
        select snapshot::text from tidemark.tidemark where view = 'public.total');
      update tidemark.view set time_dependent = true, policy = 'eager' where name = 'public.total';
      update tidemark.refresh_group set kept_up_at = now() - interval '1 minute'`)
    await setBack()
    await db.sql(`insert into public.orders values (101, 'r1', 1)`)
    await tick(db.database)
    await grownStale('total')
    await grownStale('by_region')
    // Who was looked after a minute ago is behind by now.
    await db.sql(`update tidemark.view set target_ms = 1;
      update tidemark.refresh_group set kept_up_at = kept_up_at - interval '3 seconds'`)
    expect((await tick(db.database)).asked).toBe(2)
    expect(
      await db.sql('select max(at) <= clock_timestamp() as past from tidemark.sample'),
    ).toEqual([{ past: true }])
  })

  test('leaves the waits of what failed as long as they were, and hours without refreshes by hand', async () => {
    await db.sql(`update tidemark.view set refreshes_per_hour = 1 where name = 'public.total'`)
    const byHand = { view: 'total', triggerType: 'manual', triggeredBy: 'cfo' }
    await refreshNow(db.database, byHand)
    await tick(db.database)
    await db.sql(`update tidemark.request set due = now() + interval '1 minute';
                  update tidemark.refresh_group set not_before = now() + interval '1 minute'`)
    await setBack()
    await tick(db.database)
    expect(
      await db.sql(
        `select q.due > now() and q.due < now() + interval '2 minutes' as due,
           g.not_before > now() and g.not_before < now() + interval '2 minutes' as open
         from tidemark.request q join tidemark.refresh_group g on g.name = q.group_name`,
      ),
    ).toEqual([{ due: true, open: true }])
    expect((await refreshNow(db.database, byHand)).status).toBe('completed')
  })
})

describe('a refresh', () => {
  test('that finds nothing changed is logged as skipped and moves the tidemark', async () => {
    await tick(db.database)
    await work(db.database, order)
    const [before] = await readFreshness(db.database, 'total')
    await db.sql(`select tidemark.enqueue('public.total', 'cron', 'hourly')`)
    await work(db.database, order)
    expect(await runsOf('skipped')).toEqual([{ view: 'public.total', trigger_type: 'cron' }])
    const [after] = await readFreshness(db.database, 'total')
    expect(after?.asOf?.getTime()).toBeGreaterThan(before?.asOf?.getTime() ?? Infinity)
    expect(after?.lastRefreshAt).toEqual(before?.lastRefreshAt)
  })

  test('that fails is retried with growing waits and quarantined after five times, with the reason', async () => {
    await db.sql(`create or replace function tidemark_state."maintain public.total"(verify boolean, since pg_snapshot, out rows_total bigint,
        out rows_inserted bigint, out rows_updated bigint, out rows_deleted bigint, out differing bigint, out method text)
      language plpgsql as $f$ begin perform 1 / 0; end $f$`)
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await db.sql(`update tidemark.refresh_group set not_before = null`)
      await db.sql(`update tidemark.request set due = now()`)
      await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
      const [done] = await work(db.database, { ...order, groupsMax: 1 })
      expect(done?.outcome).toContain('division by zero')
    }
    const [total] = await readFreshness(db.database, 'total')
    expect(total?.quarantineReason).toBe('failed 5 times, last with: division by zero')
    expect(await work(db.database, order)).toEqual([])
    expect((await runsOf('failed')).length).toBe(5)
  })

  test('that meets a locked table names who holds it, does not count as a failure and is tried again', async () => {
    await db.sql(`update tidemark.setting set value = '50' where name = 'lock_wait_ms'`)
    const blocker = await db.session()
    await blocker.query('begin')
    await blocker.query('lock table public.orders in access exclusive mode')
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const [done] = await work(db.database, { ...order, groupsMax: 1 })
    expect(done?.outcome).toContain('failed')
    const [group] = await db.sql(
      `select failures from tidemark.refresh_group where name = 'public.total'`,
    )
    expect(group).toEqual({ failures: 0 })
    await blocker.query('rollback')
    await until(
      `exists (select from tidemark.request where status = 'pending' and due <= clock_timestamp())`,
    )
    expect((await work(db.database, order))[0]?.outcome).toBe('completed')
  })

  test('names the backend that it waits for while it waits', async () => {
    const blocker = await db.session()
    await blocker.query('begin')
    await blocker.query('lock table public.orders in access exclusive mode')
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const working = work(db.database, order)
    await until(
      `exists (select from tidemark.request q where q.status = 'running' and tidemark.waits_for(q.pid) is not null)`,
    )
    const [total] = await readFreshness(db.database, 'total')
    expect(total?.waitingFor).toContain(`pid ${String(blocker.pid)}`)
    expect(total?.waitingFor).toContain('AccessExclusiveLock on')
    await blocker.query('rollback')
    expect((await working)[0]?.outcome).toBe('completed')
  })

  test('can be cancelled: it is rolled back, logged as cancelled and not tried again', async () => {
    const gate = await db.session()
    await gate.query('select pg_advisory_lock(4712)')
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const working = work(db.database, order)
    await until(waitingAt(4712))
    expect(await cancelRefresh(db.database, 'total', 'no longer needed')).toBe(true)
    expect((await working)[0]?.outcome).toContain('cancelled')
    await gate.query('select pg_advisory_unlock(4712)')
    expect(await db.sql('select from tidemark.request')).toEqual([])
    expect(await db.sql('select * from public.total')).toEqual([])
    const [run] = await db.sql(`select status, reason from tidemark.run`)
    expect(run).toEqual({ status: 'cancelled', reason: 'no longer needed' })
  })

  test('of a paused view is refused by hand and not made by targets', async () => {
    await pauseView(db.database, 'total', 'month end')
    await expect(
      refreshNow(db.database, { view: 'total', triggerType: 'manual', triggeredBy: 'x' }),
    ).rejects.toThrow('public.total is paused: month end (TIDEMARK_VIEW_PAUSED)')
    expect((await tick(db.database)).asked).toBe(1)
    await resumeView(db.database, 'total')
    await work(db.database, order)
    expect((await readFreshness(db.database, 'total'))[0]?.state).toBe('fresh')
  })

  test('called as a function inside a writing transaction reflects what was written, and not what comes after', async () => {
    const writer = await db.session()
    await writer.query('begin')
    await writer.query(`insert into public.orders values (100, 'r1', 1)`)
    const [refreshed] = await writer.query(
      `select status, rows_affected from tidemark.refresh('total')`,
    )
    expect(refreshed).toEqual({ status: 'completed', rows_affected: 1 })
    await writer.query(`insert into public.orders values (101, 'r1', 1)`)
    await writer.query('commit')
    expect(await db.sql('select n from public.total')).toEqual([{ n: 11 }])
    expect((await readFreshness(db.database, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
  })

  test('called as a function under REPEATABLE READ is queued, and says so', async () => {
    const reader = await db.session()
    await reader.query('begin isolation level repeatable read')
    const [answer] = await reader.query(`select status from tidemark.refresh('total')`)
    await reader.query('commit')
    expect(answer).toEqual({ status: 'queued' })
  })

  test('does not see a TRUNCATE that slipped in between its snapshot and its locks', async () => {
    await tick(db.database)
    const stopped = await db.session()
    // A worker that has its snapshot and stands before its locks.
    await db.sql(`delete from tidemark.request where group_name <> 'public.total'`)
    const [claimed] = await stopped.query<{ request_id: number; token: number }>(
      `select request_id, token from tidemark.claim('slow')`,
    )
    await stopped.query('begin isolation level repeatable read')
    await stopped.query('select pg_current_snapshot()')
    await db.sql('truncate public.orders')
    await expect(
      stopped.query('select tidemark.perform($1, $2)', [claimed?.request_id, claimed?.token]),
    ).rejects.toThrow('truncated or rewritten')
    await stopped.query('rollback')
  })
})

describe('refreshing by hand', () => {
  test('is limited by the hour and by role', async () => {
    await db.sql(`update tidemark.view set refreshes_per_hour = 2 where name = 'public.total'`)
    const byHand = (): Promise<unknown> =>
      refreshNow(db.database, { view: 'total', triggerType: 'manual', triggeredBy: 'cfo' })
    await byHand()
    await byHand()
    await expect(byHand()).rejects.toThrow('TIDEMARK_REFRESH_LIMITED')
  })

  test('of an unknown view names the code and how to list views', async () => {
    await expect(
      refreshNow(db.database, { view: 'nope', triggerType: 'manual', triggeredBy: 'x' }),
    ).rejects.toThrow('No view is called nope (TIDEMARK_VIEW_UNKNOWN)')
  })
})
