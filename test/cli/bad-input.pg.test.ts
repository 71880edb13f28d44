import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { errorCatalogue } from '../../src/model/errors.ts'
import type { ErrorCode } from '../../src/model/errors.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { jsonOf, openShell } from './run.ts'
import type { Shell } from './run.ts'

/** Every wrong word, file, database and privilege: the code, the mend, status 1, and nothing changed. */
interface Case {
  readonly name: string
  readonly words: readonly string[]
  readonly code: ErrorCode
  /** What the message must say beside the code. */
  readonly says: RegExp
  /** The mend must name this. */
  readonly mend: RegExp
  /** Files written beforehand; `tidemark.config.ts` is the good one unless told. */
  readonly files?: Readonly<Record<string, string>>
  /** SQL before and after; what it does is no part of what must not change. */
  readonly before?: string
  readonly after?: string
  /** `empty`: a database without Tidemark. `none`: no database is named. */
  readonly on?: 'installed' | 'empty' | 'none'
}

const goodView = `{ sql: 'select region, count(*) as n from orders group by region', key: ['region'] }`
const configOf = (views: string): string =>
  `import { defineConfig } from 'tidemark'\nexport default defineConfig({ views: { ${views} } })\n`
const goodConfig = configOf(`sales: ${goodView}`)
const withConfig = (views: string): Pick<Case, 'files'> => ({
  files: { 'tidemark.config.ts': configOf(views) },
})

const cases: readonly Case[] = [
  // The words themselves.
  { name: 'no such command', words: ['statsu'], code: 'TIDEMARK_USAGE', says: /no command statsu/, mend: /mean status\?/ },
  { name: 'nothing like a command', words: ['xyzzy'], code: 'TIDEMARK_USAGE', says: /no command xyzzy/, mend: /tidemark --help/ },
  { name: 'no such option', words: ['status', '--watsh'], code: 'TIDEMARK_USAGE', says: /no option --watsh/, mend: /mean --watch\?/ },
  { name: 'an option without its value', words: ['plan', '--out'], code: 'TIDEMARK_USAGE', says: /--out <file> needs a value/, mend: /plan --help/ },
  { name: 'a word too few', words: ['why'], code: 'TIDEMARK_USAGE', says: /needs a word more: VIEW/, mend: /why --help/ },
  { name: 'a word too many', words: ['status', 'sales', 'totals'], code: 'TIDEMARK_USAGE', says: /more words than it takes/, mend: /status --help/ },
  { name: 'no view to refresh', words: ['refresh'], code: 'TIDEMARK_USAGE', says: /needs the name of a view/, mend: /refresh --all/ },
  { name: 'a view and all of them', words: ['refresh', 'sales', '--all'], code: 'TIDEMARK_USAGE', says: /both/, mend: /refresh VIEW/ },
  { name: 'no workers', words: ['up', '--workers', '0'], code: 'TIDEMARK_USAGE', says: /--workers 0 is not a whole number from 1 to 64/, mend: /--workers 1/ },
  { name: 'a poll without a unit', words: ['up', '--poll', '250'], code: 'TIDEMARK_USAGE', says: /--poll 250 is not a span/, mend: /--poll 250ms/ },
  { name: 'a span that is none', words: ['history', '--since', 'yesterday'], code: 'TIDEMARK_USAGE', says: /--since yesterday/, mend: /--since 24h/ },
  { name: 'a limit that is none', words: ['history', '--limit', '-3'], code: 'TIDEMARK_USAGE', says: /--limit -3/, mend: /--limit 1/ },
  { name: 'too many slots', words: ['next', '--count', '5000'], code: 'TIDEMARK_USAGE', says: /--count 5000/, mend: /--count 1/ },
  { name: 'no such format', words: ['plan', '--format', 'prizma'], code: 'TIDEMARK_USAGE', says: /no format prizma/, mend: /--format prisma/ },
  { name: 'a folder for no file', words: ['plan', '--dir', 'x'], code: 'TIDEMARK_USAGE', says: /--dir/, mend: /--format sql/ },
  { name: 'nobody to ask for apply', words: ['apply'], code: 'TIDEMARK_USAGE', says: /Nobody can be asked/, mend: /--yes/, on: 'empty' },
  { name: 'nobody to ask for destroy', words: ['destroy'], code: 'TIDEMARK_DESTRUCTIVE_REFUSED', says: /take something away/, mend: /--allow-destructive/ },
  { name: 'nobody to ask for destroy, though it may', words: ['destroy', '--allow-destructive'], code: 'TIDEMARK_USAGE', says: /Nobody can be asked/, mend: /--yes/ },
  { name: 'a configuration that is there already', words: ['init', '--yes'], code: 'TIDEMARK_USAGE', says: /already: tidemark\.config\.ts/, mend: /tidemark plan/ },
  { name: 'a plan into a file that is a folder', words: ['plan', '--out', '.'], code: 'TIDEMARK_USAGE', says: /cannot be written/, mend: /folder that you may write/ },

  // Names.
  ...['status', 'show', 'why', 'history', 'next', 'refresh', 'cancel'].map((command): Case => ({
    name: `no such view for ${command}`, words: [command, 'salse'], code: 'TIDEMARK_VIEW_UNKNOWN', says: /salse/, mend: /mean sales\?/,
  })),
  { name: 'no such view to pause', words: ['pause', 'salse'], code: 'TIDEMARK_VIEW_UNKNOWN', says: /salse/, mend: /mean sales\?/ },
  { name: 'no such schedule to resume', words: ['resume', 'nigthly'], code: 'TIDEMARK_SCHEDULE_UNKNOWN', says: /nigthly/, mend: /mean the schedule 'nightly'\?/, before: `insert into tidemark.schedule (name, view, cron, zone, digest) values ('nightly', 'public.sales', '0 6 * * *', 'UTC', 'x')`, after: 'delete from tidemark.schedule' },
  { name: 'a name with quotation marks', words: ['why', `"public"."sales'; drop table orders"`], code: 'TIDEMARK_VIEW_UNKNOWN', says: /No view is called/, mend: /tidemark status/ },
  { name: 'a name that two views have', words: ['why', 'twice'], code: 'TIDEMARK_VIEW_UNKNOWN', says: /Several views/, mend: /mart\.twice, other\.twice/, before: twice('insert'), after: twice('delete') },
  { name: 'nothing to cancel', words: ['cancel', 'sales'], code: 'TIDEMARK_RUN_UNKNOWN', says: /No refresh of public\.sales is running/, mend: /tidemark history/ },
  { name: 'a paused view', words: ['refresh', 'sales', '--force'], code: 'TIDEMARK_VIEW_PAUSED', says: /month end/, mend: /tidemark resume sales/, before: `select tidemark.pause('sales', 'month end')`, after: `update tidemark.view set paused_at = null, pause_reason = null, paused_by = null` },
  { name: 'too many refreshes by hand', words: ['refresh', 'sales', '--force'], code: 'TIDEMARK_REFRESH_LIMITED', says: /the limit is 0/, mend: /perHour/, before: 'update tidemark.view set refreshes_per_hour = 0', after: 'update tidemark.view set refreshes_per_hour = null' },

  // Databases.
  { name: 'no database named', words: ['status'], code: 'TIDEMARK_DATABASE_URL_MISSING', says: /No database is named/, mend: /--database-url/, on: 'none' },
  { name: 'a URL that is none', words: ['status', '--database-url', 'localhost:5432/shop'], code: 'TIDEMARK_CONFIG_INVALID', says: /not of the form/, mend: /%23/ },
  { name: 'a URL of another kind of server', words: ['doctor', '--database-url', 'mysql://root:secret@localhost/shop'], code: 'TIDEMARK_CONFIG_INVALID', says: /not of the form/, mend: /form/ },
  { name: 'a server that is not there', words: ['status', '--database-url', 'postgres://u:secret@127.0.0.1:1/x'], code: 'TIDEMARK_DATABASE_UNREACHABLE', says: /127\.0\.0\.1:1 does not answer/, mend: /start the server/ },
  { name: 'a server that talks something else', words: ['status', '--database-url', 'BABBLER'], code: 'TIDEMARK_DATABASE_UNREACHABLE', says: /does not answer/, mend: /./ },
  { name: 'no such database', words: ['status', '--database-url', 'NOWHERE'], code: 'TIDEMARK_DATABASE_REFUSED', says: /no database nowhere/, mend: /Create it/ },
  { name: 'no such role', words: ['status', '--database-url', 'NOBODY'], code: 'TIDEMARK_DATABASE_REFUSED', says: /nobody_at_all/, mend: /role/ },
  ...['status', 'up', 'tick', 'history', 'next'].map((command): Case => ({
    name: `${command} where nothing is installed`, words: [command], code: 'TIDEMARK_NOT_INSTALLED', says: /not installed/, mend: /tidemark apply/, on: 'empty',
  })),
  ...['status', 'up', 'plan', 'apply'].map((command): Case => ({
    name: `${command} under a newer schema`, words: [command], code: 'TIDEMARK_SCHEMA_NEWER', says: /9999/, mend: /newer version of tidemark/, before: newer('insert'), after: newer('delete'),
  })),
  { name: 'a schema that is older', words: ['up'], code: 'TIDEMARK_SCHEMA_OLDER', says: /older/, mend: /tidemark apply/, before: older('hide'), after: older('show') },
  { name: 'a schema that was changed by hand', words: ['status'], code: 'TIDEMARK_SCHEMA_CHANGED', says: /Migration 1 /, mend: /version of tidemark/, before: changed('x'), after: changed('') },
  { name: 'a role without rights', words: ['plan', '--database-url', 'POOR'], code: 'TIDEMARK_PRIVILEGE_MISSING', says: /orders|create/, mend: /grant/i, on: 'empty' },

  // Files.
  { name: 'no configuration', words: ['plan'], code: 'TIDEMARK_CONFIG_NOT_FOUND', says: /tidemark\.config\.ts/, mend: /tidemark init/, files: {} },
  { name: 'another configuration that is not there', words: ['apply', '--yes', '--config', 'nope.ts'], code: 'TIDEMARK_CONFIG_NOT_FOUND', says: /nope\.ts/, mend: /--config/ },
  { name: 'a configuration that is no TypeScript', words: ['plan'], code: 'TIDEMARK_CONFIG_UNREADABLE', says: /cannot be loaded/, mend: /Mend the file/, files: { 'tidemark.config.ts': 'export default {{{' } },
  { name: 'a configuration with an unknown key', words: ['plan'], code: 'TIDEMARK_CONFIG_INVALID', says: /taget/, mend: /target/, ...withConfig(`sales: { sql: 'select 1 as x', taget: '1m' }`) },
  { name: 'a configuration that exports nothing', words: ['plan'], code: 'TIDEMARK_CONFIG_INVALID', says: /exports no configuration/, mend: /defineConfig/, files: { 'tidemark.config.ts': 'const x = 1' } },
  { name: 'a variable that is not set', words: ['plan'], code: 'TIDEMARK_VARIABLE_MISSING', says: /SURELY_NOT_SET/, mend: /export SURELY_NOT_SET/, files: { 'tidemark.config.ts': `import { defineConfig, env } from 'tidemark'\nexport default defineConfig({ database: { url: env('SURELY_NOT_SET') }, views: {} })` } },
  { name: 'SQL with a slip of the pen', words: ['plan'], code: 'TIDEMARK_SQL_INVALID', says: /syntax error/, mend: /./, ...withConfig(`sales: { sql: 'select region form orders group by' }`) },
  { name: 'SQL that reads what is not there', words: ['apply', '--yes'], code: 'TIDEMARK_SQL_INVALID', says: /ordres/, mend: /./, ...withConfig(`sales: { sql: 'select * from ordres' }`) },
  { name: 'SQL that writes', words: ['plan'], code: 'TIDEMARK_SQL_NOT_A_QUERY', says: /./, mend: /SELECT/i, ...withConfig(`sales: { sql: 'delete from orders' }`) },
  { name: 'two views that read each other', words: ['plan'], code: 'TIDEMARK_VIEW_CYCLE', says: /one.*two|two.*one/s, mend: /./, ...withConfig(`one: { sql: 'select * from two' }, two: { sql: 'select * from one' }`), on: 'empty' },
  { name: 'a name that a table has', words: ['plan'], code: 'TIDEMARK_NAME_TAKEN', says: /orders/, mend: /./, ...withConfig(`orders: { sql: 'select 1 as x' }`), on: 'empty' },
  { name: 'a materialized view that is not there', words: ['plan'], code: 'TIDEMARK_RELATION_UNKNOWN', says: /mv_gone/, mend: /tidemark scan/, ...withConfig(`mv_gone: { adopt: 'public.mv_gone' }`), on: 'empty' },
  { name: 'a condition that could fail inside a writer', words: ['plan'], code: 'TIDEMARK_EVENT_CONDITION_REFUSED', says: /./, mend: /./, ...withConfig(`sales: { sql: 'select count(*) as n from orders', events: [{ on: 'orders', when: '1 / id > 0' }] }`), on: 'empty' },
  { name: 'a view that is no longer declared', words: ['apply', '--yes'], code: 'TIDEMARK_DESTRUCTIVE_REFUSED', says: /public\.sales/, mend: /--allow-destructive/, ...withConfig('') },
  { name: 'a plan that is not there', words: ['apply', 'plan.json', '--yes'], code: 'TIDEMARK_PLAN_INVALID', says: /plan\.json/, mend: /tidemark plan --out/ },
  { name: 'a plan that is no JSON', words: ['apply', 'plan.json', '--yes'], code: 'TIDEMARK_PLAN_INVALID', says: /plan\.json/, mend: /tidemark plan --out/, files: { 'plan.json': 'Plan: 2 to add' } },
  { name: 'a plan of another version', words: ['apply', 'plan.json', '--yes'], code: 'TIDEMARK_PLAN_INVALID', says: /version/, mend: /tidemark plan --out/, files: { 'plan.json': '{"version":2,"steps":[]}' } },
  { name: 'a plan for a database that is another by now', words: ['apply', 'plan.json', '--yes'], code: 'TIDEMARK_PLAN_STALE', says: /changed since/, mend: /tidemark plan/, files: { 'plan.json': JSON.stringify({ version: 1, catalog: 'x', relations: [], steps: [{ kind: 'create', noun: 'view', name: 'x', detail: '', lock: null, expectedMs: null, destructive: false, sql: ['create table oops ()'], ownTransaction: false }], feasibility: [], indexes: [] }) } },
] // prettier-ignore

function twice(how: 'insert' | 'delete'): string {
  if (how === 'delete') {
    return `delete from tidemark.view where name like '%.twice'; delete from tidemark.refresh_group where name like '%.twice'`
  }
  return ['mart', 'other']
    .map(
      (schema) => `insert into tidemark.refresh_group (name) values ('${schema}.twice');
        insert into tidemark.view (name, group_name, presentation, method, query, digest, relation, state, maintain, target_ms, very_stale_ms)
        values ('${schema}.twice', '${schema}.twice', 'view', 'diff', '', '', 'x', 'x', 'x', 1, 1);`,
    )
    .join('\n')
}

function newer(how: 'insert' | 'delete'): string {
  return how === 'insert'
    ? `insert into tidemark.migration (number, name, checksum) values (9999, 'of-tomorrow', 'x')`
    : `delete from tidemark.migration where number = 9999`
}

function older(how: 'hide' | 'show'): string {
  return how === 'hide'
    ? `create table public.kept as select * from tidemark.migration order by number desc limit 1;
       delete from tidemark.migration where number = (select number from public.kept)`
    : `insert into tidemark.migration select * from public.kept; drop table public.kept`
}

function changed(suffix: string): string {
  return `update tidemark.migration set checksum = left(checksum, 64) || '${suffix}' where number = 1`
}

let installed: TestDatabase
let empty: TestDatabase
const babbler = createServer((socket) => socket.end('220 mail.example ready\r\n'))

beforeAll(async () => {
  await new Promise<void>((resolve) => babbler.listen(0, '127.0.0.1', resolve))
  installed = await createTestDatabase()
  empty = await createTestDatabase()
  for (const db of [installed, empty]) {
    await db.sql(`create table orders (id int primary key, region text, amount numeric);
                  insert into orders values (1, 'north', 10)`)
  }
  await empty.sql(`
    do $$ begin create role tidemark_test_poor login; exception when duplicate_object then null; end $$;
    grant select on orders to tidemark_test_poor`)
  const shell = await openShell(installed.url)
  await shell.write('tidemark.config.ts', goodConfig)
  expect(await shell.run(['apply', '--yes'])).toMatchObject({ status: 0, err: '' })
  await shell.remove()
})
afterAll(async () => {
  babbler.close()
  await empty.sql('drop owned by tidemark_test_poor; drop role tidemark_test_poor')
  await installed.drop()
  await empty.drop()
})

/** All that somebody has made in the database, and the row version of each. */
async function catalogOf(db: TestDatabase): Promise<unknown> {
  const [there] = await db.sql(`select to_regclass('tidemark.view') is not null as installed`)
  const catalog = await db.sql(`
    select 'relation' as kind, oid::text, relname::text as name, xmin::text from pg_class
     where relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
    union all select 'function', oid::text, proname::text, xmin::text from pg_proc where oid >= 16384
    union all select 'trigger', oid::text, tgname::text, xmin::text from pg_trigger
    union all select 'schema', oid::text, nspname::text, xmin::text from pg_namespace where oid >= 16384
    order by 1, 2`)
  if (there?.['installed'] !== true) return catalog
  return [
    catalog,
    await db.sql('select * from tidemark.view order by name'),
    await db.sql('select * from tidemark.schedule order by name'),
    await db.sql('select request_id, status from tidemark.request'),
    await db.sql('table public.sales'),
  ]
}

/** Databases that only exist while the test runs. */
function words(one: Case): readonly string[] {
  const at = new URL(installed.url)
  const { port } = babbler.address() as AddressInfo
  const urls: Readonly<Record<string, string>> = {
    BABBLER: `postgres://127.0.0.1:${port}/x`,
    NOWHERE: installed.url.replace(/\/[^/]*$/, '/nowhere'),
    NOBODY: `postgres://nobody_at_all@${at.host}${at.pathname}`,
    POOR: empty.urlAs('tidemark_test_poor'),
  }
  return one.words.map((word) => urls[word] ?? word)
}

async function shellFor(one: Case): Promise<Shell> {
  const db = { installed, empty, none: undefined }[one.on ?? 'installed']
  const shell = await openShell(db?.url)
  const files = one.files ?? { 'tidemark.config.ts': goodConfig }
  const withGood = 'plan.json' in files ? { 'tidemark.config.ts': goodConfig, ...files } : files
  for (const [name, text] of Object.entries(withGood)) await shell.write(name, text)
  return shell
}

test.each(cases)('$name', async (one) => {
  const shell = await shellFor(one)
  if (one.before !== undefined) await installed.sql(one.before)
  const before = [await catalogOf(installed), await catalogOf(empty)]
  const told = await shell.run(words(one))
  const asJson = await shell.run([...words(one), '--json'])
  const after = [await catalogOf(installed), await catalogOf(empty)]
  if (one.after !== undefined) await installed.sql(one.after)
  await shell.remove()

  expect(told.err).toContain(`(${one.code})`)
  expect(told.err).toMatch(/^error: /)
  expect(told.err).toMatch(one.says)
  const mends = told.err.split('\n').filter((line) => line.startsWith('  →'))
  expect(mends.join('\n')).toMatch(one.mend)
  expect(told.err).not.toContain('secret')
  expect(told.status).toBe(1)
  expect(asJson.status).toBe(1)
  expect(jsonOf(asJson)).toMatchObject({ version: 1, kind: 'error', code: one.code })
  expect(after).toEqual(before)
})

test('every code of these cases is in the catalogue', () => {
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
  for (const { code } of cases) expect(errorCatalogue[code]).toBeTruthy()
})

test('an error that nobody expected is told in short, and with its stack when asked', async () => {
  const shell = await openShell(installed.url)
  await installed.sql('alter function tidemark.freshness_of(text[]) rename to freshness_gone')
  const short = await shell.run(['status'])
  const long = await shell.run(['status', '--verbose'])
  await installed.sql('alter function tidemark.freshness_gone(text[]) rename to freshness_of')
  await shell.remove()
  expect(short.status).toBe(1)
  expect(short.err).toMatch(/^error: .*freshness_of/)
  expect(short.err).toContain('--verbose')
  expect(short.err).not.toContain('    at ')
  expect(long.err).toContain('    at ')
})
