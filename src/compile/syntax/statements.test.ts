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
  expect(await queriesIn(' \n')).toEqual({ queries: [], others: 0 })
})

test('a text that does not parse is refused with its place', async () => {
  await expect(queriesIn('select 1;\nselec 2')).rejects.toMatchObject({
    code: 'TIDEMARK_SQL_INVALID',
    place: '2:1',
  })
})
