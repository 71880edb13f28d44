import { expect, test } from 'vitest'
import { digestOfQuery } from './digest.ts'
import { functionsCalled, timeCalls } from './functions.ts'
import { inferKey } from '../key.ts'
import { parseQuery } from './parse.ts'

test.each(['select 1', 'select 1;', 'values (1)', 'with a as (select 1) select * from a -- end'])(
  '%s is one query',
  async (sql) => {
    expect((await parseQuery(sql)).sql).toBe(sql)
  },
)

test.each([
  ['select a,\n  from t', '2:3', /syntax error at or near "from"/],
  ["select 'ñ🌊', b form x y", '1:21', /near "x"/],
  ['select (', '1:9', /end of input/],
])('%s names the place and the words of the parser', async (sql, place, message) => {
  await expect(parseQuery(sql)).rejects.toMatchObject({ code: 'TIDEMARK_SQL_INVALID', place })
  await expect(parseQuery(sql)).rejects.toThrow(message)
})

test.each([
  ['', /no statement/],
  ['  \n', /no statement/],
  ['-- nothing', /no statement/],
  ['select 1; select 2', /2 statements at 1:11/],
  ['insert into t values (1)', /an INSERT statement/],
  ['drop table t', /a DROP statement/],
  ['refresh materialized view x', /a REFRESH MAT VIEW statement/],
  ['select 1 into t', /SELECT INTO/],
  ['with d as (delete from t returning *) select * from d', /writes rows/],
  ['select * from t for update', /locks rows/],
  ['select $1', /a parameter, \$1/],
])('%s is not a query', async (sql, message) => {
  await expect(parseQuery(sql)).rejects.toThrow(message)
  await expect(parseQuery(sql)).rejects.toMatchObject({ code: 'TIDEMARK_SQL_NOT_A_QUERY' })
})

test('white space, comments and the case of key words leave the digest as it is', async () => {
  const one = await digestOfQuery("select Region, sum(x) from t where a = 'B' group by 1")
  const other = await digestOfQuery(
    "SELECT region,\n  SUM( x )/* all */\nFROM t -- here\nWHERE a='B' GROUP BY 1;",
  )
  expect(other).toBe(one)
})

test.each([
  "select region, sum(x) from t where a = 'b' group by 1",
  'select "Region", sum(x) from t where a = \'B\' group by 1',
  "select region, sum(x) as s from t where a = 'B' group by 1",
  "select region, sum(x) from u where a = 'B' group by 1",
])('%s has a digest of its own', async (sql) => {
  const one = await digestOfQuery("select region, sum(x) from t where a = 'B' group by 1")
  expect(await digestOfQuery(sql)).not.toBe(one)
})

test('functions are named with their place, those of the clock apart', async () => {
  const query = await parseQuery('select sum(x),\n  current_date from t where at > now() - f.g(1)')
  expect(functionsCalled(query)).toEqual([
    { name: 'sum', place: '1:8' },
    { name: 'current_date', place: '2:3' },
    { name: 'now', place: '2:34' },
    { name: 'f.g', place: '2:42' },
  ])
  expect(timeCalls(query).map(({ name }) => name)).toEqual(['current_date', 'now'])
})

test.each([
  ['select a.r as region, sum(x) as s from a group by a.r', ['region']],
  [
    "select date_trunc('day'::text, a.t) as region, a.x as s from a group by (date_trunc('day'::text, a.t)), a.x",
    ['region', 's'],
  ],
  ['select a.r as region, sum(x) as s from a group by 1', ['region']],
  ['select a.r as region, a.s from a group by a.r, a.s, a.hidden', null],
  ['select a.r as region, sum(x) as s from a group by rollup(a.r)', null],
  ['select distinct a.r as region, a.s from a', ['region', 's']],
  ['select distinct on (a.s) a.r as region, a.s from a order by a.s', ['s']],
  ['select distinct on (a.q) a.r as region, a.s from a order by a.q', null],
  ['select a.r as region, a.s from a union select 1, 2', ['region', 's']],
  ['select a.r as region, a.s from a union all select 1, 2', null],
  ['select a.r as region, a.s from a', null],
  ['select sum(r) as region, sum(s) as s from a', null],
  ['select * from a group by a.r', null],
])('the key of %s is read off it', async (sql, key) => {
  const query = await parseQuery(sql)
  expect(inferKey(query, { columns: ['region', 's'], returnsSets: false })).toEqual(key)
})

test('GROUP BY is no key when a function multiplies the groups', async () => {
  const query = await parseQuery(
    'select a.r as region, unnest(array_agg(x)) as s from a group by a.r',
  )
  expect(inferKey(query, { columns: ['region', 's'], returnsSets: true })).toBeNull()
})
