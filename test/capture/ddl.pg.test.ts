import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import { openSession } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import {
  bagOf,
  capture,
  entries,
  logOf,
  outcomeOf,
  sum,
  sumOfChanges,
  negated,
} from './captured.ts'

const shapes = [
  ['marks', 'statement'],
  ['rows', 'statement'],
  ['marks', 'row'],
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

  const sql = (text: string): Promise<unknown> => db.sql(text.replaceAll('shop', schema))
  /** Each statement in a transaction of its own. */
  const inTurn = async (text: string): Promise<void> => {
    for (const statement of text.split(';')) await sql(statement)
  }
  const gaps = async (): Promise<readonly string[]> =>
    (
      await db.sql<{ reason: string }>('select reason from tidemark.gap where source = $1', [
        orders,
      ])
    ).map(({ reason }) => reason)

  beforeEach(async () => {
    made += 1
    schema = `shop_${made}`
    orders = relationName(schema, 'orders')
    await sql(
      `create schema shop; create type shop.mood as enum ('happy');
       create table shop.orders (id int, junk text, total numeric, note text, mood shop.mood);
       insert into shop.orders select g, 'j', g, 'n', 'happy' from generate_series(1, 5) g`,
    )
    await capture(db.database, orders, { mode, columns: ['id', 'total', 'mood'], firing })
  })

  test('capture follows columns that are added, renamed or dropped unneeded', async () => {
    await inTurn(
      `insert into shop.orders (id, total) values (10, 1);
       alter table shop.orders add column extra int default 3;
       update shop.orders set total = total + 1;
       alter table shop.orders rename column total to amount;
       update shop.orders set amount = amount * 2, extra = 4;
       alter table shop.orders drop column junk;
       insert into shop.orders (id, amount) values (11, 8);
       alter table shop.orders alter column note type varchar(20);
       delete from shop.orders where id = 2`,
    )
    const now = await bagOf(db.database, orders, ['id', 'amount', 'mood'])
    if (mode === 'rows') {
      const before = new Map([1, 2, 3, 4, 5].map((id) => [`(${id},${id},happy)`, 1]))
      const described = await sumOfChanges(db.database, orders, ['id', 'total', 'mood'], '1:1:')
      expect(entries(described ?? new Map())).toEqual(entries(sum(now, negated(before))))
    } else {
      const marks = await db.sql(`select from tidemark."log 0 ${orders}"
        union all select from tidemark."log 1 ${orders}" union all select from tidemark."log 2 ${orders}"`)
      expect(marks.length).toBe(5)
    }
    expect(await gaps()).toEqual([])
  })

  test.each([
    'alter table shop.orders add column extra int not null default 3',
    'alter table shop.orders add column doubled numeric generated always as (total * 2) stored',
    'alter table shop.orders alter column note type varchar(20)',
  ])('whoever alters what nobody needs is not refused: %s', async (text) => {
    await inTurn(`update shop.orders set total = 8; ${text}; update shop.orders set total = 9`)
    expect(await gaps()).toEqual([])
  })

  test('a column of a composite type that was renamed is read as it is', async () => {
    const places = relationName(schema, 'places')
    await sql(`create type shop.point as (name text, x int);
      create table shop.places (id int, point shop.point);
      insert into shop.places select g, row('p' || g, g)::shop.point from generate_series(1, 2) g`)
    await capture(db.database, places, { mode, columns: ['id', 'point'], firing })
    await inTurn(`alter table shop.places rename column point to spot;
      update shop.places set spot.x = 7 where id = 1;
      insert into shop.places values (3, null)`)
    if (mode === 'marks') return
    const described = await sumOfChanges(db.database, places, ['id', 'point'], '1:1:')
    expect(entries(described ?? new Map())).toEqual([
      ['(1,"(p1,1)")', -1],
      ['(1,"(p1,7)")', 1],
      ['(3,)', 1],
    ])
  })

  test('a transaction of before a rename writes after it, and the log has what it wrote', async () => {
    const writer = await openSession(db.url)
    try {
      await writer.query('begin isolation level repeatable read; select 1')
      await sql('alter table shop.orders rename column total to amount')
      await writer.query(`update ${schema}.orders set amount = 70 where id = 1; commit`)
    } finally {
      await writer.close()
    }
    const now = await bagOf(db.database, orders, ['id', 'amount', 'mood'])
    expect(await gaps()).toEqual([])
    if (mode === 'marks') return
    const before = new Map([1, 2, 3, 4, 5].map((id) => [`(${id},${id},happy)`, 1]))
    const described = await sumOfChanges(db.database, orders, ['id', 'total', 'mood'], '1:1:')
    expect(entries(described ?? new Map())).toEqual(entries(sum(now, negated(before))))
  })

  test('capture follows a table that is renamed or moved to another schema', async () => {
    await inTurn(
      `alter table shop.orders rename to sales; update shop.sales set total = 50 where id = 1;
       create schema shop_moved; alter table shop.sales set schema shop_moved;
       delete from shop_moved.sales where id = 2`,
    )
    const rows = await db.sql<{ n: number }>(
      `select count(*)::int as n from (select from tidemark."log 0 ${orders}"
        union all select from tidemark."log 1 ${orders}" union all select from tidemark."log 2 ${orders}") l`,
    )
    expect(rows[0]?.n).toBe(2)
  })

  test.each([
    ['dropping a captured column', 'alter table shop.orders drop column total'],
    [
      'changing the type of a captured column',
      'alter table shop.orders alter column total type bigint',
    ],
    ['dropping the table', 'drop table shop.orders'],
    ['dropping the type of a captured column', 'drop type shop.mood'],
  ])('%s is refused, and the refusal names the mend', async (_, text) => {
    const refused: unknown = await sql(text).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(refused).toBeInstanceOf(Error)
    const detail = [refused, refused instanceof Error ? refused.cause : undefined]
      .map((error) => JSON.stringify(error, ['message', 'detail', 'hint', 'what', 'mend']))
      .join(' ')
    expect(detail).toContain(`${orders} is captured; run tidemark plan`)
    await sql('update shop.orders set total = 9')
    expect(await gaps()).toEqual([])
  })

  test('a captured column that is dropped by CASCADE leaves gaps, and writers do not notice', async () => {
    await sql('alter table shop.orders drop column total cascade')
    await inTurn(
      `insert into shop.orders (id) values (20), (21); update shop.orders set note = 'm'; delete from shop.orders;
       truncate shop.orders`,
    )
    const reasons = await gaps()
    const logged = await db.sql<{ w: number }>(`select w from ${logOf(orders)} l`)
    // What needs no image is marked as ever: nothing goes missing.
    expect([reasons.length, logged.length]).toEqual(mode === 'rows' ? [3, 1] : [1, 3])
    expect(reasons[0]).toMatch(/^column_dropped: .* run tidemark plan$/)
  })

  test('a gap is not written by a statement that changes nothing', async () => {
    await sql('alter table shop.orders drop column total cascade')
    const session = await db.session()
    await session.query(`update ${orders} set note = 'm' where false`)
    expect(await gaps()).toEqual([])
  })

  test('many rows of one transaction leave one gap under row triggers', async () => {
    await sql('drop type shop.mood cascade')
    await sql(`begin; insert into shop.orders (id) select generate_series(1, 500);
               update shop.orders set note = 'x'; commit`)
    expect((await gaps()).length).toBe(mode === 'rows' && firing === 'statement' ? 2 : 1)
  })

  test('a table dropped by CASCADE takes its triggers with it', async () => {
    await sql(
      'drop table shop.orders cascade; create table shop.orders (id int); insert into shop.orders values (1)',
    )
    expect(await gaps()).toEqual([])
  })

  test('a disabled trigger is what only the fingerprint can see, and installing again leaves a gap', async () => {
    await sql('alter table shop.orders disable trigger all; delete from shop.orders where id = 1')
    await capture(db.database, orders, { mode, columns: ['id', 'total', 'mood'], firing })
    expect(await gaps()).toEqual(['trigger_missing: capture did not hold'])
    const { logged } = await outcomeOf(db.database, orders, { mode, columns: ['id'] }, () =>
      sql('delete from shop.orders where id = 2'),
    )
    expect(logged).toBe(1)
  })
})

test('after DROP SCHEMA tidemark CASCADE writers go on as if it had never been there', async () => {
  const gone = await createInstalledDatabase()
  try {
    await gone.sql(`create table public.plain (id int, total int); insert into public.plain values (1, 1);
      create table public.parted (id int, total int) partition by range (id);
      create table public.parted1 partition of public.parted for values from (0) to (10);
      create table public.parent (id int, total int); create table public.child () inherits (public.parent)`)
    const events = [{ rule: 'big', on: ['insert' as const], condition: '($1).total > 5' }]
    for (const name of ['plain', 'parted', 'parent']) {
      await capture(gone.database, relationName('public', name), { mode: 'rows', events })
    }
    const session = await gone.session()
    // Its plans were made while Tidemark was there.
    await session.query(
      'insert into public.plain values (2, 9); insert into public.parted values (2, 9)',
    )
    await gone.sql('drop schema tidemark cascade')
    for (const table of ['plain', 'parted', 'parted1', 'parent', 'child']) {
      await session.query(
        `insert into public.${table} values (3, 9); update public.${table} set total = 10;
         delete from public.${table} where id = 3; truncate public.${table}`,
      )
    }
    const left = await gone.sql('select tgname from pg_trigger where not tgisinternal')
    expect(left).toEqual([])
  } finally {
    await gone.drop()
  }
})
