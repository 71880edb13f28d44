import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { captureFunctions } from '../../src/capture/capture-function.ts'
import { captureProgram } from '../../src/capture/program.ts'
import type { CaptureWish } from '../../src/model/capture.ts'
import type { RelationName } from '../../src/model/ids.ts'
import { relationName } from '../../src/model/ids.ts'
import { captureNames } from '../../src/model/names.ts'
import { identifier } from '../../src/postgres/identifier.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { Mode } from './captured.ts'
import { capture, install, logOf, shapeOf, uninstall } from './captured.ts'

let db: TestDatabase
let made = 0

beforeAll(async () => {
  db = await createInstalledDatabase()
})
afterAll(() => db.drop())

/** All that capture could leave behind, as text. */
const everything = `
  select 'class' as kind, oid::regclass::text || relkind::text as name from pg_class
   where relnamespace in ('tidemark'::regnamespace, current_setting('test.schema')::regnamespace)
  union all
  select 'type', oid::regtype::text from pg_type
   where typnamespace in ('tidemark'::regnamespace, current_setting('test.schema')::regnamespace)
  union all
  select 'function', oid::regprocedure::text from pg_proc where pronamespace = 'tidemark'::regnamespace
  union all
  select 'trigger', tgrelid::regclass::text || tgname from pg_trigger where not tgisinternal
  order by 1, 2`

const tables = {
  plain: 'create table %s.orders (id int, total numeric, note text)',
  partitioned: `create table %s.orders (id int, total numeric, note text) partition by range (id);
    create table %s.low partition of %s.orders for values from (0) to (100);
    create table %s.high partition of %s.orders for values from (100) to (1000)`,
  inherited: `create table %s.orders (id int, total numeric, note text);
    create table %s.special (extra int) inherits (%s.orders)`,
}

describe.each(['marks', 'rows'] as const)('mode %s', (mode) => {
  describe.each(['plain', 'partitioned', 'inherited'] as const)('%s table', (kind) => {
    let schema: string
    let orders: RelationName
    const sql = (text: string): Promise<unknown> => db.sql(text.replaceAll('%s', schema))
    const present = async (): Promise<unknown> => {
      const session = await db.session()
      await session.query(`select set_config('test.schema', $1, false)`, [schema])
      const found = await session.query(everything)
      await session.close()
      return found
    }
    const wish = async (
      columns: readonly string[],
      change: Partial<CaptureWish> = {},
    ): Promise<CaptureWish> => ({
      shape: await shapeOf(db.database, orders),
      mode,
      columns,
      events: [],
      wakes: false,
      cached: false,
      ...change,
    })
    const logged = async (): Promise<number> =>
      (await db.sql(`select from ${logOf(orders)} l`)).length
    const gaps = (): Promise<unknown> =>
      db
        .sql<{ reason: string }>('select reason from tidemark.gap where source = $1', [orders])
        .then((rows) => rows.map(({ reason }) => reason))

    beforeEach(async () => {
      made += 1
      schema = `shop${made}`
      orders = relationName(schema, 'orders')
      await sql(
        `create schema %s; ${tables[kind]}; insert into %s.orders values (1, 1), (2, 2), (300, 3)`.replace(
          '(300, 3)',
          kind === 'inherited' ? '(3, 3)' : '(300, 3)',
        ),
      )
    })

    test('uninstalling leaves nothing, and can be done twice', async () => {
      const before = await present()
      const program = await capture(db.database, orders, {
        mode,
        events: [{ rule: 'big', on: ['insert'], condition: '($1).total > 5' }],
      })
      await sql('insert into %s.orders values (4, 4)')
      expect(await present()).not.toEqual(before)
      await uninstall(db.database, program)
      expect(await present()).toEqual(before)
      await uninstall(db.database, program)
      await sql('insert into %s.orders values (5, 5)')
    })

    test('uninstalling serves a table that was renamed', async () => {
      const program = await capture(db.database, orders, { mode })
      await sql('alter table %s.orders rename to sales')
      await uninstall(db.database, program)
      const left = await db.sql(`select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where p.proname like 'capture %${orders}'`)
      expect(left).toEqual([])
    })

    test('installing again keeps the log and leaves no gap', async () => {
      const program = await capture(db.database, orders, { mode })
      await sql('insert into %s.orders values (4, 4)')
      const before = await logged()
      const presentBefore = await present()
      await install(db.database, program)
      expect(await logged()).toBe(before)
      expect(await present()).toEqual(presentBefore)
      expect(await gaps()).toEqual([])
      await sql('update %s.orders set total = 7 where id = 4')
      expect(await logged()).toBeGreaterThan(before)
    })

    test('more or other columns are captured from the same transaction on', async () => {
      await install(db.database, captureProgram(await wish(['id'])))
      await sql('update %s.orders set total = 70 where id = 1')
      expect(await logged()).toBe(0)
      await install(db.database, captureProgram(await wish(['total'])))
      await sql('update %s.orders set total = 71 where id = 1')
      expect(await logged()).toBe(1)
      // Marks mean the same whatever the columns, so nothing is distrusted.
      expect(await gaps()).toEqual(
        mode === 'rows' ? ['log_replaced: other columns are captured'] : [],
      )
    })

    test('a change of mode replaces the log and leaves a gap', async () => {
      const other: Mode = mode === 'rows' ? 'marks' : 'rows'
      await install(db.database, captureProgram(await wish(['id'])))
      await install(db.database, captureProgram(await wish(['id'], { mode: other })))
      await sql('insert into %s.orders values (8, 8)')
      expect(await logged()).toBe(1)
      expect(await gaps()).toEqual(['log_replaced: other columns are captured'])
    })

    test('with no column captured it counts rows: inserts and deletes, not updates', async () => {
      await install(db.database, captureProgram(await wish([])))
      await sql('update %s.orders set total = 5, id = id + 1')
      expect(await logged()).toBe(0)
      await sql('insert into %s.orders values (8, 8), (9, 9)')
      expect(await logged()).toBe(mode === 'rows' ? 2 : 1)
      await sql('delete from %s.orders where id = 8')
      expect(await logged()).toBe(mode === 'rows' ? 3 : 2)
      await sql('truncate %s.orders')
      expect(await logged()).toBeGreaterThan(mode === 'rows' ? 3 : 2)
      await expect(sql('drop table %s.orders')).rejects.toThrow()
      // And from there to columns and back.
      await install(db.database, captureProgram(await wish(['id', 'total'])))
      await sql('insert into %s.orders values (8, 8); update %s.orders set total = 9')
      await install(db.database, captureProgram(await wish([])))
      await sql('insert into %s.orders values (10, 8); update %s.orders set total = 10')
    })

    test('functions that no trigger calls any more are taken away', async () => {
      const functions = async (): Promise<readonly string[]> => {
        const found = await db.sql<{ name: string }>(
          `select proname as name from pg_proc where proname like 'capture %${orders}' order by proname collate "C"`,
        )
        return found.map(({ name }) => name)
      }
      const byRow = await wish(['id'])
      const subscribed = { ...byRow, shape: { ...byRow.shape, subscribed: true } }
      for (const wanted of [await wish(['id']), await wish([]), await wish(['id']), subscribed]) {
        await install(db.database, captureProgram(wanted))
        expect(await functions()).toEqual([...captureFunctions(wanted)].sort())
      }
      await sql('update %s.orders set id = id + 1')
      expect(await logged()).toBeGreaterThan(0)
    })

    test('a table that took the place of another is captured anew, with a gap', async () => {
      await install(db.database, captureProgram(await wish(['id', 'total'])))
      await sql(`alter table %s.orders rename to orders_old;
        create table %s.orders (id int, total numeric); insert into %s.orders values (77, 1)`)
      await install(db.database, captureProgram(await wish(['id', 'total'])))
      expect(await gaps()).toEqual(['trigger_missing: capture did not hold'])
      const before = await logged()
      await sql('update %s.orders set total = 5; insert into %s.orders_old values (50, 50)')
      expect(await logged()).toBe(before + 1)
      // Nothing of what captured it is bound to it any more.
      if (kind === 'inherited') await sql('drop table %s.special')
      await sql('drop table %s.orders_old')
    })

    test('a type that was changed after the image function was dropped, as the manual says', async () => {
      await install(db.database, captureProgram(await wish(['id', 'total'])))
      await sql(`drop function tidemark."${orders} is captured; run tidemark plan";
        alter table %s.orders alter column total type bigint; insert into %s.orders values (9, 9)`)
      await install(db.database, captureProgram(await wish(['id', 'total'])))
      expect(await gaps()).not.toEqual([])
      const before = await logged()
      await sql('insert into %s.orders values (10, 10)')
      expect(await logged()).toBe(before + 1)
    })
  })
})

test('installing waits for no reader', async () => {
  await db.sql('create table public.read (id int)')
  const reader = await db.session()
  await reader.query('begin; select * from public.read')
  const program = await capture(db.database, relationName('public', 'read'), { mode: 'marks' })
  await db.database.transaction(async (transaction) => {
    await transaction.query(`set local lock_timeout = '5s'`)
    for (const statement of program.install) await transaction.query(statement)
  })
  await reader.query('commit')
})

test('a transaction writes to the bucket whose turn it is, which the cleaner reckons with', async () => {
  const table = relationName('public', 'turns')
  await db.sql('create table public.turns (id int)')
  await capture(db.database, table, { mode: 'marks' })
  const session = await db.session()
  await session.query('set synchronous_commit = off')
  const found = new Set<number>()
  for (let burnt = 0; found.size < 3; burnt += 1) {
    expect(burnt).toBeLessThan(20)
    await session.query(
      `do $$ begin for i in 1..4000 loop perform pg_current_xact_id(); commit; end loop; end $$`,
    )
    await session.query('insert into public.turns values (1)')
    for (const bucket of [0, 1, 2] as const) {
      const rows = await session.query<{ bucket: number }>(
        `select ((xid::text::bigint >> 14) % 3)::int as bucket
         from tidemark.${identifier(captureNames.log(table, bucket))}`,
      )
      for (const row of rows) expect(row.bucket).toBe(bucket)
      if (rows.length > 0) found.add(bucket)
    }
  }
})

test('the first update in a session of a table with many columns is planned in time', async () => {
  const columns = Array.from({ length: 165 }, (_, i) => `c${i} int`)
  await db.sql(`create table public.broad (${columns.join(', ')})`)
  await db.sql('insert into public.broad (c0) values (1), (2)')
  await capture(db.database, relationName('public', 'broad'), { mode: 'rows' })
  const writer = await db.session()
  // It took longer by far, for the planner put the image in place of each of its fields.
  await writer.query(`set statement_timeout = '2s'`)
  await writer.query('update public.broad set c1 = 2 where c0 = 1')
  await writer.query('update public.broad set c1 = 3')
})
