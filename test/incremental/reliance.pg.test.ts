import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import type { Queryable } from '../../src/postgres/connection.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { copiesOf, createInstalledDatabase } from '../support/database.ts'

// What a refresh relies on is looked at closely only where a row of the catalogues is another version than when that was
// last done (decision 67). Each test breaks it after such a look.

let db: TestDatabase

const declared = configured({
  views: {
    'public.totals': {
      sql: `select o.region, private.rounded(sum(o.amount)) as total, count(p.id) as parts
        from orders o left join parts p on p.order_id = o.id group by o.region`,
      maintain: 'incremental',
      target: '1h',
    },
  },
})

/** The close look has been taken of which the findings are remembered. */
const applied = copiesOf(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create schema private;
    create function private.rounded(numeric) returns numeric language sql immutable as 'select round($1, 1)';
    create table orders (id int primary key, region text, amount numeric(10,2), note text);
    create table parts (id int, order_id int) partition by range (id);
    create table parts_low partition of parts for values from (0) to (100);
    create table parts_high (id int, order_id int);
    insert into orders select g, 'r' || g % 3, g from generate_series(1, 30) g;
    insert into parts select g, g % 30 from generate_series(1, 50) g`)
  await applyConfiguration(db.database, declared)
  expect(await refreshed()).toBe('incremental')
  return db
})

beforeEach(async () => {
  db = await applied()
  expect(await problem()).toBe('none')
  expect(await db.sql('select view from tidemark.relied_on')).toEqual([{ view: 'public.totals' }])
})
afterEach(() => db.drop())

/** Changes a row, refreshes, and says how that was done. */
async function refreshed(by: Queryable = db.database): Promise<unknown> {
  await db.sql('update orders set amount = amount + 1 where id = 7')
  await by.query(`call tidemark.run('public.totals', 'event', 'test')`)
  const [run] = await db.sql<{ method: string }>(
    'select method from tidemark.run order by run_id desc limit 1',
  )
  return run?.method
}

const problem = async (): Promise<string> => {
  const [row] = await db.sql<{ problem: string | null }>(
    `select tidemark.reliance_problem('public.totals') as problem`,
  )
  return row?.problem ?? 'none'
}

const triggerOf = async (table: string): Promise<string> => {
  const [row] = await db.sql<{ name: string }>(
    `select quote_ident(t.tgname) as name from pg_trigger t join pg_proc p on p.oid = t.tgfoid
     where t.tgrelid = $1::regclass and p.pronamespace = 'tidemark'::regnamespace order by t.tgname limit 1`,
    [table],
  )
  return row?.name ?? ''
}

const captureFunctions = [
  'capture public.orders',
  'capture insert of public.orders',
  'capture update of public.orders',
  'capture delete of public.orders',
]

const state = 'tidemark_state."public.totals"'
const maintain = 'tidemark_state."maintain public.totals"'

describe('a refresh does not trust what it kept', () => {
  const ways: readonly [string, RegExp, (table: string) => string][] = [
    [
      'a capture trigger disabled',
      /^trigger_disabled/,
      (trigger) => `alter table orders disable trigger ${trigger}`,
    ],
    [
      'a capture trigger disabled and enabled again',
      /^capture_changed/,
      (trigger) =>
        `alter table orders disable trigger ${trigger}; alter table orders enable always trigger ${trigger}`,
    ],
    [
      'a capture trigger dropped',
      /^capture_changed/,
      (trigger) => `drop trigger ${trigger} on orders`,
    ],
    ...captureFunctions.map((name): [string, RegExp, () => string] => [
      `"${name}" replaced`,
      /^capture_changed/,
      () =>
        `create or replace function tidemark."${name}"() returns trigger language plpgsql as 'begin return null; end'`,
    ]),
    [
      'a captured column dropped',
      /^definition_changed: column amount of public\.orders, which public\.totals reads, was dropped or renamed/,
      () => 'alter table orders drop column amount cascade',
    ],
    ['a source made unlogged', /^unlogged/, () => 'alter table orders set unlogged'],
    [
      'a partition attached',
      /^capture_changed/,
      () => 'alter table parts attach partition parts_high for values from (100) to (200)',
    ],
    [
      'a partition detached',
      /^capture_changed/,
      () => 'alter table parts detach partition parts_low',
    ],
    [
      'a source that logical replication writes to since',
      /^capture_changed/,
      () =>
        `insert into pg_subscription_rel (srsubid, srrelid, srsubstate) values (1, 'orders'::regclass, 'r')`,
    ],
    [
      'a change log that may be emptied by anybody',
      /^capture_changed/,
      () => 'drop trigger "tidemark guard" on tidemark."log 1 public.orders"',
    ],
    [
      'a rule that keeps rows from a change log',
      /^capture_changed/,
      () => 'create rule nothing as on insert to tidemark."log 1 public.orders" do instead nothing',
    ],
    ['a change log dropped', /^capture_changed/, () => 'drop table tidemark."log 1 public.orders"'],
    ['capture bypassed', /^bypassed/, () => `select tidemark.bypass('orders', 'a test')`],
    [
      'a function that the query calls replaced',
      /^definition_changed: a view, function, type, generated column, collation or text search configuration that public\.totals reads was replaced, altered or renamed/,
      () =>
        `create or replace function private.rounded(numeric) returns numeric language sql immutable as 'select round($1)'`,
    ],
    [
      'a column added to the state',
      /^parts_changed/,
      () => `alter table ${state} add column more int`,
    ],
    [
      'the guard of the state disabled',
      /^parts_changed/,
      () => `alter table ${state} disable trigger "tidemark guard"`,
    ],
    [
      'a trigger of somebody on the state',
      /^parts_changed/,
      () =>
        `create trigger a before update on ${state} for each row execute function suppress_redundant_updates_trigger()`,
    ],
    [
      'a rule on the state',
      /^parts_changed/,
      () => `create rule nothing as on update to ${state} do instead nothing`,
    ],
    [
      'the program altered',
      /^parts_changed/,
      () => `alter function ${maintain} set work_mem = '64kB'`,
    ],
  ]
  test.each(ways)('%s', async (_, reason, statement) => {
    await db.sql(statement(await triggerOf('orders')))
    expect(await problem()).toMatch(reason)
    expect(await db.sql(`select tidemark.kept_since('public.totals') as since`)).toEqual([
      { since: null },
    ])
  })
})

describe('a refresh goes on from what changed', () => {
  const ways: readonly [string, string][] = [
    ['after a column was added to a source', 'alter table orders add column more int'],
    ['after a source was renamed', 'alter table parts rename to pieces'],
    ['after a right was granted', 'grant select on orders to public'],
    ['after an index was made', 'create index on orders (region)'],
    [
      'after the change log was emptied',
      `begin; set local tidemark.emptying = 'on'; truncate tidemark."log 2 public.orders"; commit`,
    ],
    ['after ANALYZE and VACUUM', 'vacuum analyze'],
    ['in another time zone', `set timezone = 'Asia/Tokyo'`],
  ]
  test.each(ways)('%s', async (_, statement) => {
    const session = await db.session()
    await session.query(statement)
    expect(await refreshed(session)).toBe('incremental')
    expect(await problem()).toBe('none')
  })
})

test('bypass stops capture of every kind of change, and capture_again brings it back', async () => {
  const definitions = (): Promise<unknown> =>
    db.sql(
      `select p.proname as name, pg_get_functiondef(p.oid) as definition from pg_proc p
       where p.proname = any ($1) order by 1`,
      [captureFunctions],
    )
  const logged = async (): Promise<unknown> => {
    const [row] = await db.sql<{ rows: number }>(
      [0, 1, 2]
        .map((bucket) => `(select count(*)::int from tidemark."log ${bucket} public.orders")`)
        .join(' + ')
        .replace(/^/, 'select ') + ' as rows',
    )
    return row?.rows
  }
  const writes = [
    `insert into orders values (100, 'r1', 1)`,
    'update orders set amount = 2 where id = 100',
    'delete from orders where id = 100',
    'truncate orders cascade',
  ]
  const before = await definitions()
  expect(before).toHaveLength(4)
  const rows = await logged()
  await db.sql(`select tidemark.bypass('orders', 'a load')`)
  await db.sql(`select tidemark.bypass('orders', 'told twice')`)
  for (const write of writes) await db.sql(write)
  expect(await logged()).toBe(rows)
  await db.sql(`select tidemark.capture_again('orders')`)
  expect(await definitions()).toEqual(before)
  for (const write of writes) await db.sql(write)
  expect(await logged()).toBe(Number(rows) + writes.length)
  expect(await refreshed()).toBe('diff')
})

test('nobody takes anything out of a change log but who empties it', async () => {
  const log = 'tidemark."log 0 public.orders"'
  for (const write of [`delete from ${log}`, `update ${log} set w = 0`, `truncate ${log}`]) {
    await expect(db.sql(write)).rejects.toThrow(/is emptied by Tidemark alone/)
    await expect(db.sql(`set session_replication_role = replica; ${write}`)).rejects.toThrow(
      /is emptied by Tidemark alone/,
    )
  }
})

test('what one transaction alters twice is not taken for unchanged', async () => {
  const session = await db.session()
  await session.query('begin')
  await session.query('alter table orders add column more int')
  await session.query(`select tidemark.reliance_problem('public.totals')`)
  await session.query(`alter table orders disable trigger ${await triggerOf('orders')}`)
  await session.query('commit')
  expect(await problem()).toMatch(/^trigger_disabled/)
})

describe('a refresh that checks itself', () => {
  const verify = (how: string): Promise<unknown> =>
    db.sql(`update tidemark.view set verify = '${how}' where name = 'public.totals'`)
  /** As a fault of the disk would, or a bug of ours. */
  const spoil = (): Promise<unknown> =>
    db.sql(`
      begin;
      set local tidemark.refreshing = 'public.totals';
      update ${state} set total = total + 5 where region = 'r2';
      commit`)
  const told = async (): Promise<unknown> => {
    const [row] = await db.sql(
      `select s.checks::int, s.mismatches::int, f.state, split_part(f.reason, ':', 1) as reason
       from tidemark.view_state s join tidemark.freshness f on f.view = s.view`,
    )
    return row
  }

  test('never, with off', async () => {
    await spoil()
    expect(await refreshed()).toBe('incremental')
    expect(await told()).toEqual({ checks: 0, mismatches: 0, state: 'fresh', reason: null })
  })

  test('always, with full: a difference is counted, the view is unknown, and the next tick has it computed afresh', async () => {
    await verify('full')
    expect(await refreshed()).toBe('incremental')
    expect(await told()).toEqual({ checks: 1, mismatches: 0, state: 'fresh', reason: null })
    await spoil()
    expect(await refreshed()).toBe('incremental')
    expect(await told()).toEqual({
      checks: 2,
      mismatches: 1,
      state: 'unknown',
      reason: 'verification_failed',
    })
    await db.sql('select tidemark.tick()')
    await db.sql('call tidemark.work()')
    expect(await told()).toEqual({ checks: 3, mismatches: 1, state: 'fresh', reason: null })
    const [run] = await db.sql(
      `select method, rows_inserted + rows_updated + rows_deleted > 0 as mended, differing::int
       from tidemark.run order by run_id desc limit 1`,
    )
    expect(run).toEqual({ method: 'diff', mended: true, differing: 0 })
  })

  test('with sample, as a whole so seldom that it takes a twentieth of the time', async () => {
    await verify('sample')
    // No group can be computed alone: see checked-groups.pg.test.ts for where they can.
    await db.sql(`update tidemark.view_state set group_check_ms = 'infinity'`)
    expect(await refreshed()).toBe('incremental')
    await db.sql(
      `update tidemark.view_state set check_ms = 1000, checked_at = clock_timestamp() - interval '10 seconds'`,
    )
    expect(await refreshed()).toBe('incremental')
    expect(await told()).toMatchObject({ checks: 1 })
    await db.sql(
      `update tidemark.view_state set checked_at = clock_timestamp() - interval '20 seconds'`,
    )
    await spoil()
    expect(await refreshed()).toBe('incremental')
    expect(await told()).toEqual({
      checks: 2,
      mismatches: 1,
      state: 'unknown',
      reason: 'verification_failed',
    })
  })
})
