import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { Outcome } from './captured.ts'
import { capture, changesBetween, entries, logOf, outcomeOf, snapshotOf } from './captured.ts'

const columns = ['id', 'customer', 'total', 'seller']

const shapes = [
  ['marks', 'statement'],
  ['marks', 'row'],
  ['rows', 'statement'],
  ['rows', 'row'],
] as const

let db: TestDatabase
let made = 0

beforeAll(async () => {
  db = await createInstalledDatabase()
})
afterAll(() => db.drop())

describe.each(shapes)('mode %s, %s triggers', (mode, firing) => {
  /** Each test has a schema of its own, in place of `shop`. */
  let schema: string
  let orders: RelationName

  const own = (sql: string): string => sql.replaceAll('shop.', `${schema}.`)
  const sql = (text: string): Promise<unknown> => db.sql(own(text))
  const outcome = (action: () => Promise<unknown>): Promise<Outcome> =>
    outcomeOf(db.database, orders, { mode, columns }, action)

  beforeEach(async () => {
    made += 1
    schema = `shop${made}`
    orders = relationName(schema, 'orders')
    await sql(
      `create schema ${schema};
       create table shop.customers (id int primary key);
       create table shop.orders (id int primary key, total numeric, note text,
         customer int references shop.customers on delete cascade on update cascade,
         seller int references shop.customers on delete set null);
       insert into shop.customers select generate_series(1, 9);
       insert into shop.orders select g, g, 'n', g % 3 + 1, 9 from generate_series(1, 9) g`,
    )
    await capture(db.database, orders, { mode, columns, firing })
  })

  test.each([
    ['a cascading delete', 'delete from shop.customers where id = 1'],
    ['a cascading update', 'update shop.customers set id = 100 where id = 2'],
    ['SET NULL', 'delete from shop.customers where id = 9'],
  ])('%s of a foreign key is in the log', async (_, text) => {
    const { difference, described, logged } = await outcome(() => sql(text))
    expect(difference.size).toBeGreaterThan(0)
    expect(logged).toBeGreaterThan(0)
    if (mode === 'rows') expect(entries(described ?? new Map())).toEqual(entries(difference))
  })

  test('what a savepoint took back is not in the log, and what follows it is', async () => {
    const { difference, described, transactions } = await outcome(() =>
      sql(
        `begin;
         savepoint one; update shop.orders set total = 100; rollback to one;
         savepoint two; update shop.orders set total = 50 where id = 1; release two;
         savepoint three; savepoint four; delete from shop.orders where id < 4; rollback to three;
         update shop.orders set total = 51 where id = 2; commit`,
      ),
    )
    expect(transactions).toBe(1)
    expect(difference.size).toBe(4)
    if (mode === 'rows') expect(entries(described ?? new Map())).toEqual(entries(difference))
  })

  test('a change whose first mark was taken back with a savepoint is marked again', async () => {
    const { logged } = await outcome(() =>
      sql(
        `begin; savepoint one; update shop.orders set total = 7; rollback to one;
         insert into shop.orders (id) values (70); commit`,
      ),
    )
    expect(logged).toBe(1)
  })

  test('a transaction that was rolled back leaves nothing in the log', async () => {
    const { logged } = await outcome(() => sql('begin; update shop.orders set total = 0; rollback'))
    expect(logged).toBe(0)
  })

  test('a prepared transaction is in the log once it is committed', async () => {
    const before = await snapshotOf(db.database)
    await sql(
      `begin; update shop.orders set total = 1000 where id = 1; prepare transaction '${schema}'`,
    )
    const between = await snapshotOf(db.database)
    expect(await changesBetween(db.database, orders, before)).toEqual([])
    await sql(`commit prepared '${schema}'`)
    // Who looked while it was prepared finds it now: it was running then.
    expect(await changesBetween(db.database, orders, between)).not.toEqual([])
    expect(await changesBetween(db.database, orders, before)).not.toEqual([])
  })

  test('what a snapshot does not reflect is told alike of few transactions and of many', async () => {
    const told: unknown[] = []
    const snapshots = [await snapshotOf(db.database)]
    await sql(`begin; insert into shop.orders (id) values (100); prepare transaction '${schema}'`)
    for (let turn = 0; turn < 90; turn += 1) {
      await sql(`update shop.orders set total = total + 1 where id > ${turn % 12}`)
      if (turn % 8 === 0) snapshots.push(await snapshotOf(db.database))
    }
    const log = logOf(orders)
    for (const snapshot of [...snapshots, await snapshotOf(db.database)]) {
      if (told.length === 6) await sql(`commit prepared '${schema}'`)
      const [row] = await db.sql<{ told: string; all: string }>(
        `select array(select x from unnest(tidemark.unreflected('${orders}', '${snapshot}')) x order by x)::text as told,
           array(select distinct xid from ${log} l where not pg_visible_in_snapshot(xid, '${snapshot}') order by xid)::text as all`,
      )
      expect(row?.told).toBe(row?.all)
      told.push(row?.told)
    }
    expect(new Set(told).size).toBe(told.length)
    // The one that was open all the time.
    expect(told.at(-1)).toMatch(/^\{\d+\}$/)
  })

  test('a prepared transaction that was rolled back is not in the log', async () => {
    const { logged } = await outcome(async () => {
      await sql(`begin; update shop.orders set total = 1000; prepare transaction '${schema}'`)
      await sql(`rollback prepared '${schema}'`)
    })
    expect(logged).toBe(0)
  })

  test('session_replication_role = replica hides nothing', async () => {
    const { logged } = await outcome(() =>
      sql(
        `begin; set local session_replication_role = replica;
         update shop.orders set total = total + 1; commit`,
      ),
    )
    expect(logged).toBeGreaterThan(0)
  })

  test('a statement that changes nothing takes no transaction id', async () => {
    const session = await db.session()
    await session.transaction(async (transaction) => {
      await transaction.query(
        own(
          `update shop.orders set total = 1 where false; delete from shop.orders where false;
           insert into shop.orders (id) select 1 where false`,
        ),
      )
      const [found] = await transaction.query<{ xid: string | null }>(
        'select pg_current_xact_id_if_assigned()::text as xid',
      )
      expect(found?.xid).toBeNull()
    })
  })

  test('an update of 2,000 rows is compared row by row', async () => {
    await sql('insert into shop.orders (id, total) select g, 1 from generate_series(1001, 3000) g')
    const untouched = await outcome(() => sql('update shop.orders set note = $$m$$'))
    expect(untouched.logged).toBe(0)
    const { difference, described, logged } = await outcome(() =>
      sql('update shop.orders set total = case when id = 2999 then 5 else total end'),
    )
    expect(difference.size).toBe(2)
    expect(logged).toBe(1)
    if (mode === 'rows') expect(entries(described ?? new Map())).toEqual(entries(difference))
  })

  test.each(['(0,1)', '(4000000,1)', '(99999999999,99999)', '(1', '', 'x'])(
    'a setting forged to %s hides no change',
    async (place) => {
      await sql('insert into shop.orders (id) values (50)')
      const [found] = await db.sql<{ text: string }>(
        `select string_agg(prosrc, ' ') as text from pg_proc where proname like 'capture %${orders}'`,
      )
      const settings = new Set(found?.text.match(/tidemark\.at_[0-9a-f]+/g) ?? ['tidemark.none'])
      const session = await db.session()
      for (const name of settings) {
        await session.query('select set_config($1, $2, false)', [name, place])
      }
      const { logged } = await outcome(() =>
        session.query(own('insert into shop.orders (id) values (51)')),
      )
      expect(logged).toBe(1)
    },
  )

  test('one transaction of many statements marks once or once a statement, never once a row', async () => {
    const { logged } = await outcome(() =>
      sql(
        `begin; insert into shop.orders (id) select generate_series(1001, 3000);
         delete from shop.orders where id > 1000; commit`,
      ),
    )
    expect(logged).toBe(mode === 'rows' ? 4000 : firing === 'row' ? 1 : 2)
  })
})
