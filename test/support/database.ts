import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { migrate } from '../../src/define/migrate.ts'
import type { Database, Queryable, Session } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { identifier, literal } from '../../src/postgres/identifier.ts'
import type { ServerName } from './servers.ts'

/** A database of a test's own. */
export interface TestDatabase {
  readonly name: string
  readonly url: string
  /** The URL as another role; everyone is trusted. */
  readonly urlAs: (role: string) => string
  readonly database: Database
  /** Runs SQL, several statements if there are no values, and returns the rows of the last. */
  readonly sql: Queryable['query']
  /** A connection of its own, ended by `drop()` if not before; as `role` if given. */
  readonly session: (role?: string) => Promise<Session>
  /** Ends what this object opened and drops the database; throws if anything else is still there. */
  readonly drop: () => Promise<void>
}

/** Choices of {@link createTestDatabase}. */
export interface TestDatabaseOptions {
  /** Null: the default server. */
  readonly server?: ServerName
}

const goneWithinMs = 5_000

/** A fresh, empty database. */
export function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  return createFrom('template1', options)
}

/** A fresh database with Tidemark's schemas in it, copied from one that was migrated once. */
export async function createInstalledDatabase(
  options: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  const template = 'tidemark_template'
  const adminUrl = await serverFor(options.server)
  const admin = await openSession(adminUrl)
  try {
    await admin.query('select pg_advisory_lock(1)')
    const [found] = await admin.query('select from pg_database where datname = $1', [template])
    if (found === undefined) {
      await admin.query(`create database ${identifier(`${template}_draft`)}`)
      const draft = openDatabase(withDatabase(adminUrl, `${template}_draft`))
      await migrate(draft).finally(() => draft.close())
      await noSessions(admin, `${template}_draft`)
      await admin.query(`alter database ${template}_draft rename to ${template}`)
    }
  } finally {
    await admin.close()
  }
  return createFrom(template, options)
}

/** The URL of a server's database `postgres`, as superuser; starts the server if need be. */
async function serverFor(name: ServerName = inject('serverName')): Promise<string> {
  const response = await fetch(`${inject('serversUrl')}/${name}`)
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return text
}

async function createFrom(template: string, options: TestDatabaseOptions): Promise<TestDatabase> {
  const adminUrl = await serverFor(options.server)
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin(adminUrl, (admin) => admin.query(`create database ${name} template ${template}`))
  if (template !== 'template1') await recordCopy(withDatabase(adminUrl, name))
  const url = withDatabase(adminUrl, name)
  const urlAs = (role: string): string => {
    const changed = new URL(url)
    changed.username = encodeURIComponent(role)
    return changed.href
  }
  const database = openDatabase(url)
  const sessions: Session[] = []
  return {
    name,
    url,
    urlAs,
    database,
    sql: database.query,
    async session(role) {
      const session = await openSession(role === undefined ? url : urlAs(role))
      sessions.push(session)
      return session
    },
    async drop() {
      await Promise.all([database.close(), ...sessions.map((session) => session.close())])
      await asAdmin(adminUrl, async (admin) => {
        try {
          await nothingLeft(admin, name)
        } finally {
          await admin.query(`drop database if exists ${name} with (force)`)
        }
      })
    },
  }
}

/** The copy is a database of its own and says so, as an installed one does. */
async function recordCopy(url: string): Promise<void> {
  const session = await openSession(url)
  await session.query(
    `update tidemark.installation
     set id = gen_random_uuid(),
         database_oid = (select oid from pg_database where datname = current_database())`,
  )
  await session.close()
}

/** Sessions, prepared transactions and slots that a test forgot, or that the code under test did. */
async function nothingLeft(admin: Session, name: string): Promise<void> {
  const left = await admin.query<{ what: string }>(
    `select 'prepared transaction ' || gid as what from pg_prepared_xacts where database = $1
     union all
     select 'replication slot ' || slot_name from pg_replication_slots where database = $1`,
    [name],
  )
  for (const { what } of left) {
    if (what.startsWith('replication slot ')) {
      await admin.query('select pg_drop_replication_slot($1)', [what.slice(17)])
    }
  }
  await rollBackPrepared(admin, name)
  await noSessions(admin, name)
  if (left.length > 0) throw new Error(`Left behind: ${left.map(({ what }) => what).join(', ')}`)
}

/** A prepared transaction can only be rolled back in its own database. */
async function rollBackPrepared(admin: Session, name: string): Promise<void> {
  const prepared = await admin.query<{ gid: string; url: string }>(
    'select gid from pg_prepared_xacts where database = $1',
    [name],
  )
  if (prepared.length === 0) return
  const session = await openSession(withDatabase(await serverUrlOf(admin), name))
  for (const { gid } of prepared) await session.query(`rollback prepared ${literal(gid)}`)
  await session.close()
}

async function serverUrlOf(admin: Session): Promise<string> {
  const [row] = await admin.query<{ port: string }>(`select current_setting('port') as port`)
  return `postgres://postgres@127.0.0.1:${row?.port ?? ''}/postgres`
}

/** Waits until the server has ended the sessions that were closed. */
async function noSessions(admin: Session, name: string): Promise<void> {
  const deadline = Date.now() + goneWithinMs
  for (;;) {
    const left = await admin.query<{ pid: number; state: string; query: string }>(
      `select pid, state, query from pg_stat_activity
       where datname = $1 and backend_type in ('client backend', 'walsender')`,
      [name],
    )
    if (left.length === 0) return
    if (Date.now() > deadline) {
      throw new Error(
        `Sessions left open: ${left.map(({ pid, state, query }) => `${pid} ${state} ${query}`).join('; ')}`,
      )
    }
    await sleep(10)
  }
}

async function asAdmin(url: string, body: (admin: Session) => Promise<unknown>): Promise<void> {
  const admin = await openSession(url)
  try {
    await body(admin)
  } finally {
    await admin.close()
  }
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}
