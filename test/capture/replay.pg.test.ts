import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import type { Queryable, Session } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { casesOf } from '../support/shares.ts'
import type { Bag } from './captured.ts'
import { bagOf, capture, entries, snapshotOf, sum, sumOfChanges } from './captured.ts'

/** A run is repeated with the seed that it printed: TIDEMARK_SEED=… */
const seed = Number(process.env['TIDEMARK_SEED'] ?? 20261122)
const transactionsMax = process.env['TIDEMARK_LONG'] === undefined ? casesOf(60) : 1500
const writers = 4
const columns = ['id', 'total', 'detail']

let db: TestDatabase

beforeAll(async () => {
  db = await createInstalledDatabase()
})
afterAll(() => db.drop())

const definitions = {
  plain: 'create table %s.orders (id int, total numeric, detail json, note text)',
  partitioned: `create table %s.orders (id int, total numeric, detail json, note text) partition by range (id);
    create table %s.low partition of %s.orders for values from (minvalue) to (50);
    create table %s.high (note text, detail json, total numeric, id int);
    alter table %s.orders attach partition %s.high for values from (50) to (maxvalue)`,
  inherited: `create table %s.orders (id int, total numeric, detail json, note text);
    create table %s.special (extra int) inherits (%s.orders)`,
}

/** mulberry32: small, and the same on every machine. */
function randomOf(start: number): (below: number) => number {
  let state = start >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

type Random = ReturnType<typeof randomOf>

/** Values are few, so that rows repeat, go and come back, and cross partitions. */
function statement(random: Random, tables: readonly string[]): string {
  const table = tables[random(tables.length)] ?? ''
  const id = random(100)
  const total = ['1', '1.0', '1.00', '2', 'null'][random(5)] ?? ''
  const detail = [`'{}'`, `'{ }'`, 'null'][random(3)] ?? ''
  const choices = [
    `insert into ${table} (id, total, detail) values (${id}, ${total}, ${detail}), (${random(100)}, ${total}, null)`,
    `insert into ${table} (id, total, detail) values (${id}, ${total}, ${detail})`,
    `update ${table} set total = ${total} where id between ${id} and ${id + random(20)}`,
    `update ${table} set detail = ${detail}, note = 'x' where id = ${id}`,
    `update ${table} set note = note where id < ${id}`,
    `update ${table} set id = ${random(100)} where id = ${id}`,
    `update ${table} set id = 99 - id where id between ${id} and ${id + 3}`,
    `delete from ${table} where id = ${id}`,
    `delete from ${table} where id > ${90 + random(10)}`,
    `with gone as (delete from ${table} where id = ${id} returning *)
     insert into ${table} (id, total, detail) select 99 - id, total, detail from gone`,
  ]
  return choices[random(choices.length)] ?? ''
}

/** Statements with savepoints, some taken back; now and then the whole is. */
async function transaction(
  session: Session,
  random: Random,
  tables: readonly string[],
): Promise<void> {
  await session.query('begin')
  try {
    for (let steps = 1 + random(4); steps > 0; steps -= 1) {
      const savepoint = random(3) === 0
      if (savepoint) await session.query('savepoint one')
      await session.query(statement(random, tables))
      if (savepoint && random(2) === 0) await session.query('rollback to one')
    }
    await session.query(random(6) === 0 ? 'rollback' : 'commit')
  } catch {
    // Lost a race for a row that moved, or a deadlock: whatever it wrote is undone.
    await session.query('rollback')
  }
}

interface Look {
  readonly snapshot: string
  readonly bag: Bag
}

/** What the table is and which snapshot that is, as one. */
async function look(session: Session, orders: RelationName): Promise<Look> {
  return session.transaction(
    async (reading) => ({
      snapshot: await snapshotOf(reading),
      bag: await bagOf(reading, orders, columns),
    }),
    { isolation: 'repeatable read', readOnly: true },
  )
}

/** The sum of what the log had, to whoever reads it at the second look, since the first. */
async function replayed(
  session: Session,
  orders: RelationName,
  first: Look,
): Promise<readonly [Bag, Bag]> {
  return session.transaction(
    async (reading: Queryable) => {
      await snapshotOf(reading)
      const changes = await sumOfChanges(reading, orders, columns, first.snapshot)
      return [await bagOf(reading, orders, columns), sum(first.bag, changes ?? new Map())]
    },
    { isolation: 'repeatable read', readOnly: true },
  )
}

describe.each([
  ['plain', 'statement'],
  ['plain', 'row'],
  ['partitioned', 'row'],
  ['inherited', 'row'],
] as const)('%s table, %s triggers', (kind, firing) => {
  test(`law: what a table is = what it was + the log between the two snapshots (seed ${seed})`, async () => {
    const schema = `shop_${kind}_${firing}`
    const orders = relationName(schema, 'orders')
    await db.sql(
      `create schema ${schema}; ${definitions[kind].replaceAll('%s', schema)};
       insert into ${orders} (id, total, detail) select g % 100, 1, '{}' from generate_series(1, 150) g`,
    )
    await capture(db.database, orders, { mode: 'rows', columns, firing })
    const named = {
      plain: ['orders'],
      partitioned: ['orders', 'orders', 'low', 'high'],
      inherited: ['orders', 'orders', 'special'],
    }
    const tables = named[kind].map((name) => `${schema}.${name}`)
    const sessions = await Promise.all(Array.from({ length: writers }, () => db.session()))
    const reader = await db.session()
    const looks: Look[] = [await look(reader, orders)]
    let writing = sessions.length
    const work = sessions.map(async (session, at) => {
      const random = randomOf(seed + at)
      for (let done = 0; done < transactionsMax; done += 1)
        await transaction(session, random, tables)
      writing -= 1
    })
    let compared = 0
    while (writing > 0) {
      const random = randomOf(seed + compared)
      const from = looks[random(looks.length)]
      if (from === undefined) break
      const [is, ought] = await replayed(reader, orders, from)
      expect(entries(ought)).toEqual(entries(is))
      compared += 1
      looks.push(await look(reader, orders))
    }
    await Promise.all(work)
    for (const from of looks.slice(-20)) {
      const [is, ought] = await replayed(reader, orders, from)
      expect(entries(ought)).toEqual(entries(is))
    }
    expect(compared).toBeGreaterThan(0)
    await Promise.all([...sessions, reader].map((session) => session.close()))
  })
})
