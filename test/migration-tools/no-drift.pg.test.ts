import { mkdir } from 'node:fs/promises'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { TestDatabase, TestDatabaseOptions } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Shell } from '../cli/run.ts'
import { openShell } from '../cli/run.ts'
import { workUntilWhole } from '../outages/await-state.ts'
import type { ToolRun } from './tool.ts'
import { equip, installTools, runTool } from './tool.ts'

const ordersTable = `create table orders (id integer primary key, region text, amount numeric(10,2));`
const salesView = `create materialized view sales as select region, sum(amount) as amount from orders group by region;
create unique index sales_key on sales (region);`

const byRegion = {
  sql: 'select region, count(*) as n, sum(amount) as total from orders group by region',
  key: ['region'],
  target: '1m',
}

/** Everything that a plan makes: capture, views of both kinds, an adopted one, a schedule and a rule. */
const views = {
  by_region: byRegion,
  raw: { sql: 'select count(*) as n from orders', as: 'matview', target: '1m' },
  sales: {
    adopt: 'public.sales',
    target: '1m',
    schedules: [{ name: 'nightly', cron: '30 2 * * *', zone: 'America/New_York' }],
    events: [{ on: 'orders', when: 'amount >= 10000', priority: 'critical' }],
  },
}

/** A later change: another target, a view with another query, one more column of a table captured. */
const laterViews = {
  ...views,
  by_region: { ...byRegion, target: '5m' },
  largest: { sql: 'select max(id) as id from orders', target: '1m' },
}

let db: TestDatabase
let project: Shell

/** Each test starts a tool a dozen times, which takes seconds on a busy machine. */
vi.setConfig({ testTimeout: 300_000 })

beforeAll(() => installTools(), 300_000)

/** A database and a project of the test's own. */
async function begin(options: TestDatabaseOptions = {}): Promise<void> {
  db = await createTestDatabase(options)
  project = await openShell(db.url)
  onTestFinished(async () => {
    await project.remove()
    await db.drop()
  })
  equip(project.folder)
}

/** Writes a file of the project, its folder as well. */
async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(project.folder, path)), { recursive: true })
  await project.write(path, text)
}

/** Supabase speaks TLS unless told not to. */
const plain = (url: string): string => `${url}?sslmode=disable`

/** The same run, which has to have gone well. */
async function well(run: Promise<ToolRun>): Promise<ToolRun> {
  const { status, said } = await run
  if (status !== 0) throw new Error(said)
  return { status, said }
}

/** Writes the plan as migrations, has the tool run them, and fills the views as an engine would. */
async function migrateTo(
  declared: object,
  format: string,
  migrate: () => Promise<unknown>,
): Promise<void> {
  await write('tidemark.config.json', JSON.stringify({ views: declared }))
  expect(await project.run(['plan', '--format', format])).toMatchObject({ status: 2, err: '' })
  await migrate()
  expect(await project.run(['plan'])).toMatchObject({ status: 0, err: '' })
  // An engine does both: slots of schedules are computed, and views filled.
  expect(await project.run(['tick'])).toMatchObject({ status: 0, err: '' })
  await workUntilWhole(db.database, Object.keys(declared))
}

test('Supabase runs the migrations and sees no difference between them and a database in use', async () => {
  await begin()
  const supabase = (...words: string[]): Promise<ToolRun> =>
    runTool('supabase', [...words, '--agent', 'no'], project.folder)
  const migrate = (url: string): Promise<ToolRun> =>
    well(supabase('migration', 'up', '--yes', '--db-url', plain(url)))
  await write('supabase/config.toml', 'project_id = "shop"\n')
  await write('supabase/migrations/20260101000000_shop.sql', `${ordersTable}\n${salesView}\n`)
  await migrate(db.url)
  await db.sql(`insert into orders values (1, 'north', 5), (2, 'south', 7)`)

  await migrateTo(views, 'supabase', () => migrate(db.url))
  await migrateTo(laterViews, 'supabase', () => migrate(db.url))
  const shadow = await createTestDatabase()
  onTestFinished(() => shadow.drop())
  await migrate(shadow.url)
  const difference = async (): Promise<string> => {
    const ends = ['--from', plain(shadow.url), '--to', plain(db.url)]
    const { said } = await well(supabase('db', 'diff', '--strict-coverage', ...ends))
    return said.replaceAll(/^(│|▲.*TLS.*|Target: .*)?\n/gm, '').trim()
  }
  expect(await difference()).toBe('')
  await db.sql('drop trigger "capture public.orders insert" on orders')
  expect(await difference()).toContain('DROP TRIGGER "capture public.orders insert" ON')
})

test('Drizzle runs the migrations, sees no change, and numbers its own after them', async () => {
  await begin()
  const drizzle = (...words: string[]): Promise<ToolRun> =>
    well(runTool('drizzle', words, project.folder))
  const declare = (more: string): Promise<void> =>
    write(
      'schema.ts',
      `import { integer, numeric, pgMaterializedView, pgTable, pgView, text } from 'drizzle-orm/pg-core'
       export const orders = pgTable('orders', { id: integer().primaryKey(), region: text(), ${more}
         amount: numeric({ precision: 10, scale: 2 }) })
       export const byRegion = pgView('by_region', { region: text() }).existing()
       export const largest = pgView('largest', { id: integer() }).existing()
       export const raw = pgMaterializedView('raw', { n: integer() }).existing()
       export const sales = pgView('sales', { region: text() }).existing()`,
    )
  await write(
    'drizzle.config.ts',
    `export default { dialect: 'postgresql', schema: './schema.ts', dbCredentials: { url: '${db.url}' } }`,
  )
  await declare('')
  await drizzle('generate', '--name', 'shop')
  await drizzle('migrate')
  await db.sql(salesView)
  await db.sql(`insert into orders values (1, 'north', 5), (2, 'south', 7)`)

  await migrateTo(views, 'drizzle', () => drizzle('migrate'))
  await migrateTo(laterViews, 'drizzle', () => drizzle('migrate'))
  expect((await drizzle('generate')).said).toContain('No schema changes, nothing to migrate')
  expect((await drizzle('check', '--dialect', 'postgresql', '--out', 'drizzle')).said).toContain(
    `Everything's fine`,
  )
  const push = ['--dialect', 'postgresql', '--schema', './schema.ts', '--url', db.url, '--strict']
  expect((await drizzle('push', ...push)).said).toContain('No changes detected')

  const before = readdirSync(join(project.folder, 'drizzle'))
  await declare('note: text(),')
  await drizzle('generate', '--name', 'note')
  const after = readdirSync(join(project.folder, 'drizzle'))
  expect(after.filter((name) => !before.includes(name))).toEqual([
    `${String(before.length - 1).padStart(4, '0')}_note.sql`,
  ])
  await drizzle('migrate')
  expect(await db.sql('select note from orders where id = 1')).toEqual([{ note: null }])
  expect(await project.run(['plan'])).toMatchObject({ status: 0, err: '' })
})

test('Prisma runs the migrations and sees no drift in a database in use', async () => {
  // The engine of Prisma 6 panics on any database of PostgreSQL 18.
  await begin({ server: '17' })
  const prisma = (...words: string[]): Promise<ToolRun> =>
    runTool('prisma', words, project.folder, { DATABASE_URL: db.url })
  const deploy = (): Promise<ToolRun> => well(prisma('migrate', 'deploy'))
  await write(
    'prisma/schema.prisma',
    `datasource db {
  provider = "postgresql"
  url = env("DATABASE_URL")
}
model orders {
  id Int @id
  region String?
  amount Decimal? @db.Decimal(10, 2)
}
`,
  )
  await write('prisma/migrations/migration_lock.toml', 'provider = "postgresql"\n')
  await write(
    'prisma/migrations/20260101000000_shop/migration.sql',
    `${ordersTable}\n${salesView}\n`,
  )
  await deploy()
  await db.sql(`insert into orders values (1, 'north', 5), (2, 'south', 7)`)

  await migrateTo(views, 'prisma', deploy)
  await migrateTo(laterViews, 'prisma', deploy)
  expect((await well(prisma('migrate', 'dev'))).said).toContain('Already in sync')

  await db.sql('alter table orders add column note text')
  expect((await prisma('migrate', 'dev')).said).toContain('Drift detected')
})
