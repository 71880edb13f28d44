import { afterEach, beforeEach, expect, test } from 'vitest'
import { configurationOf } from '../../src/define/config/load-configuration.ts'
import { apply, applyConfiguration, planConfiguration } from '../../src/engine/define.ts'
import type { Configuration } from '../../src/model/declaration.ts'
import { refreshNow } from '../../src/queue/by-hand.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'

let db: TestDatabase
let configuration: Configuration

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table orders (id int primary key, region text, amount int);
    create table refunds (id int primary key, amount int);
    insert into orders values (1, 'north', 5), (2, 'south', 7);
    create function weighed(amount int) returns int language sql immutable as 'select amount * 10';
    create view paid as select region, amount from orders`)
  configuration = configurationOf(
    {
      views: {
        totals: { sql: 'select region, sum(weighed(amount)) as total from paid group by region' },
      },
    },
    process.cwd(),
  )
  await applyConfiguration(db.database, configuration)
})
afterEach(() => db.drop())

const state = async (): Promise<string | undefined> => {
  const [row] = await db.sql<{ state: string; reason: string | null }>(
    'select state, reason from tidemark.freshness',
  )
  return `${row?.state ?? ''} ${row?.reason?.split(':')[0] ?? ''}`.trim()
}
const refresh = (): Promise<unknown> =>
  refreshNow(db.database, { view: 'totals', triggerType: 'manual', triggeredBy: 'test' })

test('law: an inner view that is replaced makes the view unknown, and one apply mends it', async () => {
  expect(await state()).toBe('fresh')
  await db.sql(`create or replace view paid as
    select o.region, o.amount - coalesce(r.amount, 0) as amount from orders o left join refunds r using (id)`)
  expect(await state()).toBe('unknown definition_changed')
  await applyConfiguration(db.database, configuration)
  expect(await state()).toBe('fresh')
  await db.sql('insert into refunds values (1, 5)')
  const [behind] = await db.sql<{ stale: boolean }>(
    'select staleness_ms > 0 as stale from tidemark.freshness',
  )
  expect(behind?.stale).toBe(true)
  expect((await planConfiguration(db.database, configuration)).steps).toEqual([])
})

test('law: a function that is replaced makes the view unknown, and one apply computes it anew', async () => {
  await db.sql(
    `create or replace function weighed(amount int) returns int language sql immutable as 'select amount * 100'`,
  )
  expect(await state()).toBe('unknown definition_changed')
  await applyConfiguration(db.database, configuration)
  expect(await state()).toBe('fresh')
  expect(await db.sql('select total from totals order by 1')).toEqual([
    { total: 500 },
    { total: 700 },
  ])
})

test('a plan is refused once a function beneath one of its views was replaced', async () => {
  const sooner = configurationOf(
    {
      views: {
        totals: {
          sql: 'select region, sum(weighed(amount)) as total from paid group by region',
          target: '1m',
        },
      },
    },
    process.cwd(),
  )
  const plan = await planConfiguration(db.database, sooner)
  await db.sql(
    `create or replace function weighed(amount int) returns int language sql immutable as 'select amount * 100'`,
  )
  await expect(apply(db.database, plan)).rejects.toMatchObject({ code: 'TIDEMARK_PLAN_STALE' })
})

test('renamed tables, columns and schemas are followed without an apply', async () => {
  await db.sql(`create schema shop;
    alter table orders rename column amount to cents;
    alter table orders rename to purchases;
    alter table purchases set schema shop;
    insert into shop.purchases values (3, 'north', 1)`)
  await refresh()
  expect(await state()).toBe('fresh')
  expect(await db.sql('select region, total from totals order by 1')).toEqual([
    { region: 'north', total: 60 },
    { region: 'south', total: 70 },
  ])
})

test('a table swapped for another under its name: the view goes on with the one that is captured', async () => {
  await db.sql(`alter table orders rename to former;
    create table orders (id int primary key, region text, amount int);
    insert into orders values (9, 'west', 9);
    insert into former values (3, 'north', 1)`)
  await refresh()
  expect(await state()).toBe('fresh')
  expect(await db.sql('select count(*)::int as n from totals')).toEqual([{ n: 2 }])
})
