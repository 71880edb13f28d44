import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readFreshness } from '../../src/observe/freshness.ts'
import { pauseView, refreshNow, resumeView } from '../../src/queue/by-hand.ts'
import { clean, tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { differing, installHandMade, installView } from '../support/hand-made.ts'
import { long } from '../support/random.ts'
import { waitingAt } from '../support/waiting-at.ts'
import { expectWhole, until, workUntilWhole } from './await-state.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

/** Transactions that share a bucket. */
const bucketXids = 16_384

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql, 500)
  await db.sql(`update tidemark.setting set value = '65536' where name = 'max_log_bytes'`)
})
afterEach(() => db.drop())

const logBytes = async (): Promise<number> =>
  (await db.sql<{ bytes: number }>(`select tidemark.log_bytes('public.orders') as bytes`))[0]
    ?.bytes ?? -1

/** Bytes of each of the three buckets. */
const bucketBytes = async (): Promise<readonly number[]> =>
  (
    await db.sql<{ bytes: number }>(
      `select pg_relation_size(to_regclass(l)) as bytes
       from unnest(tidemark.log_tables('public.orders')) with ordinality as logs (l, n) order by n`,
    )
  ).map(({ bytes }) => bytes)

/** One statement, so one row of the log, per order. */
const writeOrders = (from: number, count: number): Promise<unknown> =>
  db.sql(`do $$ begin for i in ${from} .. ${from + count - 1} loop
    insert into public.orders values (i, 'r' || i % 5, 1); end loop; end $$`)

/** Uses up transaction ids, so that writers go on to the next bucket. */
const nextBucket = (): Promise<unknown> =>
  db.sql(
    `do $$ begin for i in 1 .. ${bucketXids} loop perform pg_current_xact_id(); commit; end loop; end $$`,
  )

const refreshByRegion = async (): Promise<void> => {
  await refreshNow(db.database, { view: 'by_region', triggerType: 'manual', triggeredBy: 'test' })
}

describe('a change log beyond maxLogSize', () => {
  test('lets go of the idlest view alone, is emptied, and the view is rebuilt once resumed', async () => {
    await workUntilWhole(db.database)
    await pauseView(db.database, 'total', 'month end')
    await writeOrders(1000, 4000)
    await refreshByRegion()
    expect(await logBytes()).toBeGreaterThan(65_536)

    expect(await db.sql(`select tidemark.tick() ->> 'released' as n`)).toEqual([{ n: '1' }])
    const [total] = await readFreshness(db.database, 'total')
    expect(total).toMatchObject({ state: 'unknown', stalenessMs: null })
    expect(total?.reason).toBe(
      'log_released: the change log of public.orders grew beyond maxLogSize before this view was refreshed',
    )
    expect((await readFreshness(db.database, 'by_region'))[0]?.state).toBe('fresh')
    expect(await db.sql(`select tidemark.tick() ->> 'released' as n`)).toEqual([{ n: '0' }])
    expect((await readFreshness(db.database, 'by_region'))[0]?.state).toBe('fresh')

    await clean(db.database)
    expect(await logBytes()).toBe(0)
    await resumeView(db.database, 'total')
    await workUntilWhole(db.database)
    expect(await db.sql('select n from public.total')).toEqual([{ n: 4010 }])
  })

  test('whose buckets the cleaner cannot reach for an open transaction lets go of no view', async () => {
    await workUntilWhole(db.database)
    const open = await db.session()
    await open.query('begin')
    await open.query(`insert into public.orders values (999, 'r1', 1)`)
    await writeOrders(1000, 4000)
    await workUntilWhole(db.database)
    expect(await db.sql(`select tidemark.tick() ->> 'released' as n`)).toEqual([{ n: '0' }])
    await clean(db.database)
    expect(await logBytes()).toBeGreaterThan(65_536)
    await open.query('commit')
    expect((await readFreshness(db.database, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
    await workUntilWhole(db.database)
    await clean(db.database)
    expect(await logBytes()).toBe(0)
  })

  test('does not disturb a tick while the idlest view is being refreshed', async () => {
    await workUntilWhole(db.database)
    await writeOrders(1000, 4000)
    await refreshByRegion()
    const gate = await db.session()
    await gate.query('select pg_advisory_lock(4712)')
    await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const working = work(db.database, order)
    await until(db.database, waitingAt(4712))
    expect(await db.sql(`select tidemark.tick() ->> 'released' as n`)).toEqual([{ n: '0' }])
    await gate.query('select pg_advisory_unlock(4712)')
    expect((await working)[0]?.outcome).toBe('completed')
    await workUntilWhole(db.database)
  })
})

describe('law 14: the cleaner', () => {
  test('empties the other buckets while a transaction is open, and its own once it has ended', async () => {
    await workUntilWhole(db.database)
    const open = await db.session()
    await open.query('begin')
    await open.query(`insert into public.orders values (999, 'r1', 1)`)
    await nextBucket()
    await writeOrders(1000, 500)
    await nextBucket()
    await workUntilWhole(db.database)
    expect((await bucketBytes()).filter((bytes) => bytes > 0)).toHaveLength(2)
    expect(await clean(db.database)).toBe(1)
    expect((await bucketBytes()).filter((bytes) => bytes > 0)).toHaveLength(1)
    await open.query('commit')
    expect((await readFreshness(db.database, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
    expect(await clean(db.database)).toBe(0)
    await workUntilWhole(db.database)
    expect(await clean(db.database)).toBe(1)
    expect(await db.sql('select n from public.total')).toEqual([{ n: 511 }])
  })

  test.each(['read committed', 'repeatable read', 'serializable'])(
    'does not empty what a first refresh has not seen, where the default is %s',
    async (isolation) => {
      await db.sql(`alter database ${db.name} set default_transaction_isolation = '${isolation}'`)
      const cleaner = await db.session()
      const gate = await db.session()
      await gate.query('select pg_advisory_lock(4711)')
      await db.sql(`select tidemark.enqueue('public.total', 'manual', 'test')`)
      const worker = await db.session()
      const working = work(worker, order)
      await until(db.database, waitingAt(4711))
      // Committed after the snapshot of the refresh; no view has a tidemark yet that would hold the log.
      await writeOrders(1000, 2000)
      await nextBucket()
      expect(await clean(cleaner)).toBe(0)
      await gate.query('select pg_advisory_unlock(4711)')
      expect((await working)[0]?.outcome).toBe('completed')
      expect((await readFreshness(db.database, 'total'))[0]?.stalenessMs).toBeGreaterThan(0)
      await workUntilWhole(db.database)
      expect(await db.sql('select n from public.total')).toEqual([{ n: 2010 }])
    },
  )

  test('never makes a view fresh that is not, while views are populated, writers write and it cleans all the time', async () => {
    await db.sql(`update tidemark.setting set value = '8192' where name = 'max_log_bytes'`)
    const rounds = long ? 300 : 12
    const stopping = new AbortController()
    const cleaner = await db.session()
    const cleaning = (async (): Promise<number> => {
      let cleaned = 0
      while (!stopping.signal.aborted) cleaned += await clean(cleaner)
      return cleaned
    })()
    for (let round = 0; round < rounds; round += 1) {
      const name = `view_${round}`
      await installView(db.sql, {
        name,
        query: 'select region, count(*) as n from public.orders group by region',
        targetMs: 500,
      })
      const writer = await db.session()
      const writing = (async (): Promise<void> => {
        for (let id = 0; id < 60; id += 1) {
          await writer.query(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [
            10_000 + round * 1000 + id,
          ])
        }
        await writer.close()
      })()
      await db.sql(`select tidemark.enqueue('public.${name}', 'manual', 'test')`)
      await work(db.database, order)
      await writing
      const [seen] = await db.database.transaction(
        async (transaction) =>
          transaction.query<{ staleness: number | null; differing: number }>(
            `select staleness_ms as staleness, (
               select count(*)::int from (
                 select * from public.${name} except all
                 select region, count(*) from public.orders group by region) d) as differing
             from tidemark.freshness_of(array['public.${name}'])`,
          ),
        { isolation: 'repeatable read' },
      )
      if (seen?.staleness === 0) expect(seen.differing).toBe(0)
      await db.sql(
        `update tidemark.view set paused_at = now(), pause_reason = 'done' where name = 'public.${name}'`,
      )
      await tick(db.database)
    }
    stopping.abort()
    expect(await cleaning).toBeGreaterThan(0)
    await db.sql(`update tidemark.view set paused_at = null, pause_reason = null`)
    await workUntilWhole(db.database)
    expect(await differing(db.sql, 'view_0')).toBe(0)
    expect(await differing(db.sql, `view_${rounds - 1}`)).toBe(0)
    await expectWhole(db.database)
  }, 300_000)
})
