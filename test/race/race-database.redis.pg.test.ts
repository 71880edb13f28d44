import { afterAll, beforeAll, test } from 'vitest'
import type { RaceSubject } from '../../src/testing/index.ts'
import { databaseSubject } from '../../src/testing/index.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { expectLawful } from './expect-lawful.ts'
import { prepareRaceDatabase } from './race-database.ts'

const histories = process.env['TIDEMARK_LONG'] === '1' ? 2_000 : 12

let server: TestRedis
let db: TestDatabase
let subject: RaceSubject
let close: () => Promise<void>

beforeAll(async () => {
  server = await startRedis()
  db = await createTestDatabase()
  await prepareRaceDatabase(db.database)
  ;({ subject, close } = await databaseSubject({ redis: server.url, database: db.url }))
})
afterAll(async () => {
  await close()
  await db.drop()
  await server.stop()
})

test(
  `law: no read is older than what was committed before the bound that is announced (${histories} histories)`,
  { timeout: histories * 10_000 },
  () => expectLawful(subject, { seed: 100, histories }),
)
