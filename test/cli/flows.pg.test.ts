import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copiesOf, createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { jsonOf, openShell } from './run.ts'
import type { Shell } from './run.ts'

const config = `
import { defineConfig } from 'tidemark'
export default defineConfig({
  views: {
    sales: {
      sql: 'select region, count(*) as orders, sum(amount) as amount from orders group by region',
      key: ['region'],
      target: '1m',
      schedules: [{ name: 'nightly sales', cron: '30 2 * * *', zone: 'America/New_York' }],
      events: [{ on: 'orders', when: 'amount >= 10000', priority: 'critical' }],
    },
    totals: { sql: 'select count(*) as orders from orders', target: '1m' },
  },
})`

let db: TestDatabase
let shell: Shell

const withOrders = (make: () => Promise<TestDatabase>) => async (): Promise<TestDatabase> => {
  const made = await make()
  await made.sql(`
    create table orders (id int primary key, region text, amount numeric not null);
    insert into orders select g, 'r' || g % 3, g from generate_series(1, 30) g;`)
  return made
}

const notInstalled = withOrders(createTestDatabase)
const installed = withOrders(createInstalledDatabase)

const openProject = async ({ url }: TestDatabase): Promise<Shell> => {
  const opened = await openShell(url)
  await opened.write('tidemark.config.ts', config)
  return opened
}

/** A database and a folder for each test of a block; to install Tidemark anew is a part of few of them. */
function eachIn(make: () => Promise<TestDatabase>): void {
  beforeEach(async () => {
    db = await make()
    shell = await openProject(db)
  })
  afterEach(async () => {
    await shell.remove()
    await db.drop()
  })
}

interface JsonLine {
  readonly kind: string
  readonly status?: string
}

const doneStep = ({ kind, status }: JsonLine): boolean => kind === 'apply_step' && status === 'done'

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 1_000; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}`)
}

const applied = async (project = shell): Promise<void> => {
  const { status, err } = await project.run(['apply', '--yes'])
  expect(err).toBe('')
  expect(status).toBe(0)
}

/** Databases in which the configuration is applied. */
const inUse = copiesOf(async () => {
  const made = await installed()
  const project = await openProject(made)
  await applied(project)
  await project.remove()
  return made
})

describe('plan, apply, destroy', () => {
  eachIn(notInstalled)

  test('plan ends with 2 while there are changes and with 0 when there are none', async () => {
    const before = await shell.run(['plan'])
    expect(before.status).toBe(2)
    expect(before.out).toMatch(/ \+ {2}view public\.sales\n/)
    expect(before.out.trimEnd().split('\n').at(-1)).toMatch(
      /^Plan: \d+ to add, 0 to change, 0 to drop\.$/,
    )
    await applied()
    const after = await shell.run(['plan'])
    expect(after.status).toBe(0)
    expect(after.out).toContain('Nothing to do')
  })

  test('apply tells each step, fills the views and asks nobody with --yes', async () => {
    const { status, out } = await shell.run(['apply', '--yes'])
    expect(status).toBe(0)
    expect(out).toMatch(/✓ .*\+ source public\.orders/)
    expect(out).toContain('✓ filled public.sales')
    expect(await db.sql('select sum(orders)::int as n from sales')).toEqual([{ n: 30 }])
  })

  test('apply changes nothing when somebody says no', async () => {
    const { status, out } = await shell.run(['apply'], { confirm: () => Promise.resolve(false) })
    expect(status).toBe(1)
    expect(out).toContain('Nothing was changed.')
    expect(await db.sql(`select to_regnamespace('tidemark') as there`)).toEqual([{ there: null }])
  })

  test('apply of a file does just that plan, and refuses it once the database has changed', async () => {
    expect((await shell.run(['plan', '--out', 'plan.json'])).status).toBe(2)
    expect((await shell.run(['apply', 'plan.json', '--yes'])).status).toBe(0)
    const again = await shell.run(['apply', 'plan.json', '--yes'])
    expect(again.status).toBe(1)
    expect(again.err).toContain('TIDEMARK_PLAN_STALE')
  })

  test('apply --json prints a line for each step and one that sums up', async () => {
    const ran = await shell.run(['apply', '--yes', '--json'])
    const lines = ran.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as JsonLine)
    expect(lines.at(-1)).toMatchObject({
      version: 1,
      kind: 'apply',
      steps: lines.filter(doneStep).length,
    })
    expect(lines.filter(doneStep).length).toBeGreaterThan(4)
  })

  test('--no-populate leaves the first refreshes to the engine', async () => {
    expect((await shell.run(['apply', '--yes', '--no-populate'])).status).toBe(0)
    const status = jsonOf(await shell.run(['status', '--json']))
    expect(status['views']).toMatchObject([
      { state: 'never_populated' },
      { state: 'never_populated' },
    ])
    await shell.run(['tick'])
    const { views } = jsonOf(await shell.run(['status', '--json']))
    expect(views).toMatchObject([{ state: 'fresh' }, { state: 'fresh' }])
  })

  test('plan --sql prints statements that do what apply does', async () => {
    const { out } = await shell.run(['plan', '--sql'])
    await db.sql(out)
    expect((await shell.run(['plan'])).status).toBe(0)
  })

  test('plan --format writes the migration of a tool into a folder', async () => {
    const ran = await shell.run(['plan', '--format', 'prisma', '--dir', 'app', '--json'])
    const { files } = jsonOf(ran) as { files: string[] }
    expect(files[0]).toMatch(/^prisma\/migrations\/\d{14}_tidemark\/migration\.sql$/)
    expect(readFileSync(join(shell.folder, 'app', files[0] ?? ''), 'utf8')).toContain(
      'create table tidemark.',
    )
  })

  test('destroy leaves the database as it was found', async () => {
    const relations = `select relname from pg_class where relnamespace = 'public'::regnamespace order by 1`
    const before = await db.sql(relations)
    await applied()
    const refused = await shell.run(['destroy', '--yes'])
    expect(refused.err).toContain('TIDEMARK_DESTRUCTIVE_REFUSED')
    const ran = await shell.run(['destroy', '--yes', '--allow-destructive'])
    expect(ran.err).toBe('')
    expect(ran.status).toBe(0)
    expect(await db.sql(relations)).toEqual(before)
    expect(await db.sql(`select to_regnamespace('tidemark') as there`)).toEqual([{ there: null }])
  })

  test('doctor finds nothing wrong with what apply made, and a disabled trigger', async () => {
    expect((await shell.run(['doctor'])).out).toContain('Tidemark is not installed here')
    await applied()
    const well = await shell.run(['doctor', '--json'])
    expect(well.status).toBe(0)
    expect(jsonOf(well)).toMatchObject({ healthy: true })
    await db.sql('alter table orders disable trigger all')
    const ill = await shell.run(['doctor'])
    expect(ill.status).toBe(1)
    expect(ill.out).toMatch(/✗ capture .*disabled/)
  })
})

describe('status and why', () => {
  eachIn(inUse)

  test('status tells state, staleness and target, and --exit-code says 0 within and 3 beyond it', async () => {
    const fresh = await shell.run(['status', '--exit-code'])
    expect(fresh.status).toBe(0)
    expect(fresh.out).toContain('● fresh')
    expect(fresh.out).toContain('All 2 views are within target.')
    await db.sql(`select tidemark.bypass('orders', 'a test')`)
    const unknown = await shell.run(['status', '--exit-code'])
    expect(unknown.status).toBe(3)
    expect(unknown.out).toContain('? unknown')
    expect(unknown.out).toContain('a test')
  })

  test('status --json has a version, a kind and ISO instants', async () => {
    const body = jsonOf(await shell.run(['status', '--json']))
    expect(body).toMatchObject({
      version: 1,
      kind: 'status',
      within_target: true,
      views: [{ view: 'public.sales', target_ms: 60_000, last_run: { status: 'completed' } }, {}],
    })
    expect(body['at']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  })

  test('colours are an addition to signs and words', async () => {
    const plain = await shell.run(['status'])
    const painted = await shell.run(['status'], {
      environment: { TIDEMARK_DATABASE_URL: db.url, FORCE_COLOR: '1' },
    })
    // eslint-disable-next-line no-control-regex -- what paints
    const bare = painted.out.replaceAll(/\u001B\[\d+m/g, '')
    expect(painted.out).not.toBe(bare)
    expect(bare.split('\n').length).toBe(plain.out.split('\n').length)
    const none = await shell.run(['status'], {
      environment: { TIDEMARK_DATABASE_URL: db.url, FORCE_COLOR: '1', NO_COLOR: '1' },
    })
    expect(none.out).not.toContain('\u001B')
  })

  test('why names the source, what is waited for, and afterwards the whole chain', async () => {
    await db.sql(`insert into orders values (100, 'r1', 5)`)
    const open = await shell.run(['why', 'sales'])
    expect(open.out).toMatch(/^sales is ● fresh: .* behind, of 1 min that it may be\./)
    expect(open.out).toContain('captured  commits that are not reflected: 1 of orders')
    await shell.run(['refresh', 'sales'])
    const { out } = await shell.run(['why', 'sales'])
    expect(out).toMatch(/^sales is ● fresh: it reflects every commit/)
    for (const link of ['commit', 'captured', 'queued', 'waited', 'ran', 'visible']) {
      expect(out).toMatch(new RegExp(`\\n {2}${link}\\s`))
    }
    expect(out).toMatch(/after the commit/)
  })

  test('why names the lock that a refresh waits for, and who holds it', async () => {
    const holder = await db.session()
    await holder.query('begin')
    await holder.query('lock table orders in access exclusive mode')
    const refresh = shell.run(['refresh', 'sales', '--force'])
    await until(`exists (select from pg_locks where relation = 'orders'::regclass and not granted)`)
    const { out } = await shell.run(['why', 'sales'])
    expect(out).toContain(`waits     its refresh waits for pid ${holder.pid}`)
    expect((await shell.run(['status', 'sales'])).out).toContain('running')
    await holder.query('rollback')
    expect((await refresh).status).toBe(0)
  })

  test('cancel stops the refresh that runs, and the log says so', async () => {
    const holder = await db.session()
    await holder.query('begin')
    await holder.query('lock table orders in access exclusive mode')
    const refresh = shell.run(['refresh', 'sales', '--force'])
    await until(`exists (select from pg_locks where relation = 'orders'::regclass and not granted)`)
    expect((await shell.run(['cancel', 'sales', '--reason', 'not now'])).status).toBe(0)
    expect((await refresh).err).toContain('TIDEMARK_REFRESH_FAILED')
    await holder.query('rollback')
    expect((await shell.run(['history', '--failed'])).out).toContain('✗ cancelled')
  })

  test('why names the reason of a paused view', async () => {
    await shell.run(['pause', 'sales', '--reason', 'month end'])
    await db.sql(`update tidemark.view set target_ms = 0, very_stale_ms = 0`)
    await db.sql(`insert into orders values (101, 'r1', 5)`)
    const { out } = await shell.run(['why', 'sales'])
    expect(out).toContain('it is paused: month end')
  })
})

describe('by hand', () => {
  eachIn(inUse)

  test('refresh does nothing for a view that reflects every commit, unless forced', async () => {
    expect((await shell.run(['refresh', 'sales'])).out).toContain('reflects every commit')
    const forced = jsonOf(await shell.run(['refresh', 'sales', '--force', '--json']))
    expect(forced).toMatchObject({ kind: 'refresh', refreshed: [{ status: 'completed', rows: 3 }] })
  })

  test('refresh --no-wait asks, and a tick does it', async () => {
    await db.sql(`insert into orders values (100, 'r1', 5)`)
    const asked = await shell.run(['refresh', '--all', '--no-wait'])
    expect(asked.out).toContain('sales is asked for')
    expect(jsonOf(await shell.run(['tick', '--json']))).toMatchObject({
      kind: 'tick',
      done: [{ outcome: 'completed' }, { outcome: 'completed' }],
    })
    expect(await db.sql('select orders::int as n from totals')).toEqual([{ n: 31 }])
  })

  test('pause and resume take a view or a schedule', async () => {
    expect((await shell.run(['pause', 'sales', '--reason', 'audit'])).out).toContain('view sales')
    const refused = await shell.run(['refresh', 'sales', '--force'])
    expect(refused.err).toContain('TIDEMARK_VIEW_PAUSED')
    expect(refused.err).toContain('tidemark resume sales')
    await shell.run(['resume', 'sales'])
    const schedule = await shell.run(['pause', 'nightly sales', '--json'])
    expect(jsonOf(schedule)).toMatchObject({ noun: 'schedule', name: 'nightly sales' })
    expect((await shell.run(['next', 'sales'])).out).toContain('paused')
    await shell.run(['resume', 'nightly sales'])
  })

  test('history adds up what ran and tells what failed', async () => {
    await db.sql(`create or replace function tidemark_state."maintain public.sales"(verify boolean, since pg_snapshot, since_as_of timestamptz default null,
        out rows_total bigint, out rows_inserted bigint, out rows_updated bigint, out rows_deleted bigint,
        out differing bigint, out method text) language plpgsql as $$ begin raise 'no such luck'; end $$`)
    const failed = await shell.run(['refresh', 'sales', '--force'])
    expect(failed.status).toBe(1)
    expect(failed.err).toContain('TIDEMARK_REFRESH_FAILED')
    const { out } = await shell.run(['history', '--failed'])
    expect(out).toContain('✗ failed')
    expect(out).toContain('no such luck')
    expect(jsonOf(await shell.run(['history', '--json', '--limit', '1']))).toMatchObject({
      totals: { total: 3, successful: 2, failed: 1 },
      runs: [{ status: 'failed', message: 'no such luck' }],
    })
  })

  test('next shows slots in their zone and in UTC, and what a change of the clocks does to them', async () => {
    const { out } = await shell.run(['next', 'sales', '--count', '400'])
    expect(out).toMatch(/Sun 2027-03-14 03:00:00 -04:00 {2}2027-03-14 07:00:00Z/)
    expect(out).toMatch(/02:30/)
  })

  test('show is a page about a view', async () => {
    const { out } = await shell.run(['show', 'sales'])
    for (const text of [
      'staleness',
      'key         region',
      'incremental, in full by diff; policy',
      'orders',
      'nightly sales',
      'amount >= 10000',
    ]) {
      expect(out).toContain(text)
    }
    expect(jsonOf(await shell.run(['show', 'sales', '--json']))).toMatchObject({
      kind: 'show',
      view: 'public.sales',
      sources: [{ source: 'public.orders', problem: null }],
    })
  })
})

describe('status of what was never filled', () => {
  eachIn(installed)

  test('a view that was never filled counts as beyond its target', async () => {
    await shell.run(['apply', '--yes', '--no-populate'])
    expect((await shell.run(['status', '--exit-code'])).status).toBe(3)
    expect((await shell.run(['status'])).status).toBe(0)
  })
})

describe('init', () => {
  eachIn(notInstalled)

  test('writes a template that plans nothing, and never a second time', async () => {
    const empty = await openShell()
    const ran = await empty.run(['init', '--yes'])
    expect(ran.status).toBe(0)
    const plan = await empty.run(['plan', '--database-url', db.url])
    expect(plan.err).toBe('')
    const again = await empty.run(['init', '--yes'])
    expect(again.err).toContain('already')
    expect(existsSync(join(empty.folder, 'tidemark.config.ts'))).toBe(true)
    await empty.remove()
  })

  test('adopts the materialized views that it finds, in a configuration that plans', async () => {
    await db.sql(
      'create materialized view mv as select region, count(*) as n from orders group by 1',
    )
    const empty = await openShell(db.url)
    expect(jsonOf(await empty.run(['init', '--yes', '--json']))).toMatchObject({ adopted: 1 })
    const plan = await empty.run(['plan'])
    expect(plan.err).toBe('')
    expect(plan.out).toContain('public.mv')
    await empty.remove()
  })
})
