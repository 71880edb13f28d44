import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

// With `verify: 'sample'` a refresh computes some groups by the query alone (decision 86). Nothing here is compared as a
// whole, but where a test says so: then only that can have found what was found.

let db: TestDatabase

const views = {
  totals: `select region, count(*) as n, sum(amount) as total from orders group by region`,
  busy: `select region, sum(amount) as total from orders group by region having count(*) > 2`,
  dear: `select o.id, o.note, r.title, o.amount from orders o join regions r using (region) where o.amount > 5`,
  placed: `select region, id, rank() over (partition by region order by amount) as place from orders`,
  top: `select id, amount from orders order by amount desc, id limit 3`,
  shares: `select 100 / amount::int as share from orders where sound(amount)`,
}
type View = keyof typeof views

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create function sound(numeric) returns boolean language plpgsql immutable cost 1000 as 'begin return $1 <> 0; end';
    create table regions (region text primary key, title text);
    create table orders (id int primary key, region text, amount numeric(10,2), note json);
    insert into regions select 'r' || g, 'It''s ' || g from generate_series(0, 4) g;
    insert into orders select g, nullif('r' || g % 5, 'r4'), g, '{"a": 1}' from generate_series(0, 19) g`)
  const wanted: TidemarkConfig['views'] = Object.fromEntries(
    Object.entries(views).map(([name, sql]) => [
      `public.${name}`,
      { sql, maintain: 'incremental', target: '1h', verify: 'sample' },
    ]),
  )
  await applyConfiguration(db.database, configured({ views: wanted }))
})
afterAll(() => db.drop())

/** From now on nothing is compared as a whole. */
beforeEach(() =>
  db.sql(`update tidemark.view_state set let_go_reason = null, groups_checked = 0, mismatches = 0,
            check_credit_ms = 0, group_check_ms = null, check_ms = 1e9, checked_at = clock_timestamp()`),
)

const due = (): Promise<unknown> => db.sql('update tidemark.view_state set check_credit_ms = 0')

const run = (view: View): Promise<unknown> =>
  db.sql(`call tidemark.run('public.${view}', 'event', 'test')`)

const changeOne = (id: number): Promise<unknown> =>
  db.sql(`update orders set amount = amount + 1 where id = ${String(id)}`)

interface Told {
  readonly method: string
  readonly differing: number | null
  readonly groups: number | null
  readonly state: string
  readonly reason: string | null
}

/** What the last run of a view says, and the view itself. */
async function told(view: View): Promise<Told> {
  const [row] = await db.sql<Told>(
    `select r.method, r.differing::int, r.groups_checked::int as groups, f.state, f.reason
     from tidemark.runs r join tidemark.freshness f on f.view = r.view_name
     where r.view_name = 'public.${view}' order by r.run_id desc limit 1`,
  )
  if (row === undefined) throw new Error(`${view} never ran`)
  return row
}

/** As a fault of the disk would, or a bug of ours. */
const spoil = (view: View, statement: string): Promise<unknown> =>
  db.sql(`begin; set local tidemark.refreshing = 'public.${view}'; ${statement}; commit`)

/** The next tick has a view computed afresh that was found wrong. */
async function expectMended(view: View): Promise<void> {
  await db.sql('select tidemark.tick()')
  await db.sql('call tidemark.work()')
  expect(await told(view)).toMatchObject({ method: 'diff', state: 'fresh', reason: null })
  const differing = await db.sql(
    `select x::text from (${views[view]}) x except all select x::text from ${view} x`,
  )
  expect(differing).toEqual([])
}

const foundWrong: object = {
  state: 'unknown',
  reason: expect.stringMatching(/^verification_failed/) as unknown,
}

describe('a refresh computes groups by the query alone', () => {
  /** Of rows that look alike one came and one went; the others are one group and one by the way. */
  const groupsOf: Partial<Record<View, number>> = { dear: 3 }
  test.each<View>(['totals', 'busy', 'dear', 'placed'])(
    '%s: those that it touched and one that it did not, and finds them equal',
    async (view) => {
      await run(view)
      for (const id of [17, 18]) {
        await changeOne(id)
        await due()
        await run(view)
        expect(await told(view)).toMatchObject({
          differing: 0,
          groups: groupsOf[view] ?? 2,
          state: 'fresh',
        })
      }
    },
  )

  test('a row spoilt in a group that is touched is found, told, and mended by the next tick', async () => {
    await run('totals')
    await spoil(
      'totals',
      `update tidemark_state."public.totals" set "tidemark sum 2" = "tidemark sum 2" + 5 where region = 'r3'`,
    )
    await changeOne(13)
    await due()
    await run('totals')
    // One row of the query is missing, and one that is stored is too many.
    expect(await told('totals')).toMatchObject({
      method: 'incremental',
      differing: 2,
      ...foundWrong,
    })
    await expectMended('totals')
  })

  test('groups in a table apart: what they are known by is wrong, and shows', async () => {
    await run('busy')
    await spoil(
      'busy',
      `update tidemark_state."groups 1 of public.busy" set "sum 2" = 1 where "key 1" = 'r3'`,
    )
    await changeOne(13)
    await due()
    await run('busy')
    expect(await told('busy')).toMatchObject({ method: 'incremental', ...foundWrong })
    await expectMended('busy')
  })

  test.each<[View, string]>([
    ['totals', `update tidemark_state."public.totals" set total = total + 5 where region = 'r2'`],
    ['totals', `update tidemark_state."public.totals" set n = n + 1 where region is null`],
    ['dear', `update tidemark_state."public.dear" set title = 'no' where id = 12`],
    ['placed', `update tidemark_state."public.placed" set place = 9 where id = 12`],
  ])('%s: a row that nothing touches is found when its turn comes: %s', async (view, statement) => {
    await run(view)
    await spoil(view, statement)
    const [{ rows } = { rows: 0 }] = await db.sql<{ rows: number }>(
      `select count(*)::int as rows from tidemark_state."public.${view}"`,
    )
    let refreshes = 0
    do {
      refreshes += 1
      await changeOne(11)
      await due()
      await run(view)
    } while ((await told(view)).state === 'fresh' && refreshes <= 2 * rows)
    expect(await told(view)).toMatchObject({ method: 'incremental', ...foundWrong })
    await expectMended(view)
  })
})

describe('checks are bounded', () => {
  test('without credit no group is checked, and a refresh earns a twentieth of what it took', async () => {
    await db.sql('update tidemark.view_state set check_credit_ms = -1000')
    await changeOne(12)
    await run('totals')
    expect(await told('totals')).toMatchObject({ groups: null, differing: null })
    const [state] = await db.sql(
      `select check_credit_ms > -1000 as earned, check_credit_ms < -500 as little
       from tidemark.view_state where view = 'public.totals'`,
    )
    expect(state).toEqual({ earned: true, little: true })
  })

  test('where no group can be computed alone the whole is compared, a twentieth of the time', async () => {
    await db.sql(
      `update tidemark.view_state set check_ms = 1000, checked_at = clock_timestamp() - interval '19 seconds'`,
    )
    await db.sql('update orders set amount = 1000 where id = 10')
    await run('top')
    expect(await told('top')).toMatchObject({ groups: null, differing: null })
    await db.sql(
      `update tidemark.view_state set checked_at = clock_timestamp() - interval '20 seconds'`,
    )
    await db.sql('update orders set amount = 1001 where id = 10')
    await run('top')
    expect(await told('top')).toMatchObject({ groups: null, differing: 0 })
  })

  test('where groups are checked the whole is compared a five-hundredth of the time', async () => {
    const sinceWhole = (seconds: number): Promise<unknown> =>
      db.sql(
        `update tidemark.view_state set check_ms = 1000, groups_checked = 1,
           checked_at = clock_timestamp() - interval '${String(seconds)} seconds'`,
      )
    await run('totals')
    await sinceWhole(490)
    await due()
    await changeOne(15)
    await run('totals')
    expect(await told('totals')).toMatchObject({ groups: 2, differing: 0 })
    await sinceWhole(500)
    await changeOne(15)
    await run('totals')
    expect(await told('totals')).toMatchObject({ groups: null, differing: 0 })
  })

  test('a look of a year, as a clock says that was set on, puts off the next by a month, and ten minutes are made up for', async () => {
    await db.sql(
      `update tidemark.view_state set check_ms = 365 * 86400e3, check_credit_ms = - 365 * 86400e3,
         checked_at = clock_timestamp() - interval '31 days'`,
    )
    await changeOne(17)
    await run('totals')
    expect(await told('totals')).toMatchObject({ groups: null, differing: 0 })
    const [state] = await db.sql(
      `select check_credit_ms >= -600000 as soon from tidemark.view_state where view = 'public.totals'`,
    )
    expect(state).toEqual({ soon: true })
  })

  test('where to compute some groups takes half as long as to compute all, it is all that is compared', async () => {
    await db.sql(
      `update tidemark.view_state set group_check_ms = 60, check_ms = 100,
         checked_at = clock_timestamp() - interval '1 second'`,
    )
    await changeOne(16)
    await run('totals')
    expect(await told('totals')).toMatchObject({ groups: null, differing: null })
  })

  test('a condition under which the query fails harms no refresh', async () => {
    await changeOne(18)
    await run('shares')
    expect(await told('shares')).toMatchObject({ method: 'incremental', state: 'fresh' })
    const [state] = await db.sql(
      `select group_check_ms from tidemark.view_state where view = 'public.shares'`,
    )
    expect(state).toEqual({ group_check_ms: Infinity })
  })
})
