import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { relationName } from '../../src/model/ids.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import { capture, entries, outcomeOf, shapeOf } from './captured.ts'

const orders = relationName('public', 'orders')
const parted = relationName('public', 'parted')
const subscription = `subscription_${process.pid}_${Date.now().toString(36)}`
let publisher: TestDatabase
let subscriber: TestDatabase

const tables = `
  create table public.orders (id int primary key, total numeric, note text);
  create table public.parted (id int primary key, total numeric) partition by range (id);
  create table public.parted_1 partition of public.parted for values from (0) to (100);`

beforeAll(async () => {
  publisher = await createTestDatabase()
  subscriber = await createInstalledDatabase()
  await publisher.sql(
    `${tables} insert into public.orders values (1, 1, 'n'); create publication everything for all tables;`,
  )
  // In a statement of its own: a slot is not made in a transaction that has written.
  await publisher.sql(`select pg_create_logical_replication_slot('${subscription}', 'pgoutput')`)
  await subscriber.sql(tables)
  const url = new URL(publisher.url)
  await subscriber.sql(
    `create subscription ${subscription}
     connection 'host=${url.hostname} port=${url.port} user=postgres dbname=${publisher.name}'
     publication everything with (create_slot = false, slot_name = '${subscription}')`,
  )
  await until(async () => (await subscriber.sql('select from public.orders')).length === 1)
})

afterAll(async () => {
  await subscriber.sql(`alter subscription ${subscription} disable`)
  await subscriber.sql(`alter subscription ${subscription} set (slot_name = none)`)
  await subscriber.sql(`drop subscription ${subscription}`)
  await until(async () => {
    const held = await publisher.sql(
      'select from pg_replication_slots where slot_name = $1 and active',
      [subscription],
    )
    return held.length === 0
  })
  await publisher.sql('select pg_drop_replication_slot($1)', [subscription])
  await subscriber.drop()
  await publisher.drop()
})

/** Waits for a state; the test's own time limit ends it. */
async function until(state: () => Promise<boolean>): Promise<void> {
  while (!(await state())) await sleep(20)
}

test.each(['marks', 'rows'] as const)(
  'in mode %s, what logical replication applies is in the log',
  async (mode) => {
    for (const table of [orders, parted]) {
      expect((await shapeOf(subscriber.database, table)).subscribed).toBe(true)
      await capture(subscriber.database, table, { mode, columns: ['id', 'total'] })
      const columns = ['id', 'total']
      const seen = await outcomeOf(subscriber.database, table, { mode, columns }, async () => {
        await publisher.sql(
          `insert into ${table} (id, total) values (10, 1), (11, 2); update ${table} set total = 5 where id = 10;
           delete from ${table} where id = 11; insert into ${table} values (12, 12)`,
        )
        await until(
          async () => (await subscriber.sql(`select from ${table} where id = 12`)).length === 1,
        )
      })
      expect(seen.difference.size).toBe(2)
      expect(seen.logged).toBeGreaterThan(0)
      if (mode === 'rows')
        expect(entries(seen.described ?? new Map())).toEqual(entries(seen.difference))
      const truncated = await outcomeOf(subscriber.database, table, { mode, columns }, async () => {
        await publisher.sql(`truncate ${table}`)
        await until(async () => (await subscriber.sql(`select from ${table}`)).length === 0)
      })
      expect(truncated.logged).toBeGreaterThan(0)
    }
  },
)
