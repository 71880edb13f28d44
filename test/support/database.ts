import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, inject } from 'vitest'
import { migrate } from '../../src/define/migrate.ts'
import type { Database, Queryable, Session } from '../../src/postgres/connection.ts'
import { openDatabase, openSession, serverVersion } from '../../src/postgres/connection.ts'
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
  const server = await serverFor(options.server)
  server.installed ??= install(server.url)
  await server.installed
  return createFrom(installedTemplate, options)
}

/**
 * Databases with Tidemark in them that are copies of one, which `make` makes for the first of them: for a file whose tests
 * all begin with the same plan applied. The original is dropped after them.
 */
export function copiesOf(make: () => Promise<TestDatabase>): () => Promise<TestDatabase> {
  let original: Promise<TestDatabase> | undefined
  afterAll(async () => (await original)?.drop())
  const makeOriginal = async (): Promise<TestDatabase> => {
    const made = await make()
    await made.database.close()
    await noSessions((await serverFor()).admin, made.name)
    return made
  }
  return async () => {
    original ??= makeOriginal()
    return createFrom((await original).name, {})
  }
}

const installedTemplate = 'tidemark_template'

/** Makes the database that installed ones are copied from, unless another worker has. */
async function install(adminUrl: string): Promise<void> {
  const admin = await openSession(adminUrl)
  const draftName = `${installedTemplate}_draft`
  try {
    await admin.query('select pg_advisory_lock(1)')
    const [found] = await admin.query('select from pg_database where datname = $1', [
      installedTemplate,
    ])
    if (found !== undefined) return
    await admin.query(`create database ${identifier(draftName)}`)
    const draft = openDatabase(withDatabase(adminUrl, draftName))
    await migrate(draft).finally(() => draft.close())
    await noSessions(admin, draftName)
    await admin.query(`alter database ${draftName} rename to ${installedTemplate}`)
  } finally {
    await admin.close()
  }
}

/** A server as a worker knows it. */
interface KnownServer {
  /** Its database `postgres`, as superuser. */
  readonly url: string
  /** The same, by connections that stay open from one test to the next. */
  readonly admin: Database
  /** How a database is copied. */
  readonly strategy: string
  /** Settled when there is a database to copy installed ones from. */
  installed?: Promise<void>
}

const known = new Map<string, Promise<KnownServer>>()

/** A server, which is started if need be. */
function serverFor(name: ServerName = inject('serverName')): Promise<KnownServer> {
  const asked = `${inject('serversUrl')}/${name}`
  let server = known.get(asked)
  if (server === undefined) {
    server = meetServer(asked)
    known.set(asked, server)
  }
  return server
}

async function meetServer(asked: string): Promise<KnownServer> {
  const response = await fetch(asked)
  const url = await response.text()
  if (!response.ok) throw new Error(url)
  const admin = openDatabase(url, { connectionsMax: 2 })
  // Files are copied in half the time that their pages take by way of the log, which PostgreSQL 15 and newer prefer.
  const strategy = (await serverVersion(admin)) >= 150_000 ? 'strategy file_copy' : ''
  return { url, admin, strategy }
}

async function createFrom(template: string, options: TestDatabaseOptions): Promise<TestDatabase> {
  const { url: adminUrl, admin, strategy } = await serverFor(options.server)
  const name = `test_${randomBytes(6).toString('hex')}`
  await admin.query(`create database ${name} template ${template} ${strategy}`)
  const url = withDatabase(adminUrl, name)
  const urlAs = (role: string): string => {
    const changed = new URL(url)
    changed.username = encodeURIComponent(role)
    return changed.href
  }
  const database = openDatabase(url)
  if (template !== 'template1') await recordCopy(database)
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
      try {
        await nothingLeft(admin, adminUrl, name)
      } finally {
        await admin.query(`drop database if exists ${name} with (force)`)
      }
    },
  }
}

/** The copy is a database of its own and says so, as an installed one does. */
async function recordCopy(copy: Queryable): Promise<void> {
  await copy.query(
    `update tidemark.installation
     set id = gen_random_uuid(),
         database_oid = (select oid from pg_database where datname = current_database())`,
  )
}

/** Sessions, prepared transactions and slots that a test forgot, or that the code under test did. */
async function nothingLeft(admin: Queryable, adminUrl: string, name: string): Promise<void> {
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
  await rollBackPrepared(admin, withDatabase(adminUrl, name), name)
  await noSessions(admin, name)
  if (left.length > 0) throw new Error(`Left behind: ${left.map(({ what }) => what).join(', ')}`)
}

/** A prepared transaction can only be rolled back in its own database. */
async function rollBackPrepared(admin: Queryable, url: string, name: string): Promise<void> {
  const prepared = await admin.query<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = $1',
    [name],
  )
  if (prepared.length === 0) return
  const session = await openSession(url)
  for (const { gid } of prepared) await session.query(`rollback prepared ${literal(gid)}`)
  await session.close()
}

/** Waits until the server has ended the sessions that were closed. */
async function noSessions(admin: Queryable, name: string): Promise<void> {
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

function withDatabase(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}
