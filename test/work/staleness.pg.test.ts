import { afterEach, beforeEach, expect, test } from 'vitest'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { installObserved } from '../support/hand-made.ts'
import { long } from '../support/random.ts'
import { observeStaleness } from '../support/staleness-observer.ts'

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installObserved(db.sql, 1500)
})
afterEach(() => db.drop())

test('law: reported staleness never understates, and overstates by a second at most, at 200 writes a second with a transaction left open', async () => {
  const observed = await observeStaleness({
    databaseUrl: db.url,
    durationMs: long ? 360_000 : 12_000,
    writesPerSecond: 200,
    pollMs: 100,
    openForMs: long ? 300_000 : 6_000,
  })
  expect(observed.writes).toBeGreaterThan(500)
  expect(observed.stale).toBeGreaterThan(20)
  expect(observed.understated).toBe(0)
  expect(observed.overstatedMsMax).toBeLessThanOrEqual(1000)
}, 420_000)
