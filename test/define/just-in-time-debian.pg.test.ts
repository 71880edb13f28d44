import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { planConfiguration, planDestroy } from '../../src/engine/define.ts'
import { explainView } from '../../src/engine/explain.ts'
import { scan } from '../../src/engine/scan.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { configured, planAndApply } from './configured.ts'

const config: TidemarkConfig = {
  views: { sales: { sql: 'select region, count(*) as n from orders group by 1', target: '1m' } },
}

let db: TestDatabase
let watched: Database
let compiled: string[]

/** Every statement is told with its plan, and the server would compile each, whatever it costs. */
beforeEach(async () => {
  db = await createTestDatabase()
  await db.sql('create table orders (id int primary key, region text)')
  for (const setting of [
    'jit = on',
    'jit_above_cost = 0',
    'session_preload_libraries = auto_explain',
    'auto_explain.log_min_duration = 0',
    'auto_explain.log_nested_statements = on',
    'client_min_messages = log',
  ])
    await db.sql(`alter database ${db.name} set ${setting}`)
  compiled = []
  watched = openDatabase(db.url, {
    onNotice: (message) => {
      if (message.includes('\nJIT:')) compiled.push(message)
    },
  })
})
afterEach(async () => {
  await watched.close()
  await db.drop()
})

test('queries about the catalog, which the planner overrates, are not compiled just in time', async () => {
  await watched.query('select count(*) from pg_class')
  expect(compiled).toHaveLength(1)
  compiled = []

  await planAndApply(db.database, config)
  await planConfiguration(watched, configured(config))
  await planDestroy(watched)
  await explainView(watched, configured(config), { view: 'sales', show: null })
  await scan(watched, null)
  await watched.query('select * from tidemark.health_check()')
  expect(compiled.filter((message) => !message.includes('tidemark.health_check()'))).toEqual([])
})
