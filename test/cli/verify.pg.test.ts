import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import type { Ran, Shell } from './run.ts'
import { jsonOf, openShell } from './run.ts'

let db: TestDatabase
let shell: Shell

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table orders (id int primary key, region text, amount numeric not null);
    insert into orders select g, 'r' || g % 3, g from generate_series(1, 30) g;
    create role verify_owner login;
    create role verify_nobody login;`)
  shell = await openShell(db.url)
  await shell.write(
    'tidemark.config.ts',
    `import { defineConfig } from 'tidemark'
     export default defineConfig({
       views: {
         kept: { sql: 'select region, count(*) as n, sum(amount) as total from orders group by region', maintain: 'incremental', target: '1h' },
         computed: { sql: 'select count(*) as n, current_date as today from orders', maintain: 'full', target: '1h' },
         waiting: { sql: 'select id, region from orders', maintain: 'incremental', target: '1h' },
       },
     })`,
  )
  expect(await shell.run(['apply', '--yes'])).toMatchObject({ status: 0, err: '' })
})
afterAll(async () => {
  await shell.remove()
  await db.sql(`drop owned by verify_owner, verify_nobody; drop role verify_owner, verify_nobody`)
  await db.drop()
})

interface Answer {
  readonly outcome: string
  readonly compared_with: string
  readonly rows: number
  readonly missing: number
  readonly surplus: number
  readonly first_missing: readonly (readonly (string | null)[])[]
  readonly first_surplus: readonly (readonly (string | null)[])[]
  readonly refreshed: boolean
  readonly commits_count: string | null
  readonly marked: boolean
}

const only = (ran: Ran): Answer => (jsonOf(ran) as { views: [Answer] }).views[0]

/** Writes into a state table behind the back of its guard. */
const tamper = (statement: string): Promise<unknown> =>
  db.sql(`begin; set local session_replication_role = replica; ${statement}; commit`)

test('views that are what their queries say are equal, with status 0', async () => {
  const ran = await shell.run(['verify'])
  expect(ran).toMatchObject({ status: 0, err: '' })
  expect(ran.out).toContain('✓ kept equals its query: 3 rows')
  expect(ran.out).toContain('All 3 views equal their queries.')
})

test('an incremental view is compared with its exact query, another with its query as it stands', async () => {
  expect(only(await shell.run(['verify', 'kept', '--json']))).toMatchObject({
    compared_with: 'exact',
    refreshed: false,
  })
  expect(only(await shell.run(['verify', 'computed', '--json']))).toMatchObject({
    outcome: 'equal',
    compared_with: 'source',
    // Its query asks the clock, so it is compared in the transaction that computes it.
    refreshed: true,
  })
})

test('commits that are not reflected are no difference: the view is refreshed in the same transaction', async () => {
  await db.sql(`insert into orders values (100, 'new', 5)`)
  const ran = await shell.run(['verify', 'kept', '--json'])
  expect(ran.status).toBe(0)
  expect(only(ran)).toMatchObject({ outcome: 'equal', refreshed: true, rows: 4 })
  expect(await db.sql(`select n from kept where region = 'new'`)).toEqual([{ n: 1 }])
})

test('differing rows are shown, those that are missing and those that are too many, with status 3', async () => {
  await tamper(`update tidemark_state."public.kept" set n = 99 where region = 'r1'`)
  const ran = await shell.run(['verify', 'kept'])
  expect(ran.status).toBe(3)
  expect(ran.out).toMatch(/✗ kept differs from its query: 1 row missing, 1 row too many, of 4 rows/)
  expect(ran.out).toMatch(/missing +r1 +10 /)
  expect(ran.out).toMatch(/too many +r1 +99 /)
})

test('a difference marks the view, and its next refresh computes it afresh', async () => {
  const [row] = await db.sql<{ reason: string }>(
    `select reason from tidemark.freshness where view = 'public.kept'`,
  )
  expect(row?.reason).toContain('verification_failed: 2 rows differ')
  const ran = await shell.run(['verify', 'kept', '--json'])
  expect(only(ran)).toMatchObject({ outcome: 'equal', refreshed: true })
})

test('a view that was cut short has rows missing, each as often as it is missing', async () => {
  await tamper(`delete from tidemark_state."public.waiting" where id <= 8`)
  const ran = await shell.run(['verify', 'waiting', '--json'])
  expect(ran.status).toBe(3)
  const found = only(ran)
  expect(found).toMatchObject({ outcome: 'differs', missing: 8, surplus: 0, marked: true })
  expect(found.first_missing).toHaveLength(5)
  expect(found.first_missing[0]).toEqual(['1', 'r1'])
  await shell.run(['verify', 'waiting'])
})

test('where no refresh may come first, commits since the last one count and it is told', async () => {
  await db.sql(`select tidemark.pause('waiting', 'month end')`)
  expect((await shell.run(['verify', 'waiting'])).status).toBe(0)
  await db.sql(`insert into orders values (200, 'late', 1)`)
  const ran = await shell.run(['verify', 'waiting'])
  expect(ran.status).toBe(3)
  expect(ran.out).toMatch(/commits since its last refresh count: .*paused/)
  expect(only(await shell.run(['verify', 'waiting', '--json']))).toMatchObject({
    missing: 1,
    marked: false,
  })
  await db.sql(`select tidemark.resume('waiting')`)
  expect((await shell.run(['verify', 'waiting'])).status).toBe(0)
})

test('a view that was never filled and may not be is neither equal nor different', async () => {
  await db.sql(`
    update tidemark.view_state set populated = false where view = 'public.waiting';
    select tidemark.pause('waiting', 'month end')`)
  const ran = await shell.run(['verify', 'waiting', '--json'])
  expect(ran.status).toBe(3)
  expect(only(ran)).toMatchObject({ outcome: 'unfilled' })
  await db.sql(`select tidemark.resume('waiting')`)
  expect((await shell.run(['verify', 'waiting'])).status).toBe(0)
})

test('a table that is truncated while a comparison begins is waited for', async () => {
  const truncating = await db.session()
  await truncating.query('begin; truncate orders')
  const running = shell.run(['verify', 'kept', '--json'])
  await expect
    .poll(async () => {
      const [row] = await db.sql<{ waiting: boolean }>(
        `select exists (select from pg_locks where not granted and relation = 'orders'::regclass) as waiting`,
      )
      return row?.waiting
    })
    .toBe(true)
  await truncating.query('commit')
  expect(only(await running)).toMatchObject({ outcome: 'equal', rows: 0 })
})

test('who may not read what Tidemark stores is told so', async () => {
  const ran = await shell.run(['verify', 'kept', '--database-url', db.urlAs('verify_nobody')])
  expect(ran.status).toBe(1)
  expect(ran.err).toContain('TIDEMARK_PRIVILEGE_MISSING')
})

test('a name that no view has is refused with the nearest one', async () => {
  const ran = await shell.run(['verify', 'ketp'])
  expect(ran.status).toBe(1)
  expect(ran.err).toMatch(/TIDEMARK_VIEW_UNKNOWN[^]*kept/)
})

test('a view that cannot be compared keeps no other from it; it is told with its code, with status 1', async () => {
  await db.sql(`insert into orders values (300, null, -1)`)
  await db.sql(
    `alter table tidemark_state."public.computed" add constraint never check (n < 0) not valid`,
  )
  const ran = await shell.run(['verify', '--json'])
  expect(ran.status).toBe(1)
  const { equal, views, failed } = jsonOf(ran) as {
    equal: boolean
    views: readonly { view: string; outcome: string }[]
    failed: readonly object[]
  }
  expect(equal).toBe(false)
  expect(views.map(({ view, outcome }) => [view, outcome])).toEqual([
    ['public.kept', 'equal'],
    ['public.waiting', 'equal'],
  ])
  expect(failed).toMatchObject([
    { view: 'public.computed', outcome: 'failed', code: 'TIDEMARK_REFRESH_FAILED' },
  ])
  const { out } = await shell.run(['verify'])
  expect(out).toContain('✗ computed could not be compared')
  expect(out).toContain('✓ waiting equals its query')
  expect(out).toContain('1 of 3 views could not be compared.')
})
