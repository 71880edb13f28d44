import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { BoundEvent } from '../../src/model/capture.ts'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { capture } from './captured.ts'

let db: TestDatabase
let made = 0

beforeAll(async () => {
  db = await createInstalledDatabase()
})
afterAll(() => db.drop())

describe.each([
  ['marks', 'statement'],
  ['marks', 'row'],
  ['rows', 'statement'],
  ['rows', 'row'],
] as const)('mode %s, %s triggers', (mode, firing) => {
  let orders: RelationName
  const sql = (text: string): Promise<unknown> => db.sql(text.replaceAll('orders', orders))

  async function raised(text: string): Promise<readonly string[]> {
    await db.sql('delete from tidemark.event')
    await sql(text)
    const rows = await db.sql<{ rule: string }>('select rule from tidemark.event order by rule')
    return rows.map(({ rule }) => rule.replace(`${orders} `, ''))
  }

  beforeEach(async () => {
    made += 1
    const schema = `shop${made}`
    orders = relationName(schema, 'sales')
    await db.sql(
      `create schema ${schema}; create table ${orders} (id int, total numeric, note text, status text);
       insert into ${orders} select g, g, 'n', 'new' from generate_series(1, 5) g`,
    )
    const events: BoundEvent[] = [
      { rule: `${orders} big`, on: ['insert', 'update'], condition: '($1).total >= 10000' },
      { rule: `${orders} gone's`, on: ['delete'], condition: `($1).status = 'paid'` },
      { rule: `${orders} paid`, on: ['update'], condition: `($1).status = 'paid'` },
    ]
    await capture(db.database, orders, { mode, columns: ['id', 'total', 'status'], events, firing })
  })

  test('an insert that meets a condition raises its rule once, however many rows do', async () => {
    expect(await raised('insert into orders values (6, 10000), (7, 20000), (8, 1)')).toEqual([
      'big',
    ])
  })

  test('an insert that meets no condition raises nothing', async () => {
    expect(
      await raised(`insert into orders values (6, 9999.99, 'n', 'paid'), (7, null, 'n', 'new')`),
    ).toEqual([])
  })

  test('an update raises the rules that its new rows meet', async () => {
    expect(await raised(`update orders set total = 10000, status = 'paid' where id = 1`)).toEqual([
      'big',
      'paid',
    ])
    expect(await raised(`update orders set total = 10001, status = 'paid'`)).toEqual([
      'big',
      'paid',
    ])
  })

  test('a row that an update leaves as it was raises nothing, though it meets a condition', async () => {
    await sql(`update orders set status = 'paid' where id in (1, 2)`)
    expect(await raised(`update orders set status = 'paid' where id = 1`)).toEqual([])
    expect(await raised(`update orders set note = 'm'`)).toEqual([])
    expect(await raised(`update orders set total = total + (id = 3)::int`)).toEqual([])
    expect(await raised(`update orders set total = total + (id = 2)::int`)).toEqual(['paid'])
  })

  test('a delete is judged by the rows that went', async () => {
    await sql(`update orders set status = 'paid' where id = 1`)
    expect(await raised('delete from orders where id = 2')).toEqual([])
    expect(await raised('delete from orders')).toEqual([`gone's`])
  })

  test('a change that was rolled back to a savepoint raises nothing, and one after it does', async () => {
    expect(
      await raised(
        `begin; savepoint a; insert into orders values (6, 10000); rollback to a;
         insert into orders values (7, 1); commit`,
      ),
    ).toEqual([])
    expect(
      await raised(
        `begin; savepoint a; insert into orders values (6, 10000); rollback to a;
         insert into orders values (7, 10000); commit`,
      ),
    ).toEqual(['big'])
  })

  test('conditions follow a column that is renamed', async () => {
    await sql('alter table orders rename column total to amount')
    expect(await raised('insert into orders (amount) values (10000)')).toEqual(['big'])
  })

  test('rules that are gone take their functions with them, the others stay', async () => {
    const kept: BoundEvent[] = [
      { rule: `${orders} big`, on: ['insert'], condition: '($1).total >= 5' },
    ]
    await capture(db.database, orders, {
      mode,
      columns: ['id', 'total', 'status'],
      events: kept,
      firing,
    })
    const functions = await db.sql(
      `select proname from pg_proc where proname like 'event ${orders}%'`,
    )
    expect(functions.length).toBe(1)
    expect(await raised(`update orders set status = 'paid'`)).toEqual([])
    expect(await raised('insert into orders values (9, 5)')).toEqual(['big'])
  })
})
