import { afterEach, beforeEach, expect, test } from 'vitest'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import type { TestDatabase } from '../support/database.ts'
import { copiesOf, createInstalledDatabase } from '../support/database.ts'
import { configured, destroyAll, planAndApply, titles } from './configured.ts'

// What is renamed goes on without an apply, or says so; an apply with the new names throws nothing away.

let db: TestDatabase

/** Views of every kind over the same table, whatever it is called by now. */
const config = (
  names: Partial<Record<'orders' | 'amount' | 'paid' | 'weighed', string>> = {},
): TidemarkConfig => {
  const { orders, amount, paid, weighed } = {
    orders: 'shop.orders',
    amount: 'amount',
    paid: 'shop.paid',
    weighed: 'shop.weighed',
    ...names,
  }
  return {
    views: {
      'public.kept': {
        sql: `select region, sum(${amount}) as total, count(distinct ${amount}) as different from ${orders} group by region`,
        maintain: 'incremental',
      },
      'public.shown': {
        sql: `select region, sum(cents) as total from ${paid} group by region`,
        as: 'table',
      },
      'public.whole': {
        sql: `select region, max(${amount}) as most from ${orders} group by region`,
        maintain: 'full',
      },
      'public.plain': { sql: `select count(*) as n from ${orders}`, as: 'matview' },
      'public.weighed': {
        sql: `select sum(${weighed}(cents)) as total from ${paid}`,
        maintain: 'incremental',
      },
      'public.sales': { adopt: 'public.sales' },
    },
  }
}

const views = ['kept', 'shown', 'whole', 'plain', 'weighed', 'sales']

const copy = copiesOf(async () => {
  const made = await createInstalledDatabase()
  await made.sql(`
    create schema shop;
    create table shop.orders (id int primary key, region text, amount int not null);
    insert into shop.orders select g, 'r' || g % 3, g from generate_series(1, 30) g;
    create function shop.weighed(int) returns int language sql immutable as 'select $1 * 10';
    create view shop.paid as select region, amount as cents from shop.orders where amount > 3;
    create materialized view sales as select region, sum(amount) as total from shop.orders group by region;
    create unique index sales_region on sales (region)`)
  await planAndApply(made.database, config(), { populate: true })
  return made
})

beforeEach(async () => {
  db = await copy()
})
afterEach(() => db.drop())

const states = async (): Promise<Record<string, string>> => {
  const rows = await db.sql<{ view: string; state: string }>(
    `select view, concat_ws(' ', state, split_part(reason, ':', 1)) as state from tidemark.freshness order by view`,
  )
  return Object.fromEntries(rows.map(({ view, state }) => [view.replace('public.', ''), state]))
}
const allFresh = Object.fromEntries(views.map((view) => [view, 'fresh']))

/** Changes a row, refreshes each view, and says how; every view then shows what its query does. */
const refreshed = async (table: string): Promise<Record<string, string>> => {
  await db.sql(`update ${table} set region = 'x' where id = 7; delete from ${table} where id = 8`)
  for (const view of views) await db.sql(`call tidemark.run('public.${view}', 'event', 'test')`)
  for (const view of views) {
    const query = `tidemark_state."source of public.${view}"`
    const [row] = await db.sql(
      `select count(*)::int as rows from ((table ${view} except all table ${query}) union all (table ${query} except all table ${view})) d`,
    )
    expect(row).toEqual({ rows: 0 })
  }
  const runs = await db.sql<{ view: string; method: string }>(
    'select distinct on (view) view, method from tidemark.run order by view, run_id desc',
  )
  return Object.fromEntries(runs.map(({ view, method }) => [view.replace('public.', ''), method]))
}
const asEver = {
  kept: 'incremental',
  shown: 'incremental',
  whole: 'diff',
  plain: 'refresh',
  weighed: 'incremental',
  sales: 'incremental',
}

test.each([
  ['otherwise', 'alter table shop.orders rename to purchases', 'shop.purchases'],
  ['into another schema', 'alter table shop.orders set schema public', 'public.orders'],
])(
  'a table that is renamed %s: its log stays, and nothing is computed anew',
  async (_, rename, now) => {
    await db.sql(rename)
    expect(await states()).toEqual(allFresh)
    await expect(planConfiguration(db.database, configured(config()))).rejects.toThrow(
      `shop.orders is called ${now} now: call it so there`,
    )
    // Not refreshed before the apply: it has to be in the log afterwards.
    await db.sql(`insert into ${now} values (31, 'late', 5)`)
    const before = await db.sql('select max(run_id) as run from tidemark.run')
    const renamed = config({ orders: now })
    const plan = await planAndApply(db.database, renamed, { populate: true })
    expect(titles(plan)).toEqual([
      `~ source ${now}`,
      ...[...views].sort().map((view) => `~ view public.${view}`),
    ])
    expect(plan.steps[0]?.detail).toBe(`shop.orders is called ${now} now; its change log stays`)
    for (const { detail } of plan.steps.slice(1)) expect(detail).not.toContain('anew')
    expect(await db.sql('select max(run_id) as run from tidemark.run')).toEqual(before)
    expect(await db.sql('select source from tidemark.gap')).toEqual([])
    expect((await planConfiguration(db.database, configured(renamed))).steps).toEqual([])
    expect(await refreshed(now)).toEqual(asEver)
    expect(await states()).toEqual(allFresh)
  },
)

/** A view `public.of_…` over each of these tables of the shop. */
const over = (...names: readonly string[]): TidemarkConfig => ({
  views: Object.fromEntries(
    names.map((name) => [
      `public.of_${name}`,
      { sql: `select region, sum(amount) as total from shop.${name} group by region` },
    ]),
  ),
})
const populated = { populate: true, allowDestructive: true }

test.each([
  [
    'two captured tables exchange their names',
    `alter table shop.orders rename to other; alter table shop.returns rename to orders; alter table shop.other rename to returns`,
    ['orders', 'returns'],
  ],
  [
    'a table takes the name of a captured one, which goes on under a third',
    `alter table shop.returns rename to archive; alter table shop.orders rename to returns; create table shop.orders (like shop.returns including all)`,
    ['archive', 'returns', 'orders'],
  ],
])('%s: one apply captures each under its own', async (_, rename, tables) => {
  await db.sql('create table shop.returns (id int primary key, region text, amount int not null)')
  await planAndApply(db.database, over('orders', 'returns'), populated)
  await db.sql(rename)
  await planAndApply(db.database, over(...tables), populated)
  expect((await planConfiguration(db.database, configured(over(...tables)))).steps).toEqual([])
  for (const name of tables) {
    const view = `public.of_${name}`
    await db.sql(`call tidemark.run('${view}')`)
    await db.sql(
      `insert into shop.${name} values (1000, 'new', 9); update shop.${name} set amount = 10 where id = 1000`,
    )
    // A rename is followed: by functions that captures of the same row share.
    await db.sql(
      `alter table shop.${name} rename amount to price; update shop.${name} set price = 11 where id = 1000`,
    )
    await db.sql(`call tidemark.run('${view}')`)
    expect(await db.sql(`select total::int as total from ${view} where region = 'new'`)).toEqual([
      { total: 11 },
    ])
    const [run] = await db.sql(
      `select method, status from tidemark.run where view = '${view}' order by run_id desc limit 1`,
    )
    expect(run).toEqual({ method: 'incremental', status: 'completed' })
  }
})

test('tables that exchange names after an apply that was broken off: what is captured by now stays so', async () => {
  await db.sql('create table shop.incoming (like shop.orders including all)')
  await planAndApply(db.database, over('orders', 'incoming'), populated)
  await db.sql(
    'alter table shop.orders rename to former; alter table shop.incoming rename to orders',
  )
  // The last step of this one would have released what is no longer read.
  const plan = await planConfiguration(db.database, configured(over('orders')))
  const steps = plan.steps.filter(({ kind, noun }) => kind !== 'drop' || noun !== 'source')
  expect(steps).toHaveLength(plan.steps.length - 1)
  await apply(db.database, { ...plan, steps }, populated)
  await db.sql('create table shop.incoming (like shop.orders including all)')
  await planAndApply(db.database, over('orders', 'incoming'), populated)
  expect(
    await db.sql(
      'select name from tidemark.source where tidemark.source_problem(name) is not null',
    ),
  ).toEqual([])
  expect(
    (await planConfiguration(db.database, configured(over('orders', 'incoming')))).steps,
  ).toEqual([])
  for (const name of ['orders', 'incoming']) {
    await db.sql(`call tidemark.run('public.of_${name}')`)
    await db.sql(
      `alter table shop.${name} rename amount to price; insert into shop.${name} values (1000, 'new', 9)`,
    )
    await db.sql(`call tidemark.run('public.of_${name}')`)
    expect(await db.sql(`select total::int as total from of_${name} where region = 'new'`)).toEqual(
      [{ total: 9 }],
    )
  }
})

test('a column and a view between are renamed: everything goes on, and an apply with the names keeps the rows', async () => {
  await db.sql(
    'alter table shop.orders rename column amount to price; alter view shop.paid rename to settled',
  )
  expect(await refreshed('shop.orders')).toEqual(asEver)
  expect(await states()).toEqual(allFresh)
  const renamed = config({ amount: 'price', paid: 'shop.settled' })
  const plan = await planAndApply(db.database, renamed, { populate: true })
  expect(titles(plan).filter((title) => !title.startsWith('~'))).toEqual([])
  expect((await planConfiguration(db.database, configured(renamed))).steps).toEqual([])
  expect(await refreshed('shop.orders')).toEqual(asEver)
  expect(await states()).toEqual(allFresh)
})

test('a function is renamed: the view that calls it is unknown until an apply', async () => {
  await db.sql('alter function shop.weighed rename to weight')
  expect(await states()).toEqual({ ...allFresh, weighed: 'unknown definition_changed' })
  const renamed = config({ weighed: 'shop.weight' })
  const plan = await planAndApply(db.database, renamed, { populate: true })
  expect(titles(plan)).toEqual(['~ view public.weighed'])
  expect(await refreshed('shop.orders')).toEqual(asEver)
})

test('what is renamed is given back under the name that it has', async () => {
  await db.sql(`alter table shop.orders rename to purchases;
    alter view sales rename to sold; alter table shown rename to seen; alter view kept set schema shop`)
  await destroyAll(db.database)
  expect(await db.sql(`select region, total::int as total from sold where region = 'r1'`)).toEqual([
    { region: 'r1', total: 145 },
  ])
  const [left] = await db.sql(
    `select count(*)::int as n from pg_class where relname in ('sales', 'shown', 'seen', 'kept')`,
  )
  expect(left).toEqual({ n: 0 })
})

test('maintained views that are renamed say so, and are the same views once they are declared by these names', async () => {
  const names: Readonly<Record<string, string>> = {
    kept: 'shop.kept',
    shown: 'public.seen',
    plain: 'public.bare',
    sales: 'public.sold',
  }
  const oids = (among: readonly string[]): Promise<readonly unknown[]> =>
    db.sql(
      `select n::regclass::oid::text as oid, has_table_privilege('public', n, 'select') as readable from unnest($1::text[]) n`,
      [among],
    )
  await db.sql(`grant select on ${Object.keys(names).join(', ')} to public`)
  const before = await oids(Object.keys(names))
  await db.sql(`alter view kept set schema shop; alter table shown rename to seen;
    alter materialized view plain rename to bare; alter view sales rename to sold`)
  const unknown = Object.keys(names).map((view) => [view, 'unknown view_renamed'])
  expect(await states()).toEqual({ ...allFresh, ...Object.fromEntries(unknown) })
  const declared = Object.entries(config().views).map(([name, view]) => {
    const now = names[name.replace('public.', '')] ?? name
    return [now, 'adopt' in view ? { adopt: now } : view] as const
  })
  const renamed = { views: Object.fromEntries(declared) }
  const plan = await planAndApply(db.database, renamed, { populate: true })
  expect(titles(plan).toSorted()).toEqual(
    Object.values(names)
      .map((name) => `~ view ${name}`)
      .toSorted(),
  )
  for (const { detail } of plan.steps) expect(detail).toMatch(/ now: its rows stay/)
  expect((await planConfiguration(db.database, configured(renamed))).steps).toEqual([])
  expect(await oids(Object.values(names))).toEqual(before)
  await db.sql(`update shop.orders set region = 'x' where id = 7`)
  for (const now of Object.values(names)) {
    await db.sql(`call tidemark.run('${now}', 'event', 'test')`)
    const differing = `table ${now} except all table tidemark_state."source of ${now}"`
    expect(await db.sql(`select count(*)::int as rows from (${differing}) d`)).toEqual([
      { rows: 0 },
    ])
  }
  expect(await db.sql(`select view from tidemark.freshness where state <> 'fresh'`)).toEqual([])
  await destroyAll(db.database)
})
