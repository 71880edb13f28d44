import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { relationName } from '../../src/model/ids.ts'
import { captureNames } from '../../src/model/names.ts'
import { openSession, serverVersion } from '../../src/postgres/connection.ts'
import { identifier, literal, qualifiedName } from '../../src/postgres/identifier.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { capture, entries, logOf, outcomeOf } from './captured.ts'

let db: TestDatabase
const writer = `writer_${process.pid}_${Date.now().toString(36)}`

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`create role ${writer} login`)
})
afterAll(async () => {
  await db.sql(`drop owned by ${writer}; drop role ${writer}`)
  await db.drop()
})

describe.each([
  ['marks', 'statement'],
  ['marks', 'row'],
  ['rows', 'statement'],
  ['rows', 'row'],
] as const)('mode %s, %s triggers', (mode, firing) => {
  test('a writer needs no right on the schemas of Tidemark, and has none', async () => {
    const orders = relationName('public', `orders_${mode}_${firing}`)
    const name = qualifiedName(orders)
    await db.sql(
      `alter default privileges grant select on tables to public;
       create table ${name} (id int, total int); grant select, insert, update, delete, truncate on ${name} to ${writer}`,
    )
    const events = [
      { rule: `${mode} ${firing}`, on: ['insert' as const], condition: '($1).total > 5' },
    ]
    await capture(db.database, orders, { mode, firing, events })
    await db.sql('alter default privileges revoke select on tables from public')
    const session = await openSession(db.urlAs(writer))
    try {
      await session.query(
        `insert into ${name} values (1, 10), (2, 1); update ${name} set total = 3; delete from ${name} where id = 1`,
      )
      const seen = await outcomeOf(db.database, orders, { mode, columns: ['id', 'total'] }, () =>
        session.query(`insert into ${name} values (3, 30)`),
      )
      expect(seen.logged).toBe(1)
      expect(
        await db.sql('select from tidemark.event where rule = $1', [events[0]?.rule]),
      ).toHaveLength(2)
      await session.query(`truncate ${name}`)
      for (const bucket of [0, 1, 2] as const) {
        const log = `tidemark.${identifier(captureNames.log(orders, bucket))}`
        await expect(session.query(`select from ${log}`)).rejects.toThrow(/permission denied/)
        // Whatever the default privileges of the installer say.
        expect(
          await db.sql('select has_table_privilege($1, $2, $3) as may', [writer, log, 'select']),
        ).toEqual([{ may: false }])
      }
      const [rights] = await db.sql<{ usage: boolean; functions: number }>(
        `select has_schema_privilege($1, 'tidemark', 'usage') as usage,
                (select count(*)::int from pg_proc p where p.pronamespace = 'tidemark'::regnamespace
                  and p.proname = any ($2) and has_function_privilege($1, p.oid, 'execute')) as functions`,
        [
          writer,
          [
            captureNames.image(orders),
            captureNames.trigger(orders),
            captureNames.event(`${mode} ${firing} on ${orders}`),
          ],
        ],
      )
      expect(rights).toEqual({ usage: false, functions: 0 })
    } finally {
      await session.close()
    }
  })

  test('functions and operators that a writer puts in the way are not called', async () => {
    const orders = relationName('public', `trap_${mode}_${firing}`)
    const name = qualifiedName(orders)
    const trap = `trap_${mode}_${firing}`
    await db.sql(
      `create table ${name} (id int, total int); insert into ${name} values (1, 1);
       grant select, insert, update on ${name} to ${writer};
       create schema ${trap} authorization ${writer}`,
    )
    await capture(db.database, orders, { mode, firing })
    const session = await openSession(db.urlAs(writer))
    try {
      await session.query(
        `create function ${trap}.to_regproc(text) returns regproc language plpgsql as 'begin raise exception $x$trapped$x$; end';
         create function ${trap}.never(record, record) returns boolean language plpgsql as 'begin raise exception $x$trapped$x$; end';
         create operator ${trap}.*<> (leftarg = record, rightarg = record, function = ${trap}.never);
         set search_path = ${trap}, pg_catalog`,
      )
      const seen = await outcomeOf(db.database, orders, { mode, columns: ['id', 'total'] }, () =>
        session.query(`update ${name} set total = 2`),
      )
      expect(seen.logged).toBe(1)
    } finally {
      await session.close()
    }
  })

  test('row security of the table hides no change from the log', async () => {
    const orders = relationName('public', `secret_${mode}_${firing}`)
    const name = qualifiedName(orders)
    await db.sql(
      `create table ${name} (id int, owner text); insert into ${name} values (1, 'somebody else');
       alter table ${name} enable row level security; alter table ${name} force row level security;
       create policy own on ${name} using (owner = current_user) with check (true);
       grant select, insert, update, delete on ${name} to ${writer}`,
    )
    await capture(db.database, orders, { mode, firing })
    const session = await openSession(db.urlAs(writer))
    try {
      const seen = await outcomeOf(db.database, orders, { mode, columns: ['id', 'owner'] }, () =>
        session.query(
          `insert into ${name} values (2, current_user), (3, 'a third'); update ${name} set id = 20`,
        ),
      )
      expect(seen.difference.size).toBe(2)
      if (mode === 'rows')
        expect(entries(seen.described ?? new Map())).toEqual(entries(seen.difference))
    } finally {
      await session.close()
    }
  })

  test.each([
    ['we"ird; drop table x --', "o'br\\ien", 'a$tidemark$b'],
    ['with\nline', ' $1 ', 'new'],
    ['select', 'xid', 'w'],
    ['Ünïcødé 🎈 of a name that is far too long to be kept in 63 bytes', 'ctid ', '.xid'],
  ])('hostile names are names: schema of %j', async (schema, table, column) => {
    const own = `${schema} ${mode} ${firing}`.slice(-50)
    const orders = relationName(own, table)
    const name = qualifiedName(orders)
    const columns = [column, `${column}2`, 'xid ', 'w ']
    await db.sql(
      `create schema ${identifier(own)};
       create table ${name} (${columns.map((each) => `${identifier(each)} int`).join(', ')}, total int);
       insert into ${name} values (1, 1)`,
    )
    const events = [
      {
        rule: `${own} "it's" $tidemark$`,
        on: ['insert', 'update', 'delete'] as const,
        condition: `($1).${identifier(column)} > 0`,
      },
    ]
    await capture(db.database, orders, { mode, firing, events })
    await db.sql(
      `insert into ${name} values (2, 2); update ${name} set total = 3; delete from ${name} where ${identifier(column)} = 1`,
    )
    const logged = await db.sql(`select * from ${logOf(orders)} l`)
    expect(logged.length).toBeGreaterThanOrEqual(1)
    const raised = await db.sql('select from tidemark.event where rule = $1', [events[0]?.rule])
    expect(raised.length).toBeGreaterThanOrEqual(1)
    await db.sql(
      `alter table ${name} drop column ${identifier(column)} cascade; insert into ${name} values (1)`,
    )
    expect(await db.sql(`select from tidemark.gap where source = ${literal(orders)}`)).toHaveLength(
      1,
    )
  })
})

test('a log of columns called xid and w keeps them apart from its own', async () => {
  const table = relationName('public', 'clash')
  await db.sql('create table public.clash (xid int, w text, ".xid" int, id int)')
  await capture(db.database, table, { mode: 'rows' })
  await db.sql(`insert into public.clash values (7, 'seven', 8, 9)`)
  const rows = await db.sql(`select w, ".xid", ".w", "..xid", id from ${logOf(table)} l`)
  expect(rows).toEqual([{ w: 1, '.xid': 7, '.w': 'seven', '..xid': 8, id: 9 }])
})

test('columns of every kind of type are kept as they are', async () => {
  const table = relationName('public', 'kinds')
  await db.sql(
    `create type public.mood as enum ('a', 'b'); create type public.pair as (x int, y text);
     create domain public.positive as numeric(6, 2) check (value > 0) not null;
     create domain public.more as public.positive check (value > 1);
     create table public.kinds (i int, m public.mood, p public.pair, d public.more, a public.mood[], j json, b bytea,
       r int4range, x xml, c char(5), f float8, t timestamptz, u uuid, h point, v varbit(9),
       g int generated always as (i * 2) stored, ps public.pair[])`,
  )
  const columns = 'i m p d a j b r x c f t u h v g ps'.split(' ')
  await capture(db.database, table, { mode: 'rows' })
  const seen = await outcomeOf(db.database, table, { mode: 'rows', columns }, async () => {
    await db.sql(
      `insert into public.kinds (i, m, p, d, a, j, b, r, x, c, f, t, u, h, v, ps) values
         (1, 'a', (1, 'q"'), 2.5, '{a,b}', '{"a": 1}', '\\x00ff', '[1,4)', '<a/>', 'x', '-0', 'now', null, '(1,2)', b'101',
          array[row(1, 'z')::public.pair]),
         (2, null, null, 3, null, null, null, null, null, null, 'nan', 'infinity', null, null, null, null);
       update public.kinds set f = '0' where i = 1; update public.kinds set d = 4 where i = 2`,
    )
  })
  expect(entries(seen.described ?? new Map())).toEqual(entries(seen.difference))
  await db.sql('truncate public.kinds')
  const marks = await db.sql(`select from ${logOf(table)} l where w = 0`)
  expect(marks).toHaveLength(1)
})

test('a column that is generated on reading is captured by those that it is computed from', async (context) => {
  if ((await serverVersion(db.database)) < 180_000) context.skip()
  const table = relationName('public', 'virtual')
  await db.sql(
    `create table public.virtual (id int, net int, tax int, note text, gross int generated always as (net + tax) virtual);
     insert into public.virtual values (1, 2, 3, 'n')`,
  )
  for (const firing of ['statement', 'row'] as const) {
    const options = { mode: 'rows', columns: ['id', 'gross'], firing } as const
    await capture(db.database, table, options)
    const seen = await outcomeOf(
      db.database,
      table,
      { mode: 'rows', columns: ['id', 'net', 'tax'] },
      () => db.sql(`update public.virtual set note = 'm'; update public.virtual set tax = tax + 1`),
    )
    expect(entries(seen.described ?? new Map())).toEqual(entries(seen.difference))
    expect(seen.logged).toBe(1)
  }
})
