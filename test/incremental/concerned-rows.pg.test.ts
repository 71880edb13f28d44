import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { explainFile } from '../../src/engine/explain.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { configured } from '../define/configured.ts'
import { maintainDirectly } from '../oracle/maintain-directly.ts'
import type { OracleDatabase } from '../oracle/oracle-database.ts'
import { openOracleDatabase } from '../oracle/oracle-database.ts'
import { runCase } from '../oracle/run-batch.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
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

/** What no equality ties to its row; rows that nothing tells apart but values of types without a hash; and what is computed altogether anyway. */
const altogether = ['not distinct', 'documents', 'recursion']

test('what depends on its row by an equality and otherwise too is what its query gives, after every change', async () => {
  const { schema, writes, queries } = await readSqlCases('concerned-rows.sql')
  const { views } = await runCase(
    { on, maintainer: maintainDirectly() },
    {
      schema: ['create schema o', schema],
      data: [],
      views: queries.map(({ name, sql }, at) => ({
        name: `o.v${at + 1}`,
        sql,
        choice: false,
        featured: name,
        constructs: [],
      })),
      histories: [
        writes.flatMap((sql, at) => [
          { session: 0, sql },
          ...(at % 3 === 2 ? [{ refresh: true as const }] : []),
        ]),
      ],
    },
  )
  expect(
    views.map(({ view, outcome, strategy, detail, rowsMax }) => ({
      name: view.featured,
      outcome,
      strategy,
      detail,
      empty: rowsMax === 0,
    })),
  ).toEqual(
    queries.map(({ name }) => ({
      name,
      outcome: 'exact',
      strategy: 'incremental',
      detail: '',
      empty: false,
    })),
  )
})

const untied = 'a subquery that is computed for each row and that no equality ties to it'
const others: Readonly<Record<string, string>> = { recursion: 'WITH RECURSIVE' }

test('where an equality of columns ties it to its row, no part is computed altogether', async () => {
  const { queries } = await readSqlCases('concerned-rows.sql')
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-concerned-'))
  const database = openDatabase(db.url)
  try {
    await writeFile(join(folder, 'views.sql'), queries.map(({ sql }) => `${sql};\n`).join(''))
    const explained = await explainFile(database, { folder, path: 'views.sql' })
    const all = explained.queries.map(({ stages }) => stages.some(({ method }) => method === 'all'))
    expect(queries.filter((_, at) => all[at]).map(({ name }) => name)).toEqual(altogether)
    expect(explained.queries.flatMap(({ reasons }) => reasons.map(({ reason }) => reason))).toEqual(
      queries.map(({ name }) =>
        altogether.includes(name)
          ? `computed afresh altogether when something that it reads has changed: ${others[name] ?? untied}`
          : 'every part of the query has a rule',
      ),
    )
  } finally {
    await database.close()
    await rm(folder, { recursive: true, force: true })
  }
})

describe('a change of a few rows', () => {
  let counting: TestDatabase

  beforeAll(async () => {
    counting = await createInstalledDatabase()
    await counting.sql(`
      create table users (id int primary key, since int);
      create table event (user_id int, at int);
      insert into users select g, g % 7 from generate_series(1, 30) g;
      insert into event select g % 31, g % 11 from generate_series(1, 300) g;
      create function noted(n bigint) returns bigint language plpgsql immutable as $$ begin
        perform set_config('test.computed', (coalesce(nullif(current_setting('test.computed', true), ''), '0')::int + 1)::text, false);
        return n; end $$`)
    const sql = `select u.id, (select noted(count(*)) from event e where e.user_id = u.id and e.at > u.since) as n from users u`
    await applyConfiguration(
      counting.database,
      configured({ views: { 'public.later': { sql, maintain: 'incremental', target: '1m' } } }),
    )
  })
  afterAll(() => counting.drop())

  test.each([
    [
      'of the rows that a subquery reads',
      `insert into event values (6, 100), (6, 101), (8, 100), (null, 3), (5000, 1)`,
      2,
    ],
    ['that no row meets', `insert into event values (6, -1)`, 0],
    ['of the rows that it is computed for', `update users set since = 0 where id in (9, 10)`, 2],
    [
      'of both',
      `update users set since = 1 where id = 9; delete from event where user_id = 10 and at > 4`,
      2,
    ],
  ])('%s is a matter of the rows that are concerned', async (_, write, rows) => {
    const session = await counting.session()
    await session.query(write)
    await session.query(`set test.computed = 0`)
    await session.query(`call tidemark.run('public.later')`)
    const [found] = await session.query(`select current_setting('test.computed')::int as rows`)
    await session.close()
    expect(found).toEqual({ rows })
  })
})
