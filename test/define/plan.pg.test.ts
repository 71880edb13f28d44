import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { planExitCode } from '../../src/define/diff.ts'
import { applyPlan } from '../../src/define/apply.ts'
import { apply, applyConfiguration, planConfiguration } from '../../src/engine/define.ts'
import type { Database, Queryable } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import { schemaOf } from '../support/schema-text.ts'
import { configured, destroyAll, planAndApply, titles } from './configured.ts'
import { byRegion, config, ordersAndItems } from './two-views.ts'

let db: TestDatabase

/** A database for each test of a block; to install Tidemark anew is a part of few of them. */
function eachIn(make: () => Promise<TestDatabase>): void {
  beforeEach(async () => {
    db = await make()
    await db.sql(ordersAndItems)
  })
  afterEach(() => db.drop())
}

const replan = async (wanted: TidemarkConfig): Promise<readonly string[]> =>
  titles(await planConfiguration(db.database, configured(wanted)))

/** The database, and how many statements were sent in its transactions. */
function counting(database: Database): { database: Database; statements: () => number } {
  let sent = 0
  const counted = (transaction: Queryable): Queryable => ({
    query: (text, values) => {
      sent += 1
      return transaction.query(text, values)
    },
  })
  return {
    database: {
      ...database,
      transaction: (body, options) =>
        database.transaction((transaction) => body(counted(transaction)), options),
    },
    statements: () => sent,
  }
}

/** A configuration with another by_region. */
const changed = (view: Partial<TidemarkConfig['views'][string]>): TidemarkConfig => ({
  ...config,
  views: { ...config.views, by_region: { ...config.views['by_region'], ...view } },
})

describe('an empty database', () => {
  eachIn(createTestDatabase)

  test('what was applied is not planned again, and the views are filled', async () => {
    const plan = await planAndApply(db.database, config, { populate: true })
    expect(titles(plan)).toEqual([
      '+ schema tidemark',
      '+ setting max_log_bytes',
      '+ setting time_zone',
      '+ source public.orders',
      '+ view public.by_region',
      '+ view public.total',
      '+ schedule public.by_region 1',
      '+ event public.by_region public.orders 1',
      '+ grant public',
    ])
    expect(planExitCode(plan)).toBe(2)
    const again = await planConfiguration(db.database, configured(config))
    expect(titles(again)).toEqual([])
    expect(planExitCode(again)).toBe(0)
    expect(await db.sql('select view, state, rows from tidemark.freshness order by 1')).toEqual([
      { view: 'public.by_region', state: 'fresh', rows: 3 },
      { view: 'public.total', state: 'fresh', rows: 1 },
    ])
    expect(await db.sql('select total from total')).toEqual([{ total: '5050.00' }])
    const [slots] = await db.sql('select count(*)::int as n from tidemark.slot')
    expect(slots?.['n']).toBeGreaterThan(800)
  })

  test('a plan of many views asks the server no more often than that of few, but for an estimate of each', async () => {
    const viewsOf = (count: number): TidemarkConfig['views'] =>
      Object.fromEntries(
        Array.from({ length: count }, (_, n) => [
          `view_${String(n)}`,
          {
            sql: `select region, sum(amount) as total from orders where id % ${String(count)} = ${String(n)} group by region`,
            ...(n % 2 === 0 ? { as: 'table' as const } : {}),
          },
        ]),
      )
    const statements = async (count: number): Promise<number> => {
      const asked = counting(db.database)
      await planConfiguration(asked.database, configured({ views: viewsOf(count) }))
      return asked.statements()
    }
    expect((await statements(12)) - (await statements(2))).toBe(10)
  })

  test('planning changes nothing', async () => {
    const before = await schemaOf(db)
    await planConfiguration(db.database, configured(config))
    expect(await schemaOf(db)).toBe(before)
  })

  test('destroy leaves no trace', async () => {
    const before = await schemaOf(db)
    await planAndApply(db.database, config, { populate: true })
    const plan = await destroyAll(db.database)
    expect(titles(plan).at(-1)).toBe('- schema tidemark')
    expect(await schemaOf(db)).toBe(before)
    expect(titles(await destroyAll(db.database))).toEqual([])
  })

  test('two applies at once: both end well, one after the other', async () => {
    await Promise.all([1, 2, 3].map(() => applyConfiguration(db.database, configured(config))))
    expect(await replan(config)).toEqual([])
  })
})

describe('plan and apply', () => {
  eachIn(createInstalledDatabase)

  test('formatting is no change', async () => {
    await planAndApply(db.database, config)
    const reformatted = `SELECT   region,\n  SUM( amount ) AS total\n-- a comment\nFROM public.orders GROUP BY 1;`
    expect(await replan(changed({ sql: reformatted }))).toEqual([])
  })

  test('a changed query with the same columns is computed anew in place', async () => {
    await planAndApply(db.database, config, { populate: true })
    await db.sql('create view reader as select region from by_region')
    const same = changed({ sql: `${byRegion} having count(*) > 33` })
    const plan = await planConfiguration(db.database, configured(same))
    expect(titles(plan)).toEqual(['~ view public.by_region'])
    expect(plan.steps[0]?.detail).toMatch(/^query changed, computed anew/)
    await apply(db.database, plan)
    expect(await db.sql('select * from by_region')).toHaveLength(1)
    expect(await db.sql('select state from tidemark.freshness')).toEqual([
      { state: 'fresh' },
      { state: 'fresh' },
    ])
    expect(await replan(same)).toEqual([])
  })

  test('a changed query with other columns replaces the view and keeps its readers', async () => {
    await planAndApply(db.database, config, { populate: true })
    await db
      .sql(
        `create view reader as select region from by_region; comment on view by_region is 'ours';
                  create role plan_reader; grant select on by_region, reader to plan_reader`,
      )
      .catch(() => [])
    const more = changed({
      sql: 'select region, count(*) as n, sum(amount) as total from orders group by region',
    })
    const plan = await planAndApply(db.database, more, { populate: true })
    expect(titles(plan)).toEqual(['-/+ view public.by_region', '~ view public.total'])
    expect(plan.steps[0]).toMatchObject({ destructive: false })
    expect(plan.steps[0]?.detail).toContain('public.total, public.reader dropped and made again')
    expect(await db.sql('select n from by_region order by n')).toEqual([
      { n: 33 },
      { n: 33 },
      { n: 34 },
    ])
    expect(await replan(more)).toEqual([])
    const fewer = changed({
      sql: 'select region, sum(amount) as total from orders group by region',
    })
    const losing = await planConfiguration(db.database, configured(fewer))
    await expect(apply(db.database, losing)).rejects.toThrow(/TIDEMARK_DESTRUCTIVE_REFUSED/)
    await apply(db.database, losing, { allowDestructive: true })
    expect(await replan(fewer)).toEqual([])
  })

  test.each([
    ['target', { target: '2m' }, 'target 1 min → 2 min; very stale 2 min → 4 min'],
    ['indexes', { indexes: ['(total)'] }, /index .* is made; index .* is dropped/],
    ['fallback', { fallback: 'none' as const }, /fallback changed/],
    ['group', { group: 'board' }, /^group public\.by_region → board$/],
    ['policy', { policy: 'eager' as const }, 'policy deadline → eager'],
    ['timeout', { timeout: '5m' }, 'group public.by_region → public.by_region'],
  ])('a change of %s is made in place', async (what, view, detail) => {
    await planAndApply(db.database, config)
    const plan = await planAndApply(db.database, changed(view))
    const step = plan.steps.find(({ name }) => name === 'public.by_region')
    if (what !== 'timeout') expect(step?.detail).toMatch(detail)
    expect(await replan(changed(view))).toEqual([])
  })

  test('schedules, rules and views that are no longer declared go', async () => {
    await planAndApply(db.database, config)
    const less: TidemarkConfig = { views: { by_region: { sql: byRegion, target: '1m' } } }
    const plan = await planConfiguration(db.database, configured(less))
    expect(titles(plan)).toEqual([
      '~ source public.orders',
      '~ view public.by_region',
      '- grant public',
      '- schedule public.by_region 1',
      '- event public.by_region public.orders 1',
      '- view public.total',
    ])
    await expect(apply(db.database, plan)).rejects.toThrow(
      /- view public\.total.*DESTRUCTIVE_REFUSED/,
    )
    await apply(db.database, plan, { allowDestructive: true, populate: false })
    expect(await replan(less)).toEqual([])
    const none = await planAndApply(db.database, { views: {} }, { allowDestructive: true })
    expect(titles(none)).toEqual(['- view public.by_region', '- source public.orders'])
  })

  test('a view that somebody reads is not dropped', async () => {
    await planAndApply(db.database, config)
    await db.sql('create view reader as select * from total')
    await expect(replan({ ...config, views: { by_region: { sql: byRegion } } })).rejects.toThrow(
      /public\.total is no longer declared, and public\.reader read it.*DESTRUCTIVE_REFUSED/,
    )
  })

  test('what somebody has dropped is made again', async () => {
    await planAndApply(db.database, config, { populate: true })
    await db.sql(
      `drop view by_region cascade; drop function tidemark_state."maintain public.total"`,
    )
    expect(await replan(config)).toEqual(['~ view public.by_region', '-/+ view public.total'])
    await planAndApply(db.database, config)
    await db.sql(`drop table tidemark_state."public.by_region" cascade; drop table orders cascade;
      create table orders (id int primary key, region text, amount numeric(10,2))`)
    expect(await replan(config)).toContain('~ source public.orders')
    await planAndApply(db.database, config, { populate: true })
    expect(await replan(config)).toEqual([])
    expect(await db.sql('select state from tidemark.freshness')).toEqual([
      { state: 'fresh' },
      { state: 'fresh' },
    ])
  })

  test('a renamed table is followed', async () => {
    await planAndApply(db.database, config, { populate: true })
    await db.sql(
      'alter table orders rename to purchases; insert into purchases values (101, $$r0$$, 1)',
    )
    expect(await db.sql('select distinct state from tidemark.freshness')).toEqual([
      { state: 'fresh' },
    ])
    const renamed = changed({
      sql: 'select region, sum(amount) as total from purchases group by region',
      events: [{ on: 'purchases', when: 'amount >= 10000', priority: 'critical' }],
    })
    const plan = await planAndApply(db.database, renamed, { populate: true })
    expect(titles(plan)).toEqual([
      '~ source public.purchases',
      '~ view public.by_region',
      '+ event public.by_region public.purchases 1',
      '- event public.by_region public.orders 1',
    ])
    expect(await replan(renamed)).toEqual([])
    // Nothing is computed anew: what was written before is in the log.
    await db.sql(`call tidemark.run('public.total')`)
    expect(await db.sql('select total from total')).toEqual([{ total: '5051.00' }])
    await db.sql('insert into purchases values (102, $$r0$$, 10000)')
    expect(await db.sql('select rule from tidemark.event')).toHaveLength(1)
    expect(await db.sql('select distinct state, reason from tidemark.freshness')).toEqual([
      { state: 'fresh', reason: null },
    ])
  })

  test('a table that took the name of a captured one is captured instead', async () => {
    await planAndApply(db.database, config, { populate: true })
    await db.sql(`alter table orders rename to former;
      create table orders (id int primary key, region text, amount numeric(10,2));
      insert into orders values (1, 'new', 5)`)
    const plan = await planAndApply(db.database, config, { populate: true })
    expect(titles(plan)).toContain('~ source public.orders')
    expect(plan.steps[0]?.detail).toMatch(/^another table has its name now/)
    expect(await replan(config)).toEqual([])
    expect(await db.sql('select region from by_region')).toEqual([{ region: 'new' }])
    const [row] = await db.sql(
      `select count(*)::int as n from pg_trigger where tgrelid = 'former'::regclass and not tgisinternal`,
    )
    expect(row).toEqual({ n: 0 })
  })

  test('nobody writes a state table but its refresh', async () => {
    await planAndApply(db.database, config, { populate: true })
    for (const write of [
      'insert into by_region values (null, 1)',
      'delete from by_region',
      'update by_region set total = 0',
      'truncate tidemark_state."public.by_region"',
    ]) {
      await expect(db.sql(write)).rejects.toThrow(
        /view public\.by_region is maintained by Tidemark/,
      )
    }
  })
})

describe('views that read one another, in one change', () => {
  eachIn(createInstalledDatabase)

  const views = {
    of_order: { sql: 'select * from by_region where n > 1' },
    by_region: { sql: 'select region, count(*) as n from orders group by region' },
    largest: { sql: 'select max(n) as n from by_region' },
  }
  const gained = {
    ...views,
    by_region: { sql: 'select region, sum(amount) as total, count(*) as n from orders group by 1' },
    largest: { sql: 'select max(n) as n, max(total) as total from by_region' },
  }

  test('read the columns that one of them gains, and give them up with it', async () => {
    await planAndApply(db.database, { views })
    await planAndApply(db.database, { views: gained }, { populate: true })
    expect(await replan({ views: gained })).toEqual([])
    expect(await db.sql('select region, total, n::int from of_order order by region')).toEqual([
      { region: 'r0', total: '1683.00', n: 33 },
      { region: 'r1', total: '1717.00', n: 34 },
      { region: 'r2', total: '1650.00', n: 33 },
    ])
    expect(await db.sql('select n::int, total from largest')).toEqual([{ n: 34, total: '1717.00' }])
    await planAndApply(db.database, { views }, { populate: true, allowDestructive: true })
    expect(await replan({ views })).toEqual([])
    expect(await db.sql('select n::int from largest')).toEqual([{ n: 34 }])
  })

  test('are refused when a column goes that one of them still reads', async () => {
    await planAndApply(db.database, { views: gained })
    const lost = { views: { ...gained, by_region: views.by_region } }
    await expect(replan(lost)).rejects.toThrow(/"total" does not exist at views\.public\.largest/)
  })
})

describe('broken off', () => {
  eachIn(createTestDatabase)

  test('after every step, plan and apply again finish the rest', async () => {
    // In the transaction of the schema, in that of the source, in that of the views, at the very end.
    for (const broken of [1, 4, 6, 9]) {
      const plan = await planConfiguration(db.database, configured(config))
      await expect(
        applyPlan(db.database, plan, {
          onProgress: ({ kind, number }) => {
            if (kind === 'done' && number === broken) throw new Error('killed')
          },
        }),
      ).rejects.toThrow('killed')
      await planAndApply(db.database, config, { populate: true })
      expect(await replan(config)).toEqual([])
      expect(await db.sql('select total from total')).toEqual([{ total: '5050.00' }])
      await destroyAll(db.database)
    }
  })

  test('when the backend is killed, too', async () => {
    const plan = await planConfiguration(db.database, configured(config))
    let killed = Promise.resolve<unknown>(null)
    await expect(
      applyPlan(db.database, plan, {
        onProgress: ({ kind, number }) => {
          if (kind !== 'begun' || number !== 5) return
          killed = db.sql(
            `select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()`,
          )
        },
      }),
    ).rejects.toThrow()
    await killed
    await applyConfiguration(db.database, configured(config))
    expect(await replan(config)).toEqual([])
  })

  test('a step that fails says which, why and what to do, and what is before it stays', async () => {
    const bad = changed({ indexes: ['(region nonsense_ops)'] })
    const failing = planAndApply(db.database, bad)
    await expect(failing).rejects.toMatchObject({
      code: 'TIDEMARK_APPLY_FAILED',
      message: expect.stringMatching(
        /Step 5 of 9, \+ view public\.by_region, failed: operator class "nonsense_ops".*tidemark apply' goes on from here/,
      ) as string,
    })
    expect((await replan(config))[0]).toBe('+ view public.by_region')
    await planAndApply(db.database, config)
    expect(await replan(config)).toEqual([])
  })
})

describe('refusals', () => {
  eachIn(createInstalledDatabase)

  test('a plan is refused when the catalog has moved', async () => {
    await planAndApply(db.database, config)
    const plan = await planConfiguration(db.database, configured(changed({ target: '3m' })))
    await db.sql('alter table orders add column note text')
    await expect(apply(db.database, plan)).rejects.toMatchObject({ code: 'TIDEMARK_PLAN_STALE' })
  })

  test.each<[string, TidemarkConfig['views'], RegExp]>([
    ['a taken name', { orders: { sql: 'select 1 as one' } }, /NAME_TAKEN/],
    ['bad SQL', { v: { sql: 'select nothing from orders' } }, /views\.public\.v.*SQL_INVALID/],
    ['no query', { v: { sql: 'delete from orders' } }, /SQL_NOT_A_QUERY/],
    ['no such matview', { v: { adopt: 'v' } }, /RELATION_UNKNOWN/],
    ['adopting a table', { orders: { adopt: 'orders' } }, /RELATION_UNSUPPORTED/],
    [
      'an unknown schema',
      { 'nowhere.v': { sql: 'select 1 as a' } },
      /schema nowhere.*PRIVILEGE_MISSING/,
    ],
    ['a circle', { a: { sql: 'select * from b' }, b: { sql: 'select * from a' } }, /VIEW_CYCLE/],
  ])('%s', async (_, views, message) => {
    const before = await schemaOf(db)
    await expect(replan({ views })).rejects.toThrow(message)
    expect(await schemaOf(db)).toBe(before)
  })
})
