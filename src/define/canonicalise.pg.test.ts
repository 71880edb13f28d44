import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createTestDatabase } from '../../test/support/database.ts'
import type { RelationName } from '../model/ids.ts'
import { relationName } from '../model/ids.ts'
import type { CanonicalQuery } from '../model/view.ts'
import { serverVersion } from '../postgres/connection.ts'
import { canonicalise, canonicaliseAll, canonicaliseExisting } from './canonicalise.ts'

let db: TestDatabase

const schema = `
  create schema other;
  create extension citext;
  create table orders (id bigint primary key, customer_id int, total numeric(12,2), placed_at timestamptz, note text);
  create table other.customers (id int primary key, name text, region citext, doc jsonb);
  create table payments (id int, order_id int, amount numeric, day date) partition by range (day);
  create table payments_2026 partition of payments for values from ('2026-01-01') to ('2027-01-01');
  create view paid as select order_id, sum(amount) as amount from payments group by order_id;
  create view paid_orders as select o.id, p.amount from orders o join paid p on p.order_id = o.id;
  create materialized view old_totals as select customer_id, sum(total) as total from orders group by 1;
  create materialized view daily as select distinct placed_at::date as day from orders;
  create view latest as select * from daily;
  create function rate() returns numeric language sql stable as 'select sum(total) from public.orders';
  create function twice(x numeric) returns numeric language sql immutable as 'select x * 2';
  create function bump(state numeric, x numeric) returns numeric language sql stable as 'select state + x';
  create aggregate bumped (numeric) (sfunc = bump, stype = numeric, initcond = '0');
  create function same(a numeric, b numeric) returns boolean language sql stable as 'select a = b';
  create operator === (leftarg = numeric, rightarg = numeric, function = same);
  create foreign data wrapper nothing;
  create server far foreign data wrapper nothing;
  create foreign table far_orders (id int) server far;
  create sequence counter;
`

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(schema)
})
afterAll(() => db.drop())

const name = relationName('public', 'dashboard')

const read = (sql: string, declared: readonly RelationName[] = []): Promise<CanonicalQuery> =>
  db.database.transaction((transaction) => canonicalise(transaction, { name, sql }, declared))

const existing = (
  relation: string,
  declared: readonly RelationName[] = [],
): Promise<CanonicalQuery> =>
  db.database.transaction(
    (transaction) => canonicaliseExisting(transaction, relation as RelationName, declared),
    { readOnly: true },
  )

test('names are resolved, stars expanded, columns typed', async () => {
  const query = await read(
    'select o.*, c.region from orders o join other.customers c on c.id = customer_id;',
  )
  expect(query.sql).toContain('public.orders')
  expect(query.sql).not.toContain(';')
  expect(query.columns).toEqual([
    { name: 'id', type: 'bigint' },
    { name: 'customer_id', type: 'integer' },
    { name: 'total', type: 'numeric(12,2)' },
    { name: 'placed_at', type: 'timestamp with time zone' },
    { name: 'note', type: 'text' },
    { name: 'region', type: 'public.citext' },
  ])
})

test('nothing is left behind and the settings are as before', async () => {
  const left = `select
    (select count(*) from pg_class where relname = 'tidemark_draft') as drafts,
    current_setting('search_path') as path`
  const before = await db.sql(left)
  await read('select id from orders')
  await expect(read('select nothing from orders')).rejects.toThrow()
  expect(await db.sql(left)).toEqual(before)
})

describe('sources', () => {
  test('are the tables read, with the columns used, filters and joins included', async () => {
    const { sources } = await read(
      `select c.name, (select max(amount) from payments p where p.order_id = o.id) as paid
       from orders o join other.customers c on c.id = o.customer_id where o.total > 5`,
    )
    expect(sources).toEqual([
      { relation: 'other.customers', columns: ['id', 'name'] },
      { relation: 'public.orders', columns: ['id', 'customer_id', 'total'] },
      { relation: 'public.payments', columns: ['order_id', 'amount'] },
    ])
  })

  test('that are only counted have no columns', async () => {
    expect((await read('select count(*) from orders')).sources).toEqual([
      { relation: 'public.orders', columns: [] },
    ])
  })

  test('read as whole rows have all columns', async () => {
    const { sources } = await read('select to_jsonb(o) as doc, o.id from orders o')
    expect(sources[0]?.columns).toEqual(['id', 'customer_id', 'total', 'placed_at', 'note'])
  })

  test('are found through ordinary views, with all columns that these read', async () => {
    expect((await read('select id from paid_orders')).sources).toEqual([
      { relation: 'public.orders', columns: ['id'] },
      { relation: 'public.payments', columns: ['order_id', 'amount'] },
    ])
  })

  test('read by a partition are their root', async () => {
    expect((await read('select amount from payments_2026')).sources).toEqual([
      { relation: 'public.payments', columns: ['amount'] },
    ])
  })

  test('with a column computed on reading have all columns', async () => {
    if ((await serverVersion(db.database)) < 180000) return
    await db.sql(
      'create table lines (a int, b int, unused int, ab int generated always as (a * b) virtual)',
    )
    const { sources } = await read('select ab from lines')
    expect(sources[0]?.columns).toEqual(['a', 'b', 'unused', 'ab'])
  })
})

describe('inputs', () => {
  const declared = [relationName('public', 'daily'), relationName('public', 'paid')]

  test('are declared views; what is below them is not looked at', async () => {
    const { inputs, sources, uncaptured } = await read(
      'select d.day, p.amount, o.id from latest d, paid p, orders o',
      declared,
    )
    expect(inputs).toEqual(['public.daily', 'public.paid'])
    expect(sources).toEqual([{ relation: 'public.orders', columns: ['id'] }])
    expect(uncaptured).toEqual([])
  })

  test('are not materialized views that nobody declared', async () => {
    const { inputs, uncaptured } = await read('select * from latest')
    expect(inputs).toEqual([])
    expect(uncaptured).toEqual(['public.daily'])
  })
})

test.each([
  ['select relname from pg_class', 'pg_catalog.pg_class'],
  ['select table_name from information_schema.tables', 'information_schema.tables'],
  ['select pid from pg_stat_activity', 'pg_catalog.pg_stat_activity'],
  ['select id from far_orders', 'public.far_orders'],
  ['select last_value from counter', 'public.counter'],
  ['select xmin::text as x, id from orders', 'public.orders'],
])('%s reads what cannot be captured', async (sql, relation) => {
  const { sources, uncaptured } = await read(sql)
  expect(uncaptured).toEqual([relation])
  expect(sources).toEqual([])
})

test('a temporary table cannot be captured', async () => {
  const { uncaptured } = await db.database.transaction(async (transaction) => {
    await transaction.query('create temp table draft_rows (a int)')
    const result = await canonicalise(transaction, { name, sql: 'select a from draft_rows' }, [])
    await transaction.query('drop table draft_rows')
    return result
  })
  expect(uncaptured).toEqual(['pg_temp.draft_rows'])
})

const still = { opaqueFunctions: [], timeDependent: false, volatile: false, returnsSets: false }
test.each([
  ["select date_trunc('day', placed_at) as d, sum(total) as s from orders group by 1", still],
  ['select twice(total) as t from orders', still],
  ["select 'now()' as current_date, ':funcid 1299' as b, current_user as u from orders", still],
  ['select tableoid, id from orders', still],
  ['select rate() as r from orders', { ...still, opaqueFunctions: ['public.rate()'] }],
  [
    'select bumped(total) as r from orders',
    { ...still, opaqueFunctions: ['public.bump(numeric,numeric)'] },
  ],
  [
    'select id from orders where total === 5',
    { ...still, opaqueFunctions: ['public.same(numeric,numeric)'] },
  ],
  [
    "select id from orders where placed_at > now() - interval '1 day'",
    { ...still, timeDependent: true },
  ],
  ['select current_date as d', { ...still, timeDependent: true }],
  ['select localtimestamp(2) as d', { ...still, timeDependent: true }],
  ['select age(placed_at) as a from orders', { ...still, timeDependent: true }],
  ['select age(placed_at, placed_at) as a from orders', still],
  ['select clock_timestamp() as c', { ...still, timeDependent: true, volatile: true }],
  ['select random() as r from orders', { ...still, volatile: true }],
  ['select id from orders tablesample system (10)', { ...still, volatile: true }],
  ['select unnest(array[1,2]) as n, id from orders', { ...still, returnsSets: true }],
  ['select n from (select unnest(array[1,2]) as n) s', still],
])('%s: clock, chance and functions are seen', async (sql, expected) => {
  expect(await read(sql)).toMatchObject(expected)
})

test('the clock is seen inside an ordinary view', async () => {
  await db.sql('create view recent as select id from orders where placed_at > current_date')
  expect(await read('select count(*) from recent')).toMatchObject({ timeDependent: true })
})

test.each([
  ['select id,\n  totl from orders', '2:3', /column "totl" does not exist.*Perhaps/s],
  ['select * from nowhere', '1:15', /relation "nowhere" does not exist/],
  ['select id, id from orders', undefined, /specified more than once/],
  ["select 'a' + id from orders", '1:8', /invalid input syntax/],
  ['select nothing(id) from orders', '1:8', /function nothing\(bigint\) does not exist/],
  [
    'select region from other.customers group by 1 having (region, max(id)) in (select note::citext, customer_id from orders)',
    undefined,
    /as it cannot read it back: operator does not exist: integer public\.= integer.*Compare column by column/s,
  ],
])('%s is refused in the words of PostgreSQL, with its place', async (sql, place, message) => {
  await expect(read(sql)).rejects.toMatchObject({ code: 'TIDEMARK_SQL_INVALID', place })
  await expect(read(sql)).rejects.toThrow(message)
})

const pairs = `(values (1, 'A'::citext, 'a'::citext), (1, 'b', 'B'), (2, 'a', 'A'), (2, 'B', 'a'), (null, 'a', 'a'), (2, null, 'b')) `

test.each([
  `select i, c, (c, i) < ('a', 2) as less, (d, c, i) >= (c, 'a', 1) as not_less from ${pairs} t (i, c, d)`,
  `select i, c, (c, i) in (select x, n from ${pairs} s (n, x, y)) as found, (lower(d)::citext, i) not in (select x, n from ${pairs} s (n, x, y) where x = t.d) as missing, (i, c) in (select n, y from ${pairs} s (n, x, y)) as other, (i, c) >= (2, 'b') as more from ${pairs} t (i, c, d)`,
  `select i, c, (c, i) > any (select 'A'::citext, 1) as some, (c, i) <> all (select y, n from ${pairs} s (n, x, y)) as none, (c, i) <= (select 'b'::citext, 2) as one from ${pairs} t (i, c, d)`,
  'select * from nested_pairs',
])('%s: rows are compared as they are written, each column by its own operator', async (sql) => {
  await db.sql(`create or replace view nested_pairs as
    select i from ${pairs} t (i, c, d) where (c, i) < (d, 2) or (c, i) in (select d, 2 from orders)`)
  const { sql: printed, views } = await read(sql)
  const [view] = views
  const again = await db.database.transaction(async (transaction) => {
    await transaction.query(`select set_config('search_path', 'pg_catalog', true)`)
    if (view !== undefined)
      await transaction.query(`create or replace view ${view.name} as ${view.sql}`)
    return transaction.query(printed)
  })
  expect(again).toEqual(await db.sql(sql))
})

test('a materialized view that exists is read in a transaction that may not write', async () => {
  const query = await existing('public.old_totals')
  expect(query.sources).toEqual([{ relation: 'public.orders', columns: ['customer_id', 'total'] }])
  expect(query.columns).toEqual([
    { name: 'customer_id', type: 'integer' },
    { name: 'total', type: 'numeric' },
  ])
  expect(query.sql).toContain('public.orders')
  await expect(existing('public.nothing')).rejects.toMatchObject({
    code: 'TIDEMARK_RELATION_UNKNOWN',
  })
  await expect(existing('public.orders')).rejects.toMatchObject({
    code: 'TIDEMARK_RELATION_UNSUPPORTED',
  })
})

test('the text that the server prints is read again as the same text', async () => {
  for (const sql of [
    'select region, count(*) from other.customers group by region',
    `select distinct on (customer_id) customer_id, note from orders order by customer_id, placed_at desc`,
    `with recursive n (i) as (select 1 union all select i + 1 from n where i < 5) select i, 'it''s' as t from n`,
  ]) {
    const first = await read(sql)
    expect((await read(first.sql)).sql).toBe(first.sql)
  }
})

describe('several at once', () => {
  const written = (
    names: Readonly<Record<string, string>>,
  ): { name: RelationName; sql: string }[] =>
    Object.entries(names).map(([view, sql]) => ({ name: relationName('public', view), sql }))
  const all = (
    names: Readonly<Record<string, string>>,
  ): Promise<ReadonlyMap<RelationName, CanonicalQuery>> =>
    db.database.transaction((transaction) =>
      canonicaliseAll(
        transaction,
        written(names),
        written(names).map((each) => each.name),
      ),
    )

  test('may read one another before any exists, in any order', async () => {
    const queries = await all({
      third: 'select day from second',
      second: 'select day, total * 2 as twice from public.first',
      first: 'select placed_at::date as day, sum(total) as total from orders group by 1',
    })
    const third = queries.get(relationName('public', 'third'))
    const second = queries.get(relationName('public', 'second'))
    expect(third?.inputs).toEqual(['public.second'])
    expect(second?.inputs).toEqual(['public.first'])
    expect(second?.columns).toEqual([
      { name: 'day', type: 'date' },
      { name: 'twice', type: 'numeric' },
    ])
    expect(await db.sql(`select to_regclass('public.first') as left`)).toEqual([{ left: null }])
  })

  describe('one of which gets other columns', () => {
    const daily = 'select placed_at::date as day, sum(total) as total'

    beforeAll(async () => {
      await db.sql(`create view days as ${daily} from orders group by 1;
        create view doubled as select * from days;
        create view between as select day, total from days`)
    })

    test('the others read it as it will be, stars and further readers included', async () => {
      const queries = await all({
        redoubled: 'select * from doubled',
        doubled: 'select * from days',
        days: `${daily}, count(*) as n from orders group by 1`,
        counted: 'select day, n from days',
        through: 'select total from between',
      })
      const columns = (of: string): readonly string[] | undefined =>
        queries.get(relationName('public', of))?.columns.map((column) => column.name)
      expect(columns('redoubled')).toEqual(['day', 'total', 'n'])
      expect(columns('doubled')).toEqual(['day', 'total', 'n'])
      expect(columns('counted')).toEqual(['day', 'n'])
      expect(columns('through')).toEqual(['total'])
      expect(queries.get(relationName('public', 'through'))?.inputs).toEqual(['public.days'])
      // All is as it was.
      expect(await db.sql('select * from doubled limit 0')).toEqual([])
      await expect(db.sql('select n from days')).rejects.toThrow(/"n" does not exist/)
    })

    test('a column that it loses is missed where it is read', async () => {
      await expect(
        all({
          doubled: 'select total from days',
          days: 'select placed_at::date as day from orders',
        }),
      ).rejects.toThrow(/"total" does not exist/)
    })

    test('and which somebody reads without end is read as it is now', async () => {
      const reader = await db.session()
      await reader.query('begin; select from days')
      const queries = await all({
        doubled: 'select * from days',
        days: `${daily}, count(*) as n from orders group by 1`,
      })
      await reader.query('rollback')
      expect(queries.get(relationName('public', 'doubled'))?.columns).toHaveLength(2)
    })

    test('while one whose columns stay is not locked', async () => {
      const reader = await db.session()
      await reader.query('begin; select from days')
      const queries = await all({
        doubled: 'select * from days',
        days: `${daily} from orders where total > 5 group by 1`,
      })
      expect(queries.get(relationName('public', 'doubled'))?.columns).toHaveLength(2)
      const [waited] = await reader.query(`select count(*)::int as n from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`)
      await reader.query('rollback')
      expect(waited).toEqual({ n: 0 })
    })
  })

  test('that wait for one another are a circle', async () => {
    await expect(
      all({ a_view: 'select x from b_view', b_view: 'select x from public.a_view' }),
    ).rejects.toMatchObject({ code: 'TIDEMARK_VIEW_CYCLE' })
  })

  test('of which one reads what is nowhere fail for that one', async () => {
    await expect(
      all({ a_view: 'select x from b_view', b_view: 'select x from nowhere' }),
    ).rejects.toThrow(/nowhere/)
  })
})
