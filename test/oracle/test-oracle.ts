import { createInstalledDatabase } from '../support/database.ts'
import type { OracleDatabase } from './oracle-database.ts'
import { openOracleDatabase } from './oracle-database.ts'

/** A database of a test's own in which the oracle looks at views; `close()` drops it. */
export interface TestOracle extends OracleDatabase {
  readonly name: string
  readonly close: () => Promise<void>
}

/** Makes one, with the extensions that generated cases need. */
export async function createTestOracle(): Promise<TestOracle> {
  const db = await createInstalledDatabase()
  await db.sql('create extension citext schema public')
  const on = await openOracleDatabase(db.url, db.database)
  return {
    ...on,
    name: db.name,
    async close() {
      await on.closeSessions()
      await db.drop()
    },
  }
}
