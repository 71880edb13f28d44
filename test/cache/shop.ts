import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

/** A database with the quotes of tenants, of which the journal of the namespace `shop` tells by tenant. */
export async function createShop(): Promise<TestDatabase> {
  const db = await createInstalledDatabase()
  await db.sql(`create table quotes (id int primary key, tenant_id int, amount int)`)
  await planAndApply(db.database, {
    views: {},
    caches: { shop: { dependsOn: { quotes: ['tenant_id'] } } },
  })
  return db
}
