import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { migrationFiles } from '../../src/define/formats.ts'
import { planConfiguration } from '../../src/engine/define.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { restoreDump, runPsql } from '../support/dump.ts'
import { configured, planAndApply, titles } from './configured.ts'
import { config, ordersAndItems } from './two-views.ts'

let db: TestDatabase

beforeEach(async () => {
  db = await createTestDatabase()
  await db.sql(ordersAndItems)
})
afterEach(() => db.drop())

/** Another database with everything that is in this one, oids too. */
type OtherDatabase = Pick<TestDatabase, 'database' | 'sql' | 'drop'>

const copyOf = (original: TestDatabase): Promise<OtherDatabase> => otherOf(original, original.name)

/** Another database with what a dump of this one holds. */
async function restoredFrom(original: TestDatabase): Promise<OtherDatabase> {
  const other = await otherOf(original, 'template0')
  restoreDump(original.url, original.url.replace(original.name, `${original.name}_copy`))
  return other
}

async function otherOf(original: TestDatabase, template: string): Promise<OtherDatabase> {
  const name = `${original.name}_copy`
  const admin = openDatabase(original.url.replace(original.name, 'postgres'))
  await admin.query(`create database ${name} template ${template}`)
  const database = openDatabase(original.url.replace(original.name, name))
  return {
    database,
    sql: database.query,
    async drop() {
      await database.close()
      await admin.query(`drop database ${name} with (force)`)
      await admin.close()
    },
  }
}

/** One stage under another: its table is kept beside the state. */
const counts = `with t as (select region, count(*) as orders from orders group by region)
  select orders, count(*) as regions from t group by orders`

const both: TidemarkConfig = {
  ...config,
  views: { ...config.views, counts: { sql: counts, maintain: 'incremental' } },
}

describe('another database with the same content', () => {
  test.each([
    ['a copy', copyOf, ['~ schema tidemark']],
    [
      'a dump that was restored',
      restoredFrom,
      [
        '~ schema tidemark',
        '~ source public.orders',
        '~ view public.by_region',
        '~ view public.counts',
        '~ view public.total',
      ],
    ],
  ])('%s is unknown until one apply, and then kept up', async (_, make, steps) => {
    await planAndApply(db.database, both, { populate: true })
    await db.database.close()
    const other = await make(db)
    try {
      const states = (): Promise<unknown> =>
        other.sql('select distinct state from tidemark.freshness')
      const contents = async (): Promise<readonly unknown[]> =>
        Promise.all([
          other.sql('select total from total'),
          other.sql('select orders::int, regions::int from counts order by 1'),
        ])
      expect(await states()).toEqual([{ state: 'unknown' }])
      await other.sql(`insert into orders values (1000, 'r0', 1)`)
      const applied = await planAndApply(other.database, both, { populate: true })
      expect([...titles(applied)].sort()).toEqual([...steps].sort())
      expect(titles(await planConfiguration(other.database, configured(both)))).toEqual([])
      expect(await states()).toEqual([{ state: 'fresh' }])
      expect(await contents()).toEqual([
        [{ total: '5051.00' }],
        [
          { orders: 33, regions: 1 },
          { orders: 34, regions: 2 },
        ],
      ])

      await other.sql(`insert into orders values (1001, 'r2', 1)`)
      for (const view of ['by_region', 'counts']) {
        await other.sql(`call tidemark.run('${view}')`)
        const [run] = await other.sql(
          'select method from tidemark.run where view = $1 order by run_id desc limit 1',
          [`public.${view}`],
        )
        expect({ view, ...run }).toEqual({ view, method: 'incremental' })
      }
      expect(await states()).toEqual([{ state: 'fresh' }])
      expect(await contents()).toEqual([[{ total: '5052.00' }], [{ orders: 34, regions: 3 }]])
    } finally {
      await other.drop()
    }
  })
})

describe('--format sql', () => {
  test('applied by psql, there is nothing left to plan', async () => {
    await db.sql('create materialized view mv as select count(*) as n from items')
    const all: TidemarkConfig = { ...config, views: { ...config.views, mv: { adopt: 'mv' } } }
    const plan = await planConfiguration(db.database, configured(all))
    const [file] = migrationFiles(plan, 'sql', { at: new Date() })
    runPsql(db.url, file?.text ?? '')
    expect(titles(await planConfiguration(db.database, configured(all)))).toEqual([])
    expect(await db.sql('select count(*)::int as n from tidemark.request')).toEqual([{ n: 2 }])
  })
})
