import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OracleDatabase } from '../oracle/oracle-database.ts'
import { maintainDirectly } from '../oracle/maintain-directly.ts'
import { openOracleDatabase } from '../oracle/oracle-database.ts'
import { runCase } from '../oracle/run-batch.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { casesOf } from '../support/shares.ts'
import { readSqlCases } from './sql-cases.ts'

let db: TestDatabase
let on: OracleDatabase

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`create extension citext; alter database ${db.name} set search_path = o, public`)
  on = await openOracleDatabase(db.url, db.database)
})
afterAll(async () => {
  await on.closeSessions()
  await db.drop()
})

/** Constructs without a rule: computed as a whole, exactly, or not at all; docs/incremental.md names them. */
const withoutRule: Readonly<Record<string, string>> = {
  'recursive correlated': 'WITH RECURSIVE that refers to the query around it',
}

test(
  'every construct is maintained from what changes, and holds what its query gives after every write',
  { timeout: 600_000 },
  async () => {
    const { schema, writes, queries: all } = await readSqlCases('constructs.sql')
    // On the second server every third, and what has no rule.
    const every = casesOf(5) < 5 ? 3 : 1
    const queries = all.filter(({ name }, at) => at % every === 0 || name in withoutRule)
    const { views } = await runCase(
      { on, maintainer: maintainDirectly() },
      {
        schema: ['create schema o', schema],
        data: [],
        views: queries.map(({ name, sql }, at) => ({
          name: `o.v${at + 1}`,
          sql,
          choice: name.endsWith('(leaves a choice)'),
          featured: name,
          constructs: [],
        })),
        histories: [writes.flatMap((sql) => [{ session: 0, sql }, { refresh: true as const }])],
      },
    )
    expect(views).toHaveLength(queries.length)
    const wrong = views.filter(({ outcome }) => outcome !== 'exact')
    expect(
      wrong.map(({ view, outcome, detail }) => ({ name: view.featured, outcome, detail })),
    ).toEqual([])
    const whole = views.filter(({ strategy }) => strategy !== 'incremental')
    expect(Object.fromEntries(whole.map(({ view, detail }) => [view.featured, detail]))).toEqual(
      withoutRule,
    )
    // Each changed, and what is compared is something: a view that stays empty would prove nothing.
    expect(
      views
        .filter(({ incremental }) => incremental < writes.length - 1)
        .map(({ view }) => view.featured),
    ).toEqual([])
    expect(views.filter(({ rowsMax }) => rowsMax === 0).map(({ view }) => view.featured)).toEqual(
      [],
    )
  },
)
