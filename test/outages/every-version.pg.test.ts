import { expect, onTestFinished, test } from 'vitest'
import { readFreshness } from '../../src/observe/freshness.ts'
import { pauseView, refreshNow, resumeView } from '../../src/queue/by-hand.ts'
import { clean, tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { differing, installHandMade } from '../support/hand-made.ts'
import { debianInstalled, serverNames } from '../support/servers.ts'
import { workUntilWhole } from './await-state.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

const servers = serverNames.filter((name) => name !== '15-debian' || debianInstalled())

const states = async (db: TestDatabase): Promise<readonly (readonly [string, string | null])[]> =>
  (await readFreshness(db.database)).map(({ state, reason }) => [state, reason])

async function refreshes(db: TestDatabase): Promise<void> {
  expect((await states(db)).map(([state]) => state)).toEqual(['never_populated', 'never_populated'])
  expect((await tick(db.database)).asked).toBe(2)
  expect((await work(db.database, order)).map(({ outcome }) => outcome)).toEqual([
    'completed',
    'completed',
  ])
  await db.sql(`insert into public.orders values (100, 'r1', 2.50)`)
  expect((await readFreshness(db.database, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
  const run = { view: 'total', triggerType: 'manual', triggeredBy: 'cfo' }
  expect(await refreshNow(db.database, run)).toMatchObject({ status: 'completed', rows: 1 })
  expect(await db.sql(`select status, rows_affected from tidemark.refresh('by_region')`)).toEqual([
    { status: 'completed', rows_affected: 5 },
  ])
  expect(await differing(db.sql, 'total')).toBe(0)
  expect(await states(db)).toEqual([
    ['fresh', null],
    ['fresh', null],
  ])
}

async function worksOffWhatIsDue(db: TestDatabase): Promise<void> {
  await db.sql(
    `select tidemark.enqueue('public.total', 'cron', 'hourly', 1::smallint, now(), true)`,
  )
  const done = await db.sql(`select view_name, status from tidemark.process_pending()`)
  expect(done).toEqual([{ view_name: 'public.total', status: 'completed' }])
  const health = await db.sql(
    `select view_name, freshness, needs_refresh, recommendation from tidemark.health_check()`,
  )
  expect(health).toContainEqual({
    view_name: 'public.total',
    freshness: 'fresh',
    needs_refresh: false,
    recommendation: 'The view reflects every commit. No action needed.',
  })
  const [metrics] = await db.sql(
    `select total_refreshes > 3 as many, failed from tidemark.refresh_metrics`,
  )
  expect(metrics).toEqual({ many: true, failed: 0 })
}

async function pausesAndResumes(db: TestDatabase): Promise<void> {
  await pauseView(db.database, 'total', 'month end')
  await db.sql(`update public.orders set amount = amount + 1`)
  await expect(
    refreshNow(db.database, { view: 'total', triggerType: 'manual', triggeredBy: 'x' }),
  ).rejects.toThrow('TIDEMARK_VIEW_PAUSED')
  await resumeView(db.database, 'total')
  await refreshNow(db.database, { view: 'by_region', triggerType: 'manual', triggeredBy: 'x' })
  await workUntilWhole(db.database)
}

async function bypassesAndCapturesAgain(db: TestDatabase): Promise<void> {
  await db.sql(`select tidemark.bypass('orders', 'bulk load')`)
  await db.sql(`truncate public.orders`)
  expect(await states(db)).toEqual([
    ['unknown', 'bypassed: public.orders, bulk load'],
    ['unknown', 'bypassed: public.orders, bulk load'],
  ])
  await db.sql(`select tidemark.capture_again('orders')`)
  expect(await states(db)).toEqual([
    ['unknown', 'gap: bypassed: bulk load'],
    ['unknown', 'gap: bypassed: bulk load'],
  ])
  await workUntilWhole(db.database)
  expect(await db.sql('select n from public.total')).toEqual([{ n: 0 }])
}

test.for(servers)(
  'on PostgreSQL %s views are refreshed, told, paused, bypassed and cleaned up after',
  { timeout: 120_000 },
  async (server) => {
    const db = await createInstalledDatabase({ server })
    onTestFinished(() => db.drop())
    await installHandMade(db.sql, 1_000)
    await refreshes(db)
    await worksOffWhatIsDue(db)
    await pausesAndResumes(db)
    await bypassesAndCapturesAgain(db)
    expect(await clean(db.database)).toBeGreaterThanOrEqual(0)
    await workUntilWhole(db.database)
  },
)
