import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { createJiti } from 'jiti'
import { loadConfiguration } from '../../src/define/config/load-configuration.ts'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { applyConfiguration } from '../../src/engine/define.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'

/** A database with an example's schema, before Tidemark has come. */
export async function exampleDatabase(name: string): Promise<TestDatabase> {
  const db = await createTestDatabase()
  await db.sql(
    await readFile(new URL(`../../examples/${name}/schema.sql`, import.meta.url), 'utf8'),
  )
  return db
}

/** Applies the example's configuration, as `tidemark apply --yes` does. */
export async function applyExample(db: TestDatabase, name: string): Promise<void> {
  const folder = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
  await applyConfiguration(db.database, await loadConfiguration(folder))
}

/** The example's configuration, as a program that imports it has it. */
export async function exampleConfig(name: string): Promise<TidemarkConfig> {
  const path = fileURLToPath(new URL(`../../examples/${name}/tidemark.config.ts`, import.meta.url))
  const tidemark = fileURLToPath(new URL('../../src/index.ts', import.meta.url))
  return createJiti(import.meta.url, { alias: { tidemark } }).import(path, { default: true })
}
