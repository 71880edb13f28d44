import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ViewConfig } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { Plan } from '../../src/model/plan.ts'
import { configured, planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { seed } from '../support/random.ts'
import { casesOf } from '../support/shares.ts'
import { draftPartition } from '../../src/compile/draft-partition.ts'
import { generateCase } from '../oracle/generate-case.ts'
import { brokenCompiler, maintainDirectly } from '../oracle/maintain-directly.ts'
import { openOracleDatabase } from '../oracle/oracle-database.ts'
import { runCase } from '../oracle/run-batch.ts'

let db: TestDatabase

/** Views by name: the query, or all that is said of the view. */
type Views = Readonly<Record<string, string | ViewConfig>>

const sqlOf = (view: string | ViewConfig): string =>
  typeof view === 'string' ? view : (view.sql ?? '')

/** Views kept up by partition, each refresh checked against the query. */
async function put(views: Views, timeZone = 'UTC'): Promise<Plan> {
  const entries = Object.entries(views).map(([name, view]): [string, ViewConfig] => [
    `public.${name}`,
    {
      maintain: 'partition',
      target: '1h',
      verify: 'full',
      ...(typeof view === 'string' ? { sql: view } : view),
    },
  ])
  const plan = await planConfiguration(
    db.database,
    configured({ views: Object.fromEntries(entries), database: { timeZone } }),
  )
  const done = await apply(db.database, plan, { allowDestructive: true })
  expect(done.filter(({ outcome }) => outcome !== 'completed')).toEqual([])
  return plan
}

/** The reasons that a plan gives for how a view is maintained. */
const reasonsOf = (plan: Plan, name: string): string =>
  plan.steps
    .filter((step) => step.name === `public.${name}`)
    .map((step) => JSON.stringify(step))
    .join('\n')

const refresh = (name: string): Promise<unknown> => db.sql(`call tidemark.run('public.${name}')`)

interface Run {
  readonly method: string | null
  readonly status: string
  readonly differing: number | null
  readonly written: number
}

async function lastRun(name: string): Promise<Run | undefined> {
  const [run] = await db.sql<Run>(
    `select method, status, differing::int,
            (coalesce(rows_inserted, 0) + coalesce(rows_updated, 0) + coalesce(rows_deleted, 0))::int as written
     from tidemark.run where view = 'public.${name}' order by run_id desc limit 1`,
  )
  return run
}

async function differing(name: string, sql: string): Promise<number> {
  const [found] = await db.sql<{ n: number }>(
    `select count(*)::int as n from (
       (select x::text from (${sql}) x except all select x::text from public.${name} x)
       union all (select x::text from public.${name} x except all select x::text from (${sql}) x)) d`,
  )
  return found?.n ?? -1
}

/** Refreshes and holds the views against their queries. */
async function expectSame(views: Views, method = 'partition'): Promise<void> {
  for (const [name, view] of Object.entries(views)) {
    await refresh(name)
    const run = await lastRun(name)
    const found = { name, run, differing: await differing(name, sqlOf(view)) }
    const wanted = run?.status === 'skipped' ? {} : { method, differing: 0 }
    expect(found).toMatchObject({ name, run: { ...wanted }, differing: 0 })
  }
}

/** Takes every view away, and leaves Tidemark for the next test. */
const takeAway = (): Promise<Plan> =>
  planAndApply(db.database, { views: {} }, { allowDestructive: true })

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table customers (id int primary key, name text, region text);
    create table products (id int primary key, label text);
    create table orders (id int primary key, customer_id int, created_at timestamptz, placed_on date, amount numeric(10, 2), weight float8);
    create table lines (order_id int, product_id int, n int);
    create table refunds (id int primary key, refunded_on date, amount numeric(10, 2));
    create table rates (code text primary key, rate numeric);
    create function net(numeric) returns numeric language sql stable as
      'select $1 * coalesce((select max(rate) from public.rates), 1)';
    create function weighed(float8) returns float8 language sql stable as 'select $1 * 0.5';
    create table days (day date primary key);
  `)
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.sql(`
    truncate customers, products, orders, lines, refunds, rates, days;
    insert into customers select g, 'name ' || g, 'region ' || g % 3 from generate_series(1, 20) g;
    insert into products select g, 'label ' || g % 4 from generate_series(1, 10) g;
    insert into orders
      select g, nullif(g % 20, 0), '2026-03-01'::timestamptz + g * interval '1 hour',
             ('2026-03-01'::timestamptz + g * interval '1 hour')::date, g, g / 7.0
      from generate_series(1, 240) g;
    insert into orders values (1001, 1, null, null, 5, 5), (1002, 2, null, null, 6, 6);
    insert into lines select 1 + g % 250, 1 + g % 10, g from generate_series(1, 500) g;
    insert into refunds select g, '2026-03-01'::date + g % 12, g from generate_series(1, 30) g;
    insert into rates values ('a', 2);
    insert into days select '2026-03-01'::date + g from generate_series(0, 14) g`)
})
afterEach(async () => {
  await takeAway()
})

/** What is done to the tables, one after the other. */
const writes = [
  `update orders set amount = amount + 1 where id = 50`,
  // Moved from one day to another, and to no day and back.
  `update orders set created_at = created_at + interval '3 days', placed_on = placed_on + 3 where id in (60, 61)`,
  `update orders set created_at = null, placed_on = null where id = 62`,
  `update orders set created_at = '2026-04-01 00:00+00', placed_on = '2026-04-01' where id = 1001`,
  `insert into orders values (2000, 3, 'infinity', 'infinity', 1, 1), (2001, 3, '-infinity', '-infinity', 2, 2)`,
  `update orders set amount = 3 where id = 2000`,
  `delete from orders where id in (2000, 2001, 1002)`,
  // A whole day goes, and comes back.
  `delete from orders where placed_on = '2026-03-04'`,
  `insert into orders select 3000 + g, 1, '2026-03-04'::timestamptz + g * interval '1 hour', '2026-03-04', g, g from generate_series(0, 23) g`,
  `update orders set id = id`,
  // Days that lie apart: more ranges than are kept.
  `update orders set amount = amount + 1 where extract(day from placed_on)::int % 5 = 0`,
  `insert into orders select 4000 + g, 2, '2026-05-01'::timestamptz + g * interval '10 days', '2026-05-01'::date + g * 10, g + 1, g from generate_series(0, 30) g`,
  `update orders set amount = amount + 1 where id between 4000 and 4030`,
]

/** Queries with a key that is found, by what cuts them. */
const detected: Views = {
  daily: `select date_trunc('day', created_at) as day, count(*) as n, sum(amount) as revenue from orders group by 1`,
  hourly: `select date_trunc('hour', created_at) as hour, string_agg(id::text, ',' order by id) as ids from orders group by 1`,
  monthly: `select date_trunc('month', placed_on) as month, max(amount) as most from orders group by 1`,
  by_date: `select created_at::date as day, count(*) as n from orders group by 1 having count(*) > 2`,
  by_column: `select placed_on, count(distinct customer_id) as customers from orders group by placed_on`,
  elsewhere: `select (created_at at time zone 'America/Mexico_City')::date as day, sum(amount) as s from orders group by 1`,
  in_zone: `select date_trunc('week', created_at, 'Asia/Kolkata') as week, sum(amount) as s from orders group by 1`,
  ranked: `select placed_on, id, rank() over (partition by placed_on order by amount) as place from orders`,
  best: `select distinct on (placed_on) placed_on, id, amount from orders order by placed_on, amount desc, id`,
  named: `select o.placed_on, c.name, sum(o.amount) as s from orders o join customers c on c.id = o.customer_id group by 1, 2`,
  outside: `select o.placed_on, c.region, count(*) as n from orders o left join customers c on c.id = o.customer_id group by 1, 2`,
  labels: `select o.placed_on, p.label, sum(l.n) as n from orders o join lines l on l.order_id = o.id join products p on p.id = l.product_id group by 1, 2`,
  absent: `select o.placed_on, count(*) as n from orders o where not exists (select from lines l where l.order_id = o.id) group by 1`,
  balance: `select coalesce(o.day, r.day) as day, o.s as sold, r.s as refunded
    from (select placed_on as day, sum(amount) as s from orders group by 1) o
    full join (select refunded_on as day, sum(amount) as s from refunds group by 1) r on r.day = o.day`,
  either: `select day, sum(amount) as s from (select placed_on as day, amount from orders union all select refunded_on, -amount from refunds) x group by day`,
  neither: `select placed_on from orders except select refunded_on from refunds`,
  of_groups: `with per as (select placed_on, customer_id, sum(amount) as s from orders group by 1, 2) select placed_on, max(s) as most, count(*) as n from per group by 1`,
  shares: `select o.placed_on, o.id, o.amount / t.total as share from orders o join (select placed_on, sum(amount) as total from orders group by 1) t on t.placed_on = o.placed_on`,
  of_customers: `select customer_id, array_agg(id order by id) as ids from orders group by 1`,
  calendar: `select d.day, coalesce(sum(o.amount), 0) as s from days d left join orders o on o.placed_on = d.day group by 1`,
  generated: `select d.day::date as day, count(o.id) as n from generate_series('2026-03-01'::timestamp, '2026-03-20', '1 day') d (day) left join orders o on o.placed_on = d.day::date group by d.day`,
  more_zones: `select date_trunc('quarter', created_at at time zone 'Europe/Lisbon') as quarter, count(*) as n from orders group by 1`,
}

/** All views of a set, refreshed and held against their queries after each write. */
async function expectFollow(views: Views, statements: readonly string[]): Promise<void> {
  for (const write of statements) {
    await db.sql(write)
    for (const name of Object.keys(views)) await refresh(name)
    const found = await Promise.all(
      Object.entries(views).map(async ([name, view]) => ({
        name,
        write,
        run: await lastRun(name),
        differing: await differing(name, sqlOf(view)),
      })),
    )
    const wrong = found.filter(
      ({ run, differing: rows }) =>
        rows !== 0 ||
        (run?.status !== 'skipped' && (run?.method !== 'partition' || run.differing !== 0)),
    )
    expect(wrong).toEqual([])
  }
}

describe('A view whose partition key is found', () => {
  test('follows every change, whatever the key is reckoned from and wherever it goes through', async () => {
    await put(detected)
    await expectFollow(detected, [
      ...writes,
      `update refunds set amount = amount + 1, refunded_on = refunded_on + 2 where id % 9 = 0`,
    ])
  })

  test('writes the rows of the partitions that changed, and no others', async () => {
    await put({ ranked: detected['ranked'] ?? '' })
    await db.sql(`update orders set amount = 1000 where id = 30`)
    await refresh('ranked')
    const run = await lastRun('ranked')
    expect(run).toMatchObject({ method: 'partition', differing: 0 })
    // Rows of that day have another place: each goes and comes.
    expect(run?.written).toBeGreaterThan(0)
    expect(run?.written).toBeLessThanOrEqual(48)
  })

  test('is told of a change of a joined table by the rows that it is joined to', async () => {
    const views = { labels: detected['labels'] ?? '', outside: detected['outside'] ?? '' }
    await put(views)
    await expectFollow(views, [
      `insert into lines values (50, 3, 7)`,
      `update lines set n = n + 1, product_id = 9 where order_id = 77`,
      `delete from lines where order_id = 12`,
      `update products set label = 'other' where id = 4`,
      `insert into customers values (500, 'new', 'far')`,
      `update orders set customer_id = 500 where id in (5, 99)`,
      `delete from customers where id = 7`,
      // An order and its lines in one transaction, and gone again.
      `begin; insert into orders values (7000, 1, now(), '2026-06-01', 1, 1); insert into lines values (7000, 1, 1); commit`,
      `begin; update orders set placed_on = '2026-06-02' where id = 7000; insert into lines values (7000, 2, 5); commit`,
      `begin; delete from lines where order_id = 7000; delete from orders where id = 7000; commit`,
    ])
  })

  test('is computed afresh when what concerns every partition changes', async () => {
    // What is above the mean of all orders: of the mean, no day is the own one.
    const views = {
      above: `select placed_on, count(*) as n from orders where amount > (select avg(n) from lines) group by 1`,
    }
    const plan = await put(views)
    expect(reasonsOf(plan, 'above')).toContain('a change of public.lines concerns every partition')
    await db.sql(`update orders set amount = 400 where id = 40`)
    await expectSame(views)
    await db.sql(`update lines set n = 0 where order_id < 200`)
    await expectSame(views, 'diff')
    await db.sql(`update orders set amount = 1 where id = 40`)
    await expectSame(views)
  })

  test('is computed afresh after TRUNCATE, and when most of many partitions changed', async () => {
    const views = { each: `select id, amount * 2 as double from orders` }
    await put(views)
    await db.sql(`update orders set amount = amount + 1 where id <= 90`)
    await expectSame(views)
    await db.sql(`update orders set amount = amount + 1 where id <= 200`)
    await expectSame(views, 'diff')
    await db.sql(
      `begin; truncate orders; insert into orders values (1, 1, now(), '2026-01-01', 1, 1); commit`,
    )
    await expectSame(views, 'diff')
    await db.sql(`insert into orders values (2, 1, now(), '2026-01-01', 1, 1)`)
    await expectSame(views)
  })

  test('is one of a table that is itself partitioned, of which only what is needed is read', async () => {
    await db.sql(`
      create table visits (at timestamptz not null, weight float8) partition by range (at);
      create table visits_1 partition of visits for values from ('2026-01-01') to ('2026-02-01');
      create table visits_2 partition of visits for values from ('2026-02-01') to ('2026-03-01');
      create table visits_3 (at timestamptz not null, weight float8);
      insert into visits select '2026-01-01'::timestamptz + g * interval '1 hour', g / 4.0 from generate_series(0, 1400) g`)
    try {
      const views = {
        visited: {
          sql: `select date_trunc('day', at) as day, sum(weighed(weight)) as w from visits group by 1`,
          maintain: 'auto' as const,
          reads: [],
        },
      }
      const plan = await put(views)
      expect(reasonsOf(plan, 'visited')).toContain('partition')
      await db.sql(`update visits set weight = weight + 1 where at = '2026-02-03'`)
      await expectSame(views)
      expect((await lastRun('visited'))?.written).toBe(1)
      expect(
        await readsOf('visited', {
          table: 'visits',
          write: `update visits set weight = 0.25 where at = '2026-01-05'`,
        }),
      ).toEqual(['visits_1'])
      await expectSame(views)
      // A row moves from one table to the other.
      await db.sql(`update visits set at = '2026-02-20 10:00' where at = '2026-01-06 10:00'`)
      await expectSame(views)
      await db.sql(
        `insert into visits_3 select '2026-03-01'::timestamptz + g * interval '1 hour', g from generate_series(0, 50) g;
         alter table visits attach partition visits_3 for values from ('2026-03-01') to ('2026-04-01')`,
      )
      await db.sql('select tidemark.tick()')
      await expectSame(views, 'diff')
      await db.sql(`update visits set weight = 5 where at >= '2026-03-02'`)
      await expectSame(views)
      await db.sql(`alter table visits detach partition visits_1`)
      await db.sql('select tidemark.tick()')
      await expectSame(views, 'diff')
      await db.sql(`delete from visits where at < '2026-02-02'`)
      await expectSame(views)
    } finally {
      await takeAway()
      await db.sql('drop table if exists visits, visits_1, visits_3')
    }
  })

  test('holds through views on views, each by its own key', async () => {
    const views: Views = {
      daily: `select placed_on as day, sum(amount) as s from orders group by 1`,
      monthly: `select date_trunc('month', day) as month, sum(s) as s, count(*) as days from daily group by 1`,
    }
    await put(views)
    for (const write of writes.filter((text) => !text.includes('infinity'))) {
      await db.sql(write)
      await refresh('daily')
      for (const [name, view] of Object.entries(views)) {
        const run = await lastRun(name)
        expect({ write, name, run, differing: await differing(name, sqlOf(view)) }).toMatchObject({
          run: run?.status === 'skipped' ? {} : { method: 'partition', differing: 0 },
          differing: 0,
        })
      }
    }
  })

  test.each(['America/Havana', 'Atlantic/Azores', 'America/Sao_Paulo', 'Pacific/Apia'])(
    'takes days as they are in %s, where clocks are put back or forward at midnight',
    async (zone) => {
      const views = {
        local: `select date_trunc('day', created_at) as day, count(*) as n, sum(id) as s from orders group by 1`,
        dates: `select created_at::date as day, count(*) as n, sum(id) as s from orders group by 1`,
        months: `select date_trunc('month', created_at) as month, count(*) as n from orders group by 1`,
      }
      // Hours around each change of the clock in twelve years.
      await db.sql(`
        truncate orders;
        insert into orders
          select row_number() over (), 1, t, t::date, 1, 1
          from (
            select change + g * interval '10 minutes' as t
            from (
              select h as change from generate_series('2004-01-01'::timestamptz, '2015-12-31', '1 hour') h
              where (h at time zone '${zone}') - (h at time zone 'UTC')
                <> ((h - interval '1 hour') at time zone '${zone}') - ((h - interval '1 hour') at time zone 'UTC')
              limit 12
            ) as c, generate_series(-80, 80, 3) g
          ) as x`)
      await put(views, zone)
      // Of the day alone that begins with the change, or of the day alone that ends with it.
      for (const [from, to] of [
        ['02:00', '09:00'],
        ['14:00', '22:00'],
      ]) {
        await db.sql(
          `update orders set id = -id where (created_at at time zone '${zone}')::time between '${from}' and '${to}'`,
        )
        for (const name of Object.keys(views)) {
          await refresh(name)
          expect(await lastRun(name)).toMatchObject({ method: 'partition', differing: 0 })
        }
      }
    },
  )
})

describe('A view whose partition key is declared', () => {
  /** One row of each order: which day it is of, the query does not say. */
  const latest = `select max(placed_on) as day, id, max(amount) as amount from orders group by id`

  test('follows every change, and the plan says that the key is not proven', async () => {
    const views: Views = {
      latest: { sql: latest, partition: { by: 'day', sources: { orders: 'placed_on' } } },
    }
    const plan = await put(views)
    expect(reasonsOf(plan, 'latest')).toContain(
      'by day: public.orders is read by placed_on (declared, not proven)',
    )
    await expectFollow(views, writes)
  })

  test('may be by a column that the query does not read', async () => {
    const views: Views = {
      latest: {
        sql: `select max(created_at)::date as day, id, max(amount) as amount from orders group by id`,
        partition: { by: 'day', sources: { 'public.orders': 'placed_on' } },
      },
    }
    await put(views)
    await expectFollow(views, writes)
  })

  test('is called proven where it follows from the query', async () => {
    const declared = {
      sql: detected['daily'] as string,
      partition: { by: 'day', sources: { orders: `date_trunc('day', created_at)` } },
    }
    const plan = await put({ daily: declared })
    expect(reasonsOf(plan, 'daily')).toContain('public.orders is read by')
    expect(reasonsOf(plan, 'daily')).not.toContain('not proven')
  })

  test('goes through WITH RECURSIVE, and a change of the tree concerns every partition', async () => {
    await db.sql(`create table tree (id int primary key, parent int);
      insert into tree select g, nullif(g / 3, 0) from generate_series(1, 20) g`)
    try {
      const views: Views = {
        by_root: {
          maintain: 'partition',
          sql: `with recursive t (id, root) as (
              select id, id from tree where parent is null
              union all select c.id, t.root from tree c join t on t.id = c.parent)
            select o.placed_on as day, t.root, sum(o.amount) as s from orders o join t on t.id = o.customer_id group by 1, 2`,
        },
      }
      await put(views)
      await expectFollow(views, writes)
      await db.sql(`update tree set parent = 2 where id = 5`)
      await expectSame(views, 'diff')
    } finally {
      await takeAway()
      await db.sql('drop table tree')
    }
  })

  test('and gives rows of other days is found out by the refresh in which it does', async () => {
    await db.sql(`update orders set created_at = created_at + interval '5 days' where id = 33`)
    await put({
      latest: {
        sql: latest,
        verify: 'off',
        partition: { by: 'day', sources: { orders: 'created_at::date' } },
      },
    })
    await db.sql(`update orders set amount = 1 where id = 33`)
    await refresh('latest')
    expect(await lastRun('latest')).toMatchObject({ method: 'diff', differing: 1 })
    expect(await differing('latest', latest)).toBe(0)
    expect(await stateOf('latest')).toBe('unknown')
    await refresh('latest')
    expect(await stateOf('latest')).toBe('fresh')
  })

  test('and hides that rows depend on other days is found out by verification, in the same refresh', async () => {
    const running = `select placed_on as day, sum(sum(amount)) over (order by placed_on) as s from orders group by 1`
    await put({
      running: {
        sql: running,
        partition: { by: 'day', sources: { orders: 'placed_on' } },
      },
    })
    await db.sql(`update orders set amount = amount + 1 where placed_on = '2026-03-10'`)
    await refresh('running')
    const run = await lastRun('running')
    expect(run?.method).toBe('partition')
    expect(run?.differing).toBeGreaterThan(0)
    expect(await stateOf('running')).toBe('unknown')
    await refresh('running')
    expect(await lastRun('running')).toMatchObject({ method: 'diff', differing: 0 })
    expect(await differing('running', running)).toBe(0)
  })

  test.each([
    [
      { by: 'nowhere' },
      'it has no column nowhere to be partitioned by; its columns are day, id, amount',
    ],
    [{ by: 'day', sources: { orders: 'nothing' } }, 'column "nothing" does not exist'],
    [{ by: 'day', sources: { orders: 'now()::date' } }, 'changes by itself'],
    [{ by: 'day', sources: { orders: 'placed_on, id' } }, 'is not one expression'],
    [
      { by: 'day', sources: { orders: '(select max(refunded_on) from public.refunds)' } },
      'reads other tables',
    ],
    [
      { by: 'day', sources: { orders: 'public.weighed(weight)' } },
      'calls public.weighed(double precision)',
    ],
    [
      { by: 'day', sources: { orders: 'created_at' } },
      'the partition key is of type date, and of public.orders it is of type timestamp with time zone',
    ],
    [{ by: 'day', sources: { lines: 'order_id' } }, 'it does not read public.lines'],
    [{ by: 'day' }, 'no column of its result is a key'],
  ])('as %j is refused', async (partition, message) => {
    await expect(put({ latest: { sql: latest, partition } })).rejects.toThrow(message)
  })
})

describe('A view that calls functions', () => {
  const netted = `select placed_on as day, sum(net(amount)) as s from orders group by 1`

  test('whose reads nobody has declared has no partitions', async () => {
    await expect(put({ netted })).rejects.toThrow('say under reads what it reads')
  })

  test('is computed afresh when what they read has changed', async () => {
    const views: Views = { netted: { sql: netted, reads: ['rates'] } }
    await put(views)
    await db.sql(`update orders set amount = amount + 1 where id = 9`)
    await expectSame(views)
    await db.sql(`update rates set rate = 3`)
    await expectSame(views, 'diff')
    await db.sql(`insert into orders values (9000, 1, now(), '2026-03-05', 8, 8)`)
    await expectSame(views)
  })

  test('and reads by them what would be read in part has no partitions', async () => {
    await expect(put({ netted: { sql: netted, reads: ['rates', 'orders'] } })).rejects.toThrow(
      'its functions read public.orders, of all partitions',
    )
  })
})

describe("maintain: 'auto'", () => {
  const strategyOf = async (view: ViewConfig): Promise<string> => {
    await put({ chosen: { maintain: 'auto', ...view } })
    const [row] = await db.sql<{ strategy: string }>(`select strategy from tidemark.view`)
    return row?.strategy ?? 'none'
  }

  test.each([
    ['incremental', { sql: `select placed_on, sum(amount) as s from orders group by 1` }],
    [
      'partition',
      { sql: `select placed_on, sum(net(amount)) as s from orders group by 1`, reads: ['rates'] },
    ],
    ['full', { sql: `select placed_on, sum(net(amount)) as s from orders group by 1` }],
    ['full', { sql: `select sum(net(amount)) as s from orders`, reads: ['rates'] }],
    ['full', { sql: `select placed_on, now() - max(created_at) as age from orders group by 1` }],
  ])('chooses %s for %j', async (strategy, view) => {
    expect(await strategyOf(view)).toBe(strategy)
  })
})

const stateOf = async (name: string): Promise<string> => {
  const [row] = await db.sql<{ state: string }>(
    `select state from tidemark.freshness where view = 'public.${name}'`,
  )
  return row?.state ?? 'none'
}

/** The tables of a tree that a refresh of a view reads after a write, by the counts of the server. */
async function readsOf(
  view: string,
  { table, write }: { readonly table: string; readonly write: string },
): Promise<readonly string[]> {
  await db.sql(write)
  return db.database.transaction(
    async (transaction) => {
      const counts = async (): Promise<ReadonlyMap<string, number>> => {
        const rows = await transaction.query<{ name: string; n: number }>(
          `select relname as name, (seq_scan + coalesce(idx_scan, 0))::int as n
           from pg_stat_xact_user_tables where relname like '${table}%'`,
        )
        return new Map(rows.map(({ name, n }) => [name, n]))
      }
      const before = await counts()
      await transaction.query(
        `select m.* from tidemark.view_state s, tidemark_state."maintain public.${view}"(false, s.snapshot) m
         where s.view = 'public.${view}'`,
      )
      return [...(await counts())].flatMap(([name, n]) =>
        n > (before.get(name) ?? 0) ? [name] : [],
      )
    },
    { isolation: 'repeatable read' },
  )
}

test(`random queries that have a partition key equal their views after random histories (seed ${seed})`, async () => {
  const own = await createInstalledDatabase()
  await own.sql('create extension citext schema public')
  const on = await openOracleDatabase(own.url, own.database)
  try {
    const maintainer = maintainDirectly((wish) =>
      draftPartition(wish, { by: null, keys: new Map(), reads: null }),
    )
    const wrong: string[] = []
    let cases = 0
    for (let batch = 0; cases < casesOf(60); batch += 1) {
      const given = await generateCase(on, {
        seed: seed + batch,
        queries: 36,
        histories: 3,
        overViews: false,
      })
      const { views } = await runCase({ on, maintainer }, given)
      const bad = views.filter(
        ({ outcome, detail }) =>
          outcome === 'mismatch' ||
          outcome === 'failed' ||
          (outcome === 'refused' && detail.startsWith(brokenCompiler)),
      )
      wrong.push(
        ...bad.map(
          ({ view, outcome, detail }) =>
            `seed ${String(seed + batch)}, ${outcome}: ${view.sql}\n${detail}`,
        ),
      )
      cases += views
        .filter(({ outcome }) => outcome === 'exact')
        .reduce((sum, { histories }) => sum + histories, 0)
    }
    expect(wrong).toEqual([])
  } finally {
    await on.closeSessions()
    await own.drop()
  }
}, 300_000)
