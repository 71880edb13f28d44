import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const queries: Queries = {
  best: `select id, amount from t order by amount desc nulls last, id limit 3`,
  later: `select id from t order by amount, id offset 2 limit 4`,
  tied: `select word, amount from t order by amount desc nulls last fetch first 4 rows with ties`,
  alike: `select word from t order by word limit 5`,
  groups: `select kind from t group by kind order by sum(amount) desc nulls last, kind limit 2`,
  unordered: `select 1 as one from t limit 6`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`create table t (id int, kind int, word text, amount numeric)`)
  await db.sql(
    `insert into t select g, g % 7, 'w' || g % 5, nullif(g % 90, 17) from generate_series(1, 400) g`,
  )
  await installIncremental(db, queries)
})
afterAll(async () => {
  await db.drop()
})

const kept = async (): Promise<unknown> => {
  const [row] = await db.sql(
    `select count(*)::int as rows from tidemark_state."stage 1 of public.best"`,
  )
  return row
}

test('the first rows of an order stay right while rows come before, at and after the last one that is kept', async () => {
  await expectKeptUp(db, queries, [
    `update t set amount = 1 where id = 300`,
    `insert into t values (500, 3, 'w0', 89), (501, 3, 'w0', 89), (502, 3, 'w0', 89)`,
    `delete from t where id in (500, 501)`,
    `update t set amount = null where amount > 86`,
    `insert into t select 600 + g, 1, 'w0', 80 from generate_series(1, 4) g`,
    `delete from t where word = 'w0' and id % 2 = 0`,
  ])
})

test('no more are kept than a few times what is shown, and where too few are left all are looked through', async () => {
  await expectKeptUp(db, queries, [`update t set amount = amount + 1000 where id <= 200`])
  expect(await kept()).toEqual({ rows: 112 })
  await expectKeptUp(db, queries, [`delete from t where amount >= 1000 and id > 4`])
  expect(await kept()).toEqual({ rows: 56 })
  await expectKeptUp(db, queries, [`delete from t where amount >= 1000`])
  expect(await kept()).toEqual({ rows: 52 })
})

test('of fewer rows than are shown all are kept', async () => {
  await expectKeptUp(db, queries, [
    `delete from t where id <> 7 and id <> 350`,
    `insert into t values (1, 1, 'w1', 5)`,
    `delete from t`,
    `insert into t values (2, 2, 'w2', null), (2, 2, 'w2', null), (3, 1, 'w3', 'NaN')`,
    `insert into t select g, g % 7, 'w' || g % 5, g from generate_series(1, 200) g`,
  ])
})
