import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { configurationOf, loadConfiguration } from '../../src/define/config/load-configuration.ts'
import { TidemarkError, type ErrorCode } from '../../src/model/errors.ts'

const password = 'hunter2-very-secret'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-config-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** What `work` throws; a test fails when it throws nothing, or no TidemarkError. */
async function faultOf(work: () => unknown): Promise<TidemarkError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const view = { sql: 'select 1 as one' }
const mx = { zone: 'America/Mexico_City', from: '09:00', to: '18:00' }

/** A wrong configuration, the place that the message must point to, and a part of what it must say. */
interface BadConfig {
  readonly is: string
  readonly config: unknown
  readonly place: string
  readonly says: string
}

const inView = (key: string, value: unknown, says: string, inner = ''): BadConfig => ({
  is: `views.v.${key}${inner} = ${JSON.stringify(value)}`,
  config: { views: { v: { ...view, [key]: value } } },
  place: `views.v.${key}${inner}`,
  says,
})

const inCalendar = (key: string, value: unknown, says: string, inner = ''): BadConfig => ({
  is: `calendars.mx.${key}${inner} = ${JSON.stringify(value)}`,
  config: { calendars: { mx: { ...mx, [key]: value } }, views: {} },
  place: `calendars.mx.${key}${inner}`,
  says,
})

const inDatabase = (key: string, value: unknown, says: string, inner = ''): BadConfig => ({
  is: `database.${key}${inner} = ${JSON.stringify(value)}`,
  config: { database: { [key]: value }, views: {} },
  place: `database.${key}${inner}`,
  says,
})

const named = (name: string, says: string): BadConfig => ({
  is: `a view named ${JSON.stringify(name)}`,
  config: { views: { [name]: view } },
  place: `views.${name}`,
  says,
})

const badConfigs: readonly BadConfig[] = [
  { is: 'null', config: null, place: '(root)', says: 'found null' },
  { is: 'a text', config: 'views', place: '(root)', says: 'found a text' },
  { is: 'a list', config: [view], place: '(root)', says: 'found a list' },
  { is: 'no views', config: {}, place: 'views', says: 'Missing object' },
  {
    is: 'caches alone',
    config: { caches: { shop: { dependsOn: { quotes: ['tenant_id'] } } } },
    place: 'views',
    says: 'or {} where there are only caches',
  },
  {
    is: 'an unknown key at the top',
    config: { view: {}, views: {} },
    place: 'view',
    says: "Write 'views'",
  },
  {
    is: 'a key like no other',
    config: { colour: 1, views: {} },
    place: 'colour',
    says: 'known here are database',
  },
  { is: 'views as a list', config: { views: [view] }, place: 'views', says: 'found a list' },
  {
    is: 'a view that is a text',
    config: { views: { v: 'select 1' } },
    place: 'views.v',
    says: 'Expected an object',
  },
  { is: 'a view without query', config: { views: { v: {} } }, place: 'views.v', says: 'no query' },
  {
    is: 'a view with two queries',
    config: { views: { v: { ...view, file: 'v.sql' } } },
    place: 'views.v',
    says: 'sql and file',
  },
  {
    is: 'a view with a query and adoption',
    config: { views: { v: { ...view, adopt: 'v' } } },
    place: 'views.v',
    says: 'sql and adopt',
  },
  {
    is: 'a file that is missing',
    config: { views: { v: { file: 'no/such.sql' } } },
    place: 'views.v.file',
    says: 'no/such.sql',
  },
  {
    is: 'a file that is a folder',
    config: { views: { v: { file: '.' } } },
    place: 'views.v.file',
    says: 'can be read',
  },
  {
    is: 'an adoption under another name',
    config: { views: { v: { adopt: 'public.w' } } },
    place: 'views.v.adopt',
    says: "Name the view 'public.w'",
  },
  {
    is: 'one view under two names',
    config: { views: { v: view, 'public.v': view } },
    place: 'views.public.v',
    says: 'taken by views.v',
  },
  {
    is: 'a view that is a source too',
    config: { sources: { v: {} }, views: { v: view } },
    place: 'views.v',
    says: 'taken by a source',
  },
  inView('sql', '', 'Empty query'),
  inView('sql', 7, 'found a number'),
  inView('targt', '5m', "Write 'target'"),
  inView('refresh_by', {}, "Write 'refreshBy'"),
  inView('cron', '0 * * * *', "Write 'schedules'"),
  inView('query', 'select 1', "Write 'sql'"),
  inView('target', '5 minuts', 'is not a duration'),
  inView('target', 300, "'300s' or '300ms'"),
  inView('target', '0s', 'at least 1 ms'),
  inView('target', null, 'found null'),
  inView('target', { inside: '1m', outside: '1h' }, 'Missing business hours', '.businessHours'),
  inView(
    'target',
    { inside: '1m', outside: 'long', businessHours: mx },
    "'long' is not a duration",
    '.outside',
  ),
  inView(
    'target',
    { inside: '1m', outside: '1h', businessHours: 'mx' },
    'calendars: { mx:',
    '.businessHours',
  ),
  inView('veryStaleAfter', '1m', 'before it misses its target'),
  inView('policy', 'lazy', 'not a word'),
  inView('policy', 'eagre', "Write 'eager'"),
  {
    is: "policy 'budget' without one",
    config: { views: { v: { ...view, policy: 'budget' } } },
    place: 'views.v.budget',
    says: "budget: '30s'",
  },
  inView('budget', '30s', 'no effect'),
  inView('budget', '2h', 'at most 1 h'),
  inView('verify', true, "'off' or 'sample' or 'full'"),
  inView('maintain', 'partitions', "Write 'partition'"),
  inView('partition', { by: 7 }, 'a column', '.by'),
  inView('partition', { by: 'day', sources: { orders: '' } }, 'an expression', '.sources.orders'),
  inView('as', 'tables', "Write 'table' instead"),
  inView('fallback', 'live', "'none', 'source'"),
  inView('timeout', '1ms', 'at least 1 s'),
  inView('timeout', '30d', 'too long'),
  inView('key', 'day', 'found a text'),
  inView('key', [], 'identifies no row'),
  inView('key', ['day', 'day'], 'stands twice', '[1]'),
  inView('reads', ['a.b.c'], "Write 'b.c'", '[0]'),
  inView('indexes', ['day'], 'in brackets', '[0]'),
  inView('indexes', ['(day); drop table x'], 'is not an index', '[0]'),
  inView('group', '', 'Empty name of a group'),
  inView('schedules', '0 * * * *', 'found a text'),
  inView('schedules', ['0 * *'], 'has 3 fields', '[0]'),
  inView('schedules', ['0 * * * $'], "'$' is not a field", '[0]'),
  inView('schedules', ['@sometimes'], '@hourly', '[0]'),
  inView('schedules', [5], 'Expected a cron expression', '[0]'),
  inView('schedules', [{}], 'Missing cron expression', '[0].cron'),
  inView('schedules', [{ cron: '0 * * * *', zone: '+02:00' }], 'daylight saving', '[0].zone'),
  inView('schedules', [{ cron: '0 * * * *', timezone: 'UTC' }], "Write 'zone'", '[0].timezone'),
  inView(
    'schedules',
    [{ cron: '0 * * * *', businessHours: 'us' }],
    "No calendar is named 'us'",
    '[0].businessHours',
  ),
  inView('schedules', [{ cron: '0 * * * *', lane: 'urgent' }], "'critical'", '[0].lane'),
  inView('schedules', [{ cron: '0 * * * *', force: 'yes' }], 'Expected a boolean', '[0].force'),
  inView('schedules', [{ cron: '0 * * * *', catchUpWithin: 60 }], "'60s'", '[0].catchUpWithin'),
  {
    is: 'two schedules of one name',
    config: {
      views: {
        v: {
          ...view,
          schedules: [
            { name: 'n', cron: '0 * * * *' },
            { name: 'n', cron: '1 * * * *' },
          ],
        },
      },
    },
    place: 'views.v.schedules[1]',
    says: 'taken by views.v.schedules[0]',
  },
  inView('events', [{ when: 'true' }], 'Missing name of a table', '[0].on'),
  inView('events', [{ on: 'orders', changes: ['upsert'] }], "'insert'", '[0].changes[0]'),
  inView('events', [{ on: 'orders', changes: [] }], 'never asks', '[0].changes'),
  inView('events', [{ on: 'orders', batch: '2d' }], 'too long', '[0].batch'),
  inView('events', [{ on: 'pg_catalog.pg_class' }], 'not one for users', '[0].on'),
  inView('refreshBy', { perHour: 0 }, 'whole number', '.perHour'),
  inView('refreshBy', { perHour: '10' }, 'Expected a number', '.perHour'),
  inView('refreshBy', { roles: ['admin', 'admin'] }, 'stands twice', '.roles[1]'),
  named('a.b.c', "Write 'b.c'"),
  named('public.', 'not a name of a relation'),
  named('tidemark.v', 'not one for users'),
  named('"V"', 'without them'),
  named(' v', 'blanks around it'),
  named('v'.repeat(64), 'longer than 63 bytes'),
  inCalendar('zone', 'somewhere over', 'not the name of a time zone'),
  inCalendar('zone', undefined, 'Missing time zone'),
  inCalendar('from', '9:00', 'two digits'),
  inCalendar('to', '08:00', 'before it begins'),
  inCalendar('to', '25:00', 'not a time of day'),
  inCalendar('days', 'mon-fun', 'not days of the week'),
  inCalendar('days', ['monday'], "'mon'", '[0]'),
  inCalendar('holidays', ['2026-02-30'], 'a day that exists', '[0]'),
  inCalendar('holidays', '2026-12-25', 'found a text'),
  inDatabase('url', 'mysql://root@host/db', "env('NAME')"),
  inDatabase('url', `host=db password=${password}`, 'not one of PostgreSQL'),
  inDatabase(
    'runtimeRole',
    `postgres://me:${password}@host/db ${'x'.repeat(80)}`,
    'longer than 63 bytes',
  ),
  inDatabase('readerRoles', 'admin', 'found a text'),
  inDatabase('maxLogSize', '1 gigabyte', 'is not a size'),
  inDatabase('maxLogSize', 1, "'1MB' or '1GB'"),
  inDatabase('maxLogSize', '1kB', 'too small'),
  inDatabase('timeZone', 'UTC+2:00', 'IANA'),
  inDatabase('timezone', 'UTC', "Write 'timeZone'"),
  {
    is: 'a source of an unknown capture',
    config: { sources: { orders: { capture: 'wal' } }, views: {} },
    place: 'sources.orders.capture',
    says: "'marks'",
  },
  {
    is: 'one source under two names',
    config: { sources: { o: {}, 'public.o': {} }, views: {} },
    place: 'sources.public.o',
    says: 'taken by sources.o',
  },
  {
    is: 'half a worker',
    config: { engine: { workers: 0.5 }, views: {} },
    place: 'engine.workers',
    says: 'whole number',
  },
  {
    is: 'no worker',
    config: { engine: { workers: 0 }, views: {} },
    place: 'engine.workers',
    says: 'from 1 to 64',
  },
  {
    is: 'a poll without end',
    config: { engine: { poll: '1h' }, views: {} },
    place: 'engine.poll',
    says: 'at most 1 min',
  },
  {
    is: 'an idle engine that knows no time',
    config: { engine: { idle: {} }, views: {} },
    place: 'engine.idle.after',
    says: 'Missing duration',
  },
  {
    is: 'a wrong default',
    config: { defaults: { target: 'soon' }, views: { v: view } },
    place: 'defaults.target',
    says: "'soon'",
  },
  {
    is: 'a default that only a view may have',
    config: { defaults: { sql: 'select 1' }, views: {} },
    place: 'defaults.sql',
    says: 'known here',
  },
]

describe('a wrong configuration is refused with its place and a mend', () => {
  test.each(badConfigs)('$is', async ({ config, place, says }) => {
    const fault = await faultOf(() => configurationOf(config, folder))
    expect(fault.code).toBe('TIDEMARK_CONFIG_INVALID')
    expect(fault.place).toBe(place)
    expect(`${fault.what}. ${fault.mend}`).toContain(says)
    expect(fault.mend).toMatch(/^[A-Z].*\.$/)
    expect(fault.what).not.toMatch(/Invalid|\.$/)
    expect(fault.also).toEqual([])
    expect(fault.message).not.toContain(password)
  })

  test('all faults of a look are told at once, each with its place', async () => {
    const config = {
      views: {
        v: { targt: '5m', policy: 'lazy' },
        w: { sql: 'select 1', target: 5, verify: 'never' },
      },
      engine: { workers: 0 },
    }
    const fault = await faultOf(() => configurationOf(config, folder))
    const places = [fault, ...fault.also].map(({ place }) => place)
    expect(places.toSorted()).toEqual(
      [
        'views.v',
        'views.v.targt',
        'views.v.policy',
        'views.w.target',
        'views.w.verify',
        'engine.workers',
      ].toSorted(),
    )
    expect(fault.message.split('\n')).toHaveLength(6)
  })

  test('one fault of the defaults is told once, however many views share it', async () => {
    const target = { inside: '1m', outside: '1h', businessHours: 'mx' }
    const config = { defaults: { target }, views: { v: view, w: view } }
    const fault = await faultOf(() => configurationOf(config, folder))
    expect(fault.place).toBe('defaults.target.businessHours')
    expect(fault.also).toEqual([])
  })

  test('law: whatever the value, there is a configuration or a coded error', () => {
    const words = [
      'views',
      'sql',
      'target',
      'schedules',
      'cron',
      'database',
      'v',
      'businessHours',
      '__proto__',
    ]
    const value = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom<unknown>('5m', '0 * * * *', 'a.b', null, undefined, true, 3, NaN, ''),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...words), tie('node'), { maxKeys: 5 }),
      ),
    })).node
    fc.assert(
      fc.property(value, (config) => {
        try {
          configurationOf({ views: config }, folder)
          configurationOf(config, folder)
        } catch (error) {
          expect(error).toBeInstanceOf(TidemarkError)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a configuration that goes round in a circle is refused, not followed', async () => {
    const circle: Record<string, unknown> = { ...view }
    circle['target'] = circle
    expect((await faultOf(() => configurationOf({ views: { v: circle } }, folder))).code).toBe(
      'TIDEMARK_CONFIG_INVALID',
    )
  })
})

/** A wrong file: what it holds, and what must be said of it. */
interface BadFile {
  readonly is: string
  readonly file: string
  readonly text: string
  readonly code: ErrorCode
  readonly says: string
}

const badFiles: readonly BadFile[] = [
  {
    is: 'TypeScript that cannot be parsed',
    file: 'tidemark.config.ts',
    text: `export default { views: {}, , }`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'Unexpected token at 1:28',
  },
  {
    is: 'a URL that breaks the syntax',
    file: 'tidemark.config.ts',
    text: `export default { url: postgres://me:${password}@host/db }`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'cannot be loaded',
  },
  {
    is: 'an import that is not there',
    file: 'tidemark.config.ts',
    text: `import { x } from './missing.ts'\nexport default { views: { x } }`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: './missing.ts',
  },
  {
    is: 'a file that throws',
    file: 'tidemark.config.mjs',
    text: `throw new Error('no connection to postgres://me:${password}@host/db')`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'me:***@host',
  },
  {
    is: 'a file that throws no error',
    file: 'tidemark.config.mjs',
    text: `throw 'just so'`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'just so',
  },
  {
    is: 'a file without an export',
    file: 'tidemark.config.ts',
    text: `const views = {}`,
    code: 'TIDEMARK_CONFIG_INVALID',
    says: 'export default defineConfig',
  },
  {
    is: 'a default export that is a function',
    file: 'tidemark.config.ts',
    text: `export default () => ({ views: {} })`,
    code: 'TIDEMARK_CONFIG_INVALID',
    says: 'exports no configuration',
  },
  {
    is: 'a variable that is not set',
    file: 'tidemark.config.ts',
    text: `import { defineConfig, env } from 'tidemark'
      export default defineConfig({ database: { url: env('TIDEMARK_TEST_UNSET') }, views: {} })`,
    code: 'TIDEMARK_VARIABLE_MISSING',
    says: 'TIDEMARK_TEST_UNSET is not set',
  },
  {
    is: 'JSON with a comma too many',
    file: 'tidemark.config.json',
    text: `{\n  "database": { "url": "postgres://me:${password}@host/db" },\n}`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'not JSON',
  },
  {
    is: 'JSON that stops half-way',
    file: 'tidemark.config.json',
    text: `{ "database": { "url": "postgres://me:${password}`,
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'not JSON',
  },
  {
    is: 'an empty JSON file',
    file: 'tidemark.config.json',
    text: '',
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    says: 'not JSON',
  },
  {
    is: 'a view whose SQL file is empty',
    file: 'tidemark.config.json',
    text: `{ "views": { "v": { "file": "empty.sql" } } }`,
    code: 'TIDEMARK_CONFIG_INVALID',
    says: 'empty.sql',
  },
]

describe('a wrong configuration file is refused with a code and a mend', () => {
  test.each(badFiles)('$is', async ({ file, text, code, says }) => {
    writeFileSync(join(folder, file), text)
    writeFileSync(join(folder, 'empty.sql'), ' \n')
    const fault = await faultOf(() => loadConfiguration(folder))
    expect(fault.code).toBe(code)
    expect(fault.message).toContain(says)
    expect(fault.mend).not.toBe('')
    expect(fault.message).not.toContain(password)
    expect(fault.message).not.toContain('\n')
  })

  test('an empty folder is told what was looked for', async () => {
    const fault = await faultOf(() => loadConfiguration(folder))
    expect(fault.code).toBe('TIDEMARK_CONFIG_NOT_FOUND')
    expect(fault.message).toContain('tidemark.config.json')
    expect(fault.mend).toContain('tidemark init')
  })

  test.each(['other.ts', 'folder'])('--config %s, which is no file, is told so', async (path) => {
    mkdirSync(join(folder, 'folder'))
    const fault = await faultOf(() => loadConfiguration(folder, path))
    expect(fault.code).toBe('TIDEMARK_CONFIG_NOT_FOUND')
    expect(fault.place).toBe(path)
  })
})
