import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const queries: Queries = {
  sums: `select kind, count(*) as n, count(amount) as m, sum(amount) as s, avg(amount) as a, sum(whole) as w, avg(whole) as aw, sum(long) as l, avg(long) as al, sum(loose) as lo, avg(loose) as alo from t group by kind`,
  extrema: `select kind, min(amount) as least, max(amount) as most, min(word collate "C") as w, max(at) as at, min(loose) filter (where whole > 3) as f from t where loose is null or loose <> 99 group by kind`,
  extremes: `select kind, min(amount) as least, max(amount) as most, max(word collate "C") as w, max(at) as at, count(distinct whole) as d, sum(loose) as s from t group by kind`,
  truths: `select kind, bool_and(whole > 2) as a, bool_or(whole > 8) as o, every(amount > 0) as e from t group by kind`,
  distincts: `select kind, count(distinct word) as n, count(distinct whole) filter (where amount > 2) as m, sum(distinct whole) as s, avg(distinct whole) as a from t group by kind`,
  alone: `select count(*) as n, sum(amount) as s, max(whole) as m, count(distinct word) as d from t`,
  having: `select kind, word, sum(amount * whole) as s from t group by kind, word having sum(amount) > 10`,
  cases: `select kind, sum(case when whole > 5 then amount * 1.5 else 0 end) as s from t group by kind`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table t (id int generated always as identity, kind int, word text, whole int, long bigint, amount numeric(10,2), loose numeric, at timestamptz);
    insert into t (kind, word, whole, long, amount, loose, at)
    select nullif(g % 5, 0), nullif('w' || g % 4, 'w0'), g % 11, g::bigint * 1000000000000, (g % 13) / 4.0, case g % 3 when 0 then 1.5 when 1 then g end, timestamptz '2026-01-01' + g * interval '1 hour'
    from generate_series(1, 200) g`)
  await installIncremental(db, queries)
})
afterAll(() => db.drop())

const writes = [
  `insert into t (kind, word, whole, amount, loose) values (1, 'w1', 100, 0.01, 1.000000)`,
  `delete from t where whole = 100`,
  `update t set loose = 'NaN' where id = 3`,
  `update t set loose = 1.123456789 where id in (3, 4)`,
  `update t set loose = null where id in (3, 4)`,
  `update t set amount = 'NaN' where id = 5`,
  `delete from t where id = 5`,
  `update t set kind = 7 where kind = 2`,
  `delete from t where amount = (select max(amount) from t)`,
  `insert into t (kind, whole, amount) select 7, -5, -9; delete from t where whole = -5`,
  `update t set word = 'new' where word = 'w2'`,
  `update t set whole = whole + 1`,
  `delete from t where kind is null`,
  `delete from t`,
  `insert into t (kind, word, whole, amount) values (null, null, null, null), (1, 'a', 3, 10)`,
]

test('what is kept by weight equals the query after each write', async () => {
  await expectKeptUp(db, queries, writes)
})

test('groups are kept by weight: in the table of their stage, or apart where not each has a row there', async () => {
  const found = await db.sql(
    `select relname::text as name from pg_class c
     where relnamespace = 'tidemark_state'::regnamespace and relkind = 'r'
       and (relname like 'groups %' or exists (select from pg_attribute where attrelid = c.oid and attname ~ '^tidemark (rows|count|sum)'))
     order by 1`,
  )
  const within = ['cases', 'distincts', 'extremes', 'sums', 'truths'].map(
    (name) => `public.${name}`,
  )
  const apart = ['alone', 'having'].map((name) => `groups 1 of public.${name}`)
  expect(found.map(({ name }) => name)).toEqual([...apart, ...within])
})
