import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { relationName } from '../../src/model/ids.ts'
import type { RelationName } from '../../src/model/ids.ts'
import { serverVersion } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { Mode } from './captured.ts'
import { capture, entries, outcomeOf } from './captured.ts'

const columns = ['id', 'customer', 'total', 'detail', 'doubled', 'mood', 'tags', 'place']

const tables = {
  plain: `create table %s.orders (%c); alter table %s.orders drop column gone;`,
  partitioned: `
    create table %s.orders (%c) partition by range (id);
    alter table %s.orders drop column gone;
    create table %s.low partition of %s.orders for values from (minvalue) to (100);
    create table %s.middle (place %s.spot, tags text[], gone int, note text default 'x', id int not null,
      customer int, total numeric, detail json, doubled numeric generated always as (total * 2) stored,
      mood %s.mood, amount %s.amount not null default 5);
    alter table %s.middle drop column gone;
    alter table %s.orders attach partition %s.middle for values from (100) to (1000);
    create table %s.high partition of %s.orders for values from (1000) to (maxvalue) partition by range (id);
    create table %s.higher partition of %s.high for values from (1000) to (maxvalue);
    insert into %s.orders (id, total) values (3000, 1);`,
  inherited: `
    create table %s.orders (%c);
    alter table %s.orders drop column gone;
    create table %s.special (extra text) inherits (%s.orders);
    create table %s.other (extra text, total numeric, id int) inherits (%s.orders);
    insert into %s.special (id, customer, total, detail) select g, 1, g, '{}' from generate_series(200, 203) g;`,
}

type TableKind = keyof typeof tables

const definition = `id int not null, gone int, customer int, total numeric,
  detail json, note text default 'x', doubled numeric generated always as (total * 2) stored,
  mood %s.mood, tags text[], place %s.spot, amount %s.amount not null default 5`

interface Way {
  readonly name: string
  readonly sql: string
  /** Whether the captured columns of the table are other afterwards. */
  readonly changes: boolean
  readonly truncates?: boolean
  readonly kinds?: readonly TableKind[]
  readonly version?: number
}

const ways: readonly Way[] = [
  {
    name: 'INSERT',
    sql: `insert into %t (id, total) values (10, 1), (500, 2), (5000, 3)`,
    changes: true,
  },
  { name: 'INSERT of no row', sql: `insert into %t (id) select 1 where false`, changes: false },
  {
    name: 'INSERT of nothing but defaults and nulls',
    sql: `insert into %t (id) values (7)`,
    changes: true,
  },
  { name: 'UPDATE of all rows', sql: `update %t set total = total + 1`, changes: true },
  { name: 'UPDATE of no row', sql: `update %t set total = 0 where id = -1`, changes: false },
  { name: 'UPDATE that changes nothing', sql: `update %t set total = total`, changes: false },
  {
    name: 'UPDATE of one row that changes nothing',
    sql: `update %t set total = total where id = 1`,
    changes: false,
  },
  {
    name: 'UPDATE of a column that nobody needs',
    sql: `update %t set note = 'y', amount = 6`,
    changes: false,
  },
  { name: 'UPDATE from 1 to 1.00', sql: `update %t set total = 1.00 where id = 1`, changes: true },
  { name: 'UPDATE of json in its spelling', sql: `update %t set detail = '{ }'`, changes: true },
  { name: 'UPDATE to null', sql: `update %t set total = null, customer = null`, changes: true },
  {
    name: 'UPDATE of some rows of many',
    sql: `update %t set total = case when id = 3 then 99 else total end`,
    changes: true,
  },
  {
    name: 'UPDATE that swaps two rows',
    sql: `update %t set customer = 3 - customer where id in (1, 2)`,
    changes: true,
  },
  {
    name: 'UPDATE of an enum, an array and a composite',
    sql: `update %t set mood = 'sad', tags = '{a,b}', place = row(1, 'x') where id = 2`,
    changes: true,
  },
  { name: 'DELETE', sql: `delete from %t where id <= 2`, changes: true },
  { name: 'DELETE of no row', sql: `delete from %t where id = -1`, changes: false },
  { name: 'DELETE of all rows', sql: `delete from %t`, changes: true },
  { name: 'TRUNCATE', sql: `truncate %t`, changes: true, truncates: true },
  {
    name: 'COPY',
    sql: `copy %t (id, total) from program 'printf "11\\t5\\n600\\t6\\n"'`,
    changes: true,
  },
  {
    name: 'MERGE',
    version: 150_000,
    changes: true,
    sql: `merge into %t t using (values (1, 7.0), (2, 8.0), (3, 9.0), (77, 1.0)) s (id, total) on t.id = s.id
          when matched and s.id = 3 then delete
          when matched then update set total = s.total
          when not matched then insert (id, total) values (s.id, s.total)`,
  },
  {
    name: 'MERGE that matches nothing',
    version: 150_000,
    changes: false,
    sql: `merge into %t t using (values (-5)) s (id) on t.id = s.id when matched then delete`,
  },
  {
    name: 'ON CONFLICT DO UPDATE',
    kinds: ['plain', 'partitioned'],
    changes: true,
    sql: `alter table %t add unique (id);
          insert into %t (id, total) values (1, 50), (90, 51) on conflict (id) do update set total = excluded.total`,
  },
  {
    name: 'ON CONFLICT DO UPDATE that changes nothing',
    kinds: ['plain', 'partitioned'],
    changes: false,
    sql: `alter table %t add unique (id);
          insert into %t (id) values (1) on conflict (id) do update set total = orders.total`,
  },
  {
    name: 'ON CONFLICT DO NOTHING',
    kinds: ['plain', 'partitioned'],
    changes: false,
    sql: `alter table %t add unique (id);
          insert into %t (id, total) values (1, 50) on conflict do nothing`,
  },
  {
    name: 'a writable CTE',
    changes: true,
    sql: `with gone as (delete from %t where id = 1 returning *),
               moved as (insert into %t (id, total) select id + 700, total from gone returning *)
          update %t set total = 0 where id = 2`,
  },
  {
    name: 'one statement that does all in turn',
    changes: true,
    sql: `insert into %t (id, total) values (20, 1); update %t set total = 2 where id = 20; delete from %t where id = 2`,
  },
  {
    name: 'insert and delete in one transaction, which cancel',
    changes: false,
    sql: `insert into %t (id, total) values (20, 1); delete from %t where id = 20`,
  },
  {
    name: 'a row moved to another partition',
    kinds: ['partitioned'],
    changes: true,
    sql: `update %t set id = id + 2000 where id in (1, 2)`,
  },
  {
    name: 'writes to a partition by its own name',
    kinds: ['partitioned'],
    changes: true,
    sql: `insert into %s.middle (id, total) values (150, 1); update %s.low set total = 5 where id = 1;
          delete from %s.low where id = 2; insert into %s.high (id, total) values (2000, 3)`,
  },
  {
    name: 'TRUNCATE of a partition',
    kinds: ['partitioned'],
    changes: true,
    truncates: true,
    sql: `truncate %s.low`,
  },
  {
    name: 'TRUNCATE of a partition that has partitions',
    kinds: ['partitioned'],
    changes: true,
    truncates: true,
    sql: `truncate %s.high`,
  },
  {
    name: 'writes to a child by its own name',
    kinds: ['inherited'],
    changes: true,
    sql: `insert into %s.other (id, total) values (150, 1); update %s.special set total = 5 where id = 200;
          delete from %s.special where id = 201`,
  },
  {
    name: 'TRUNCATE of a child',
    kinds: ['inherited'],
    changes: true,
    truncates: true,
    sql: `truncate %s.special`,
  },
  {
    name: 'TRUNCATE of the parent ONLY',
    kinds: ['inherited'],
    changes: true,
    truncates: true,
    sql: `truncate only %t`,
  },
]

const shapes = [
  { kind: 'plain', firing: 'statement' },
  { kind: 'plain', firing: 'row' },
  { kind: 'partitioned', firing: 'row' },
  { kind: 'inherited', firing: 'row' },
] as const

let db: TestDatabase
let version: number
let made = 0

beforeAll(async () => {
  db = await createInstalledDatabase()
  version = await serverVersion(db.database)
})
afterAll(() => db.drop())

async function orders(kind: TableKind): Promise<RelationName> {
  made += 1
  const schema = `shop${made}`
  await db.sql(
    `create schema %s; create type %s.mood as enum ('happy', 'sad'); create type %s.spot as (x int, y text);
     create domain %s.amount as int check (value > 0) not null; ${tables[kind]}
     insert into %s.orders (id, customer, total, detail, mood, tags, place)
     select g, 1 + g % 2, g, '{}', 'happy', '{}', row(g, 'p')::%s.spot from generate_series(1, 5) g`
      .replaceAll('%c', definition)
      .replaceAll('%s', schema),
  )
  return relationName(schema, 'orders')
}

const written = (way: Way, table: RelationName): string =>
  way.sql.replaceAll('%t', table).replaceAll('%s', table.slice(0, table.indexOf('.')))

for (const mode of ['marks', 'rows'] as const satisfies readonly Mode[]) {
  for (const { kind, firing } of shapes) {
    describe(`mode ${mode}, ${kind} table, ${firing} triggers`, () => {
      for (const way of ways.filter(({ kinds }) => kinds?.includes(kind) ?? true)) {
        test(`${way.name} is in the log exactly when the table changed`, async (context) => {
          if (version < (way.version ?? 0)) context.skip()
          const table = await orders(kind)
          await capture(db.database, table, { mode, columns, firing })
          const outcome = await outcomeOf(db.database, table, { mode, columns }, () =>
            db.sql(written(way, table)),
          )
          expect(outcome.difference.size > 0).toBe(way.changes)
          if (way.changes) expect(outcome.logged).toBeGreaterThan(0)
          if (mode === 'rows' && way.truncates !== true)
            expect(entries(outcome.described ?? new Map())).toEqual(entries(outcome.difference))
          if (way.truncates === true) expect(outcome.described).toBeNull()
          if (!way.changes && !way.name.includes('cancel')) expect(outcome.logged).toBe(0)
          const gaps = await db.sql('select * from tidemark.gap where source = $1', [table])
          expect(gaps).toEqual([])
        })
      }
    })
  }
}
