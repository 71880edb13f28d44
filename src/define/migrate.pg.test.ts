import { afterEach, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../../test/support/database.ts'
import { openDatabase } from '../postgres/connection.ts'
import { migrate, pendingMigrations } from './migrate.ts'

const opened: TestDatabase[] = []

afterEach(async () => {
  for (const database of opened.splice(0)) await database.drop()
})

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase()
  opened.push(database)
  return database
}

const catalogue = `
  select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  where c.relnamespace in ('tidemark'::regnamespace, 'tidemark_state'::regnamespace)
  order by 1, 2`

test('a new database is brought to the newest number and says which database it is', async () => {
  const { database, sql } = await emptyDatabase()
  const pending = await pendingMigrations(database)
  expect(await migrate(database)).toEqual(pending.map(({ number }) => number))
  expect(await pendingMigrations(database)).toEqual([])
  const [row] = await sql(
    `select i.database_oid = d.oid as same, i.timeline, i.system_identifier = s.system_identifier as here,
            i.highest_xid < pg_current_xact_id() as older
     from tidemark.installation i, pg_control_system() s, pg_database d
     where d.datname = current_database()`,
  )
  expect(row).toEqual({ same: true, timeline: '00000001', here: true, older: true })
})

test('a database that is up to date is not written to', async () => {
  const { database, sql, url, name } = await emptyDatabase()
  await migrate(database)
  await sql(`alter database ${name} set default_transaction_read_only = on`)
  const readOnly = openDatabase(url)
  expect(await migrate(readOnly)).toEqual([])
  await readOnly.close()
})

test('a database of every earlier number is upgraded to the same catalogue', async () => {
  const fresh = await emptyDatabase()
  const numbers = await migrate(fresh.database)
  const expected = await fresh.sql(catalogue)
  for (const upTo of numbers.slice(0, -1)) {
    const { database, sql } = await emptyDatabase()
    await migrate(database, { upTo })
    expect(await migrate(database)).toEqual(numbers.filter((number) => number > upTo))
    expect(await sql(catalogue)).toEqual(expected)
  }
})

test('of two who migrate at once each migration is applied by one', async () => {
  const { database, url } = await emptyDatabase()
  const other = openDatabase(url)
  const pending = await pendingMigrations(database)
  const done = await Promise.all([migrate(database), migrate(other), migrate(database)])
  await other.close()
  expect(done.flat().sort((low, high) => low - high)).toEqual(pending.map(({ number }) => number))
})

test('the printed SQL of the pending migrations does the same as migrating', async () => {
  const { database, sql } = await emptyDatabase()
  await database.transaction(async (transaction) => {
    for (const migration of await pendingMigrations(transaction))
      await transaction.query(migration.sql)
  })
  expect(await migrate(database)).toEqual([])
  expect(await sql('select count(*) as n from tidemark.installation')).toEqual([{ n: 1 }])
})

test('a schema newer than the program is refused with the mend', async () => {
  const { database, sql } = await emptyDatabase()
  await migrate(database)
  await sql(`insert into tidemark.migration values (9999, 'from-the-future', 'x')`)
  await expect(migrate(database)).rejects.toMatchObject({
    code: 'TIDEMARK_SCHEMA_NEWER',
    message: expect.stringMatching(/9999 \(from-the-future\).*npm install/) as string,
  })
})

test('a migration that was changed after it was applied is refused', async () => {
  const { database, sql } = await emptyDatabase()
  await migrate(database)
  await sql(`update tidemark.migration set checksum = 'other' where number = 1`)
  await expect(pendingMigrations(database)).rejects.toMatchObject({
    code: 'TIDEMARK_SCHEMA_CHANGED',
  })
})

test('the schemas are closed to everyone', async () => {
  const { database, sql } = await emptyDatabase()
  await migrate(database)
  const rows = await sql(
    `select s, has_schema_privilege('public', s, p) as open
     from unnest(array['tidemark', 'tidemark_state']) s, unnest(array['usage', 'create']) p`,
  )
  expect(rows.filter((row) => row['open'] === true)).toEqual([])
})

test('an installed test database is its own installation', async () => {
  const installed = await createInstalledDatabase()
  opened.push(installed)
  const other = await createInstalledDatabase()
  opened.push(other)
  const id = 'select id, database_oid from tidemark.installation'
  expect(await installed.sql(id)).not.toEqual(await other.sql(id))
})
