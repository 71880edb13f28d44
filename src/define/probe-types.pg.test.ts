import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createInstalledDatabase } from '../../test/support/database.ts'
import { configured, planAndApply } from '../../test/define/configured.ts'
import { planConfiguration } from '../engine/define.ts'
import { probeTypes } from './probe-types.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create type pair as (x int, z text);
    create table pairs (id int primary key, p pair);
    insert into pairs values (1, (1, 'a')), (2, (2, 'b'))`)
})
afterAll(() => db.drop())

test('a query with a column that no table can have has no types, and takes none from the others', async () => {
  const queries = ['select 1 as a', 'select 1 as a, row(1, 2) as b', `select 'x'::text as a`]
  const types = await db.database.transaction((transaction) => probeTypes(transaction, queries))
  expect(types.map((each) => each.map(({ type }) => type))).toEqual([['integer'], [], ['text']])
})

test('a view that would have to store such a value is computed in full, and says why', async () => {
  const [found] = await db.sql(`select to_regprocedure('max(record)') is not null as there`)
  const sql = `select exists (select from pairs o where o.p < max(i.p)) as any from pairs i`
  const views = { largest: { sql } }
  if (found?.['there'] !== true) {
    await expect(planConfiguration(db.database, configured({ views }))).rejects.toThrow(
      'function max(pair) does not exist',
    )
    return
  }
  const plan = await planAndApply(db.database, { views }, { populate: true })
  expect(plan.steps.map(({ detail }) => detail).join('\n')).toContain(
    'a part of it is of type record, which no table can hold',
  )
  expect(await db.sql(`table largest`)).toEqual([{ any: true }])
})
