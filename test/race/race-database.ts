import type { Database } from '../../src/postgres/connection.ts'
import { raceDatabase } from '../../src/testing/index.ts'
import { planAndApply } from '../define/configured.ts'

/** Makes the table of the histories over a database, and has the cache told of its rows. */
export async function prepareRaceDatabase(database: Database): Promise<void> {
  const { namespace, table } = raceDatabase
  await database.query(`create table ${table} (key text primary key, version int not null)`)
  const caches = { [namespace]: { dependsOn: { [table]: ['key'] } } }
  await planAndApply(database, { views: {}, caches })
}
