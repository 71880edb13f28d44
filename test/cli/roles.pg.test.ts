import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { jsonOf, openShell } from './run.ts'
import type { Shell } from './run.ts'

const roles = ['cli_reader', 'cli_refresher', 'cli_runtime'] as const

let db: TestDatabase
let shell: Shell

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table orders (id int primary key, region text);
    insert into orders values (1, 'north');`)
  for (const role of roles) await db.sql(`create role ${role} login`)
  shell = await openShell(db.url)
  await shell.write(
    'tidemark.config.ts',
    `import { defineConfig } from 'tidemark'
     export default defineConfig({
       database: { runtimeRole: 'cli_runtime', readerRoles: ['cli_reader'] },
       views: {
         sales: {
           sql: 'select region, count(*) as n from orders group by region',
           // of an incremental view a function can only ask, and says queued
           maintain: 'full',
           refreshBy: { roles: ['cli_refresher'] },
           schedules: ['0 6 * * *'],
         },
       },
     })`,
  )
  expect(await shell.run(['apply', '--yes'])).toMatchObject({ status: 0, err: '' })
})
afterAll(async () => {
  await shell.remove()
  for (const role of roles) await db.sql(`drop owned by ${role}; drop role ${role}`)
  await db.drop()
})

const as = (role: (typeof roles)[number], ...words: string[]): ReturnType<Shell['run']> =>
  shell.run([...words, '--database-url', db.urlAs(role)])

test.each(['status', 'why sales', 'history', 'next', 'doctor', 'version'])(
  'a reader may ask for %s',
  async (command) => {
    expect(await as('cli_reader', ...command.split(' '))).toMatchObject({ status: 0, err: '' })
  },
)

test.each(['refresh sales --force', 'pause sales', 'cancel sales', 'tick', 'up', 'show sales'])(
  'a reader may not %s, and is told what is missing',
  async (command) => {
    const { status, err } = await as('cli_reader', ...command.split(' '))
    expect(status).toBe(1)
    expect(err).toMatch(/\(TIDEMARK_(PRIVILEGE_MISSING|REFRESH_FORBIDDEN)\)/)
  },
)

test('a role that refreshBy names may refresh, and nothing else', async () => {
  const ran = await as('cli_refresher', 'refresh', 'sales', '--force', '--json')
  expect(ran.status).toBe(0)
  expect(jsonOf(ran)).toMatchObject({ refreshed: [{ view: 'public.sales', status: 'completed' }] })
  expect((await as('cli_refresher', 'pause', 'sales')).err).toContain('TIDEMARK_PRIVILEGE_MISSING')
})

test.each(['tick', 'pause sales', 'resume sales', 'status', 'show sales', 'doctor'])(
  'the role that runs the engine may %s',
  async (command) => {
    expect(await as('cli_runtime', ...command.split(' '))).toMatchObject({ status: 0, err: '' })
  },
)
