import { expect, test } from 'vitest'
import { queriesIn } from './statements.ts'

const cases: readonly (readonly [name: string, text: string, queries: readonly object[]])[] = [
  ['a SELECT', 'select 1', [{ kind: 'select', name: null, sql: 'select 1', place: '1:1', byte: 0 }]],
  ['VALUES and TABLE', 'values (1);\ntable t;', [
    { kind: 'select', sql: 'values (1)', place: '1:1' },
    { kind: 'select', sql: 'table t', place: '2:1' },
  ]],
  ['a materialized view', 'create materialized view a.b as\n  select 1 as x\nwith no data;', [
    { kind: 'materialized view', name: { schema: 'a', name: 'b' }, sql: 'select 1 as x', place: '1:1', byte: 34 },
  ]],
  ['columns of a view', 'create view v (a, "B") as select 1, 2', [
    { kind: 'view', name: { schema: null, name: 'v' }, columns: ['a', 'B'], sql: 'select 1, 2' },
  ]],
  ['an option whose name is AS', `create materialized view v with (fillfactor = 90) as with x as (select 1) select * from x`, [
    { sql: 'with x as (select 1) select * from x' },
  ]],
  ['a check option', 'create or replace view v as (select 1 as a) with cascaded check option;', [{ sql: '(select 1 as a)' }]],
  ['a table called data', 'create materialized view v as select * from data with no data', [{ sql: 'select * from data' }]],
  ['a table called data, and nothing after it', 'create materialized view v as select * from data;', [{ sql: 'select * from data' }]],
  ['a comment before it, and letters of two bytes', '-- é\n/* ü */ select \'é\';\n\n  select 2', [
    { sql: "select 'é'", place: '2:9' },
    { sql: 'select 2', place: '4:3' },
  ]],
] // prettier-ignore

test.each(cases)('%s is found with its query and its place', async (_, text, queries) => {
  expect((await queriesIn(text)).queries).toMatchObject(queries)
})

test('what is no query is counted and passed over', async () => {
  const text = `create table t (a int); insert into t values (1); select a from t;
    create table u as select 1; refresh materialized view v; create index on t (a)`
  const { queries, others } = await queriesIn(text)
  expect(queries.map(({ sql }) => sql)).toEqual(['select a from t'])
  expect(others).toBe(5)
})

test('the query begins at its byte in the file', async () => {
  const text = '-- é\ncreate view v as\n  select 1;'
  const [query] = (await queriesIn(text)).queries
  expect(Buffer.from(text).subarray(query?.byte).toString()).toBe('select 1;')
})

test('an empty file has no queries', async () => {
  expect(await queriesIn(' \n')).toEqual({ queries: [], faults: [], others: 0 })
})

test('a statement that does not parse is told with its place, and spoils no other', async () => {
  const { queries, faults } = await queriesIn(`select 'é';\n  select (1;\nselec 2; select 3`)
  expect(queries.map(({ sql, place }) => [sql, place])).toEqual([
    ["select 'é'", '1:1'],
    ['select 3', '3:10'],
  ])
  expect(faults).toMatchObject([
    { place: '2:3', error: { code: 'TIDEMARK_SQL_INVALID' } },
    { place: '3:1', error: { code: 'TIDEMARK_SQL_INVALID', place: '2:1' }, byte: 25 },
  ])
})

test('commands of psql are passed over, and the lines after them are counted as they are', async () => {
  const text = `\\set x 1
\\echo it's "so; é
select 1;
  \\i other.sql
select 2 \\gset
select '\\a', $$
\\b;$$, e'\\';' -- \\c;
;`
  const { queries, faults, others } = await queriesIn(text)
  expect(queries.map(({ sql, place }) => [sql, place])).toEqual([
    ['select 1', '3:1'],
    ['select 2', '5:1'],
    ["select '\\a', $$\n\\b;$$, e'\\';'", '6:1'],
  ])
  expect([faults, others]).toEqual([[], 0])
})

test('semicolons within a statement do not end it', async () => {
  const { queries, faults, others } = await queriesIn(`selec;
create function f() returns int language sql begin atomic select 1; select 2; end;
create rule r as on insert to t do also (select 1; select 2);
create function g() returns int language plpgsql as $g$ begin return $$1;$$; end $g$;
/* ; /* ; */ ; */ select "a;b", 'c;''d' from t;`)
  expect(faults).toHaveLength(1)
  expect(others).toBe(3)
  expect(queries.map(({ place }) => place)).toEqual(['5:19'])
})

test('rows of COPY are passed over, up to the line that ends them or the end of the file', async () => {
  const text = `\\restrict Xy9
-- Data; of it's "t
COPY public.t (a, "from") FROM stdin;
1\tit's; select 9;
2\t$$ /* \\N
\\.

select 1;
copy (select 2) to stdout; copy t from 'file';
copy t from stdin with (format csv);\r
"a;
\\.\r
select 3;
copy t from stdin;
select 4;`
  const { queries, faults, others } = await queriesIn(text)
  expect(queries.map(({ sql, place }) => [sql, place])).toEqual([
    ['select 1', '8:1'],
    ['select 3', '13:1'],
  ])
  expect([faults, others]).toEqual([[], 5])
})
