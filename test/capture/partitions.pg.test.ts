import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import { serverVersion } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { Outcome } from './captured.ts'
import { capture, entries, outcomeOf, shapeOf } from './captured.ts'

const columns = ['id', 'total']
let db: TestDatabase
let made = 0

beforeAll(async () => {
  db = await createInstalledDatabase()
})
afterAll(() => db.drop())

describe.each(['marks', 'rows'] as const)('mode %s', (mode) => {
  let schema: string
  let orders: RelationName
  const sql = (text: string): Promise<unknown> => db.sql(text.replaceAll('%s', schema))
  const outcome = (text: string): Promise<Outcome> =>
    outcomeOf(db.database, orders, { mode, columns }, () => sql(text))
  const described = ({ described: found, difference }: Outcome): void => {
    if (mode === 'rows') expect(entries(found ?? new Map())).toEqual(entries(difference))
  }

  beforeEach(async () => {
    made += 1
    schema = `shop${made}`
    orders = relationName(schema, 'orders')
    await sql(
      `create schema %s;
       create table %s.orders (junk int, id int not null, total numeric, note text) partition by range (id);
       alter table %s.orders drop column junk;
       create table %s.low partition of %s.orders for values from (0) to (100);
       insert into %s.orders select g, g, 'n' from generate_series(1, 5) g`,
    )
    await capture(db.database, orders, { mode, columns })
  })

  test('a partition created later is captured, by its own name too, and in replica role', async () => {
    await sql('create table %s.high partition of %s.orders for values from (100) to (200)')
    const seen = await outcome(
      `insert into %s.orders values (150, 1); insert into %s.high values (151, 2);
       set session_replication_role = replica; update %s.high set total = 3; reset session_replication_role`,
    )
    expect(seen.difference.size).toBe(2)
    expect(seen.logged).toBe(mode === 'rows' ? 4 : 1)
    described(seen)
  })

  test('a partition attached later is captured, whatever the order of its columns', async () => {
    await sql(
      `create table %s.high (note text, gone int, total numeric, id int not null);
       alter table %s.high drop column gone;
       alter table %s.orders attach partition %s.high for values from (100) to (200)`,
    )
    const seen = await outcome(
      `insert into %s.high (id, total) values (150, 1), (151, 2); update %s.orders set total = total * 2 where id >= 100;
       delete from %s.high where id = 151; update %s.orders set id = id + 100 where id = 5`,
    )
    expect(seen.difference.size).toBe(3)
    described(seen)
  })

  test('writes to a partition that was detached are no longer in the log', async () => {
    await sql('alter table %s.orders detach partition %s.low')
    const seen = await outcome(
      'insert into %s.low values (50, 50); delete from %s.low where id = 1',
    )
    expect(seen.logged).toBe(0)
  })

  test('a row that moves to another partition leaves one and enters the other', async () => {
    await sql('create table %s.high partition of %s.orders for values from (100) to (200)')
    const seen = await outcome('update %s.orders set id = id + 100, total = 9 where id < 3')
    expect(seen.difference.size).toBe(4)
    described(seen)
  })

  test('a referenced row that moves to another partition cascades and is in the log', async (context) => {
    // PostgreSQL 14 refuses the move.
    if ((await serverVersion(db.database)) < 150_000) context.skip()
    await sql(
      `create table %s.high partition of %s.orders for values from (100) to (200);
       alter table %s.orders add primary key (id);
       create table %s.lines (order_id int references %s.orders on update cascade, n int);
       insert into %s.lines values (1, 1)`,
    )
    const lines = relationName(schema, 'lines')
    await capture(db.database, lines, { mode })
    const seen = await outcomeOf(db.database, lines, { mode, columns: ['order_id', 'n'] }, () =>
      sql('update %s.orders set id = 101 where id = 1'),
    )
    expect(seen.logged).toBeGreaterThan(0)
    described(seen)
  })

  test('a partition captured on its own sees what is written by the name of its parent', async () => {
    const low = relationName(schema, 'low')
    expect((await shapeOf(db.database, low)).child).toBe(true)
    await capture(db.database, low, { mode, columns })
    const seen = await outcomeOf(db.database, low, { mode, columns }, () =>
      sql('update %s.orders set total = 8 where id = 1; insert into %s.orders values (6, 6)'),
    )
    expect(seen.difference.size).toBe(3)
    described(seen)
  })
})

test('a child with two parents is captured when written by the name of the other', async () => {
  await db.sql(
    `create table public.one (id int); create table public.two (id int);
     create table public.both () inherits (public.one, public.two); insert into public.both values (1)`,
  )
  const one = relationName('public', 'one')
  await capture(db.database, one, { mode: 'rows' })
  const seen = await outcomeOf(db.database, one, { mode: 'rows', columns: ['id'] }, () =>
    db.sql('update public.two set id = 2'),
  )
  expect(entries(seen.described ?? new Map())).toEqual([
    ['(1)', -1],
    ['(2)', 1],
  ])
})
