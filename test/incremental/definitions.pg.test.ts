import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

// What a program takes for granted of columns, functions and types, or names in its text, and somebody changes beneath it.

let db: TestDatabase

const sales = configured({
  views: {
    'public.by_state': {
      sql: `select s.state::text as state, private.added(s.amount) as total, private.nearly(sum(s.twice)) as twice,
          count(*) filter (where s.amount operator(private.|>|) 5) as high, count(s.amount) as amounts,
          max((select l.label from labels l where l.state = s.state)) as label
        from sales s where s.state <> 'gone' group by s.state::text`,
      maintain: 'incremental',
      target: '1h',
    },
  },
})

const install = `
  create schema private;
  create type private.state as enum ('new', 'paid', 'gone');
  create function private.plus(numeric, numeric) returns numeric language sql immutable as 'select $1 + $2';
  create aggregate private.added(numeric) (sfunc = private.plus, stype = numeric, initcond = 0);
  create function private.above(numeric, numeric) returns boolean language sql immutable as 'select $1 > $2';
  create operator private.|>| (function = private.above, leftarg = numeric, rightarg = numeric);
  create function private.half(numeric) returns numeric language sql immutable as 'select $1 / 2';
  create function private.nearly(numeric) returns numeric language sql immutable begin atomic select private.half($1); end;
  create table sales (id int primary key, state private.state, amount numeric not null, other int not null default 0,
    twice numeric generated always as (amount * 2) stored);
  create table labels (state private.state not null unique, label text not null unique, color text unique);
  insert into labels values ('new', 'offen'), ('paid', 'bezahlt');
  insert into sales select g, case g % 2 when 0 then 'paid' else 'new' end::private.state, g from generate_series(1, 20) g`

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(install)
  await applyConfiguration(db.database, sales)
  await refresh()
  expect(await reason()).toBeNull()
})
afterEach(() => db.drop())

const refresh = (): Promise<unknown> =>
  db.sql(`call tidemark.run('public.by_state', 'event', 'test')`)
const reason = async (): Promise<string | null> => {
  const [row] = await db.sql<{ reason: string | null }>(
    `select reason from tidemark.freshness where view = 'public.by_state'`,
  )
  return row?.reason ?? null
}
const differences = async (): Promise<number | undefined> => {
  const query = 'table tidemark_state."source of public.by_state"'
  const [row] = await db.sql<{ rows: number }>(
    `select count(*)::int as rows from (
       (table by_state except all (${query})) union all ((${query}) except all table by_state)) d`,
  )
  return row?.rows
}
const serverVersion = async (): Promise<number> => {
  const [row] = await db.sql<{ version: number }>(
    `select current_setting('server_version_num')::int / 10000 as version`,
  )
  return row?.version ?? 0
}

describe('a view is unknown until apply, which has it right again', () => {
  const ways: readonly [string, RegExp, string][] = [
    [
      'a column that may be NULL since',
      /^definition_changed: column amount of public\.sales, which public\.by_state reads, may be NULL now/,
      `alter table sales alter amount drop not null; insert into sales (id, state) values (21, 'paid')`,
    ],
    [
      'a value of an enum renamed',
      /^definition_changed: a view, function, type/,
      `alter type private.state rename value 'paid' to 'settled'`,
    ],
    [
      'a key by which a subquery finds one row, which is checked at the end of a transaction since',
      /^definition_changed: a unique index of public\.labels, by which public\.by_state finds one row, was dropped/,
      `alter table labels drop constraint labels_state_key;
       alter table labels add unique (state) deferrable`,
    ],
    [
      'the function of an aggregate replaced',
      /^definition_changed: a view, function, type/,
      `create or replace function private.plus(numeric, numeric) returns numeric language sql immutable as 'select $1 + 2 * $2'`,
    ],
    [
      'the function of an operator replaced',
      /^definition_changed: a view, function, type/,
      `create or replace function private.above(numeric, numeric) returns boolean language sql immutable as 'select $1 > 2 * $2'`,
    ],
    [
      'a function within a function replaced',
      /^definition_changed: a view, function, type/,
      `create or replace function private.half(numeric) returns numeric language sql immutable as 'select $1 / 4'`,
    ],
  ]
  test.each(ways)('%s', async (_, words, statement) => {
    await db.sql(statement)
    expect(await reason()).toMatch(words)
    await refresh()
    expect(await reason()).toMatch(words)
    await applyConfiguration(db.database, sales)
    await refresh()
    await db.sql(`update sales set amount = amount + 1 where id = 7`)
    await refresh()
    expect(await reason()).toBeNull()
    expect(await differences()).toBe(0)
  })

  test('a type renamed, which its program names', async () => {
    await db.sql('alter type private.state rename to states')
    expect(await reason()).toMatch(/^definition_changed: a view, function, type/)
    await applyConfiguration(db.database, sales)
    await refresh()
    expect(await reason()).toBeNull()
    expect(await differences()).toBe(0)
  })

  test('a column with the name that a captured one had', async () => {
    await db.sql(`alter table sales rename column amount to due`)
    await db.sql(`update sales set due = due + 1 where id = 7`)
    await refresh()
    expect(await reason()).toBeNull()
    expect(await differences()).toBe(0)
    await db.sql(`alter table sales rename column other to amount`)
    await db.sql(`update sales set due = due + 1 where id = 8`)
    await refresh()
    expect(await reason()).toMatch(/^column_renamed: a column of public.sales has the name/)
  })

  test('a column that is generated otherwise since', async (context) => {
    if ((await serverVersion()) < 17) {
      context.skip('PostgreSQL 17 was the first that could')
      return
    }
    await db.sql('alter table sales alter twice set expression as (amount * 3)')
    expect(await reason()).toMatch(/^definition_changed: a view, function, type/)
  })

  test('but not for a value that was added to an enum, a column that is NOT NULL since, or a key of what it does not read', async () => {
    await db.sql(`alter type private.state add value 'lost' before 'gone'`)
    await db.sql(
      `alter table sales alter state set not null; alter table sales alter other drop not null`,
    )
    await db.sql('alter table labels drop constraint labels_color_key; reindex table labels')
    await db.sql(`insert into sales (id, state, amount) values (22, 'lost', 3)`)
    await refresh()
    expect(await reason()).toBeNull()
    expect(await differences()).toBe(0)
    await refresh()
    await db.sql(`alter type private.state rename value 'lost' to 'found'`)
    expect(await reason()).toMatch(/^definition_changed/)
  })
})
