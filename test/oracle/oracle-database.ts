import { migrate } from '../../src/define/migrate.ts'
import type { Database, Session } from '../../src/postgres/connection.ts'
import { openDatabase, openSession, serverVersion } from '../../src/postgres/connection.ts'
import { identifier } from '../../src/postgres/identifier.ts'
import { sessionsMax } from './generate-history.ts'

/** A database with Tidemark in it and the sessions of a history. */
export interface OracleDatabase {
  readonly database: Database
  /** Where the views are compared. */
  readonly reader: Session
  readonly sessions: readonly Session[]
  readonly serverVersion: number
  /** Ends the sessions; the database is whose opened it. */
  readonly closeSessions: () => Promise<void>
  readonly close: () => Promise<void>
}

/** A blocked statement gives up this soon: whoever blocks it never moves meanwhile. */
const lockTimeoutMs = 15
const statementTimeoutMs = 5_000

/** Makes a database of this name, in place of one that is there, and opens it. */
export async function createOracleDatabase(
  adminUrl: string,
  name: string,
): Promise<OracleDatabase> {
  const admin = await openSession(adminUrl)
  await admin.query(`drop database if exists ${identifier(name)} with (force)`)
  await admin.query(`create database ${identifier(name)}`)
  await admin.close()
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const database = openDatabase(url.href)
  await migrate(database)
  await database.query('create extension citext schema public')
  return openOracleDatabase(url.href, database)
}

/** Opens the sessions on a database that has Tidemark. */
export async function openOracleDatabase(url: string, database: Database): Promise<OracleDatabase> {
  const sessions = await Promise.all(Array.from({ length: sessionsMax }, () => openSession(url)))
  for (const session of sessions) {
    await session.query(
      `set lock_timeout = ${lockTimeoutMs}; set statement_timeout = ${statementTimeoutMs}; set timezone = 'UTC'`,
    )
  }
  const reader = await openSession(url)
  await reader.query(`set timezone = 'UTC'; set jit = off; set max_parallel_workers_per_gather = 0;
    set client_min_messages = error`)
  const closeSessions = async (): Promise<void> => {
    await Promise.all([...sessions, reader].map((session) => session.close()))
  }
  return {
    database,
    reader,
    sessions,
    serverVersion: await serverVersion(reader),
    closeSessions,
    async close() {
      await closeSessions()
      await database.close()
    },
  }
}
