import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { poll, tagsAfter } from './polling.ts'

const query = 'select tenant_id, count(*) as n from quotes group by tenant_id'
const rules = { totals: [['tenant_id'], []] } as const
let db: TestDatabase

const configOf = (maintain: 'auto' | 'full', as: 'view' | 'matview' = 'view'): TidemarkConfig => ({
  views: { totals: { sql: query, target: '1h', maintain, as } },
  caches: { shop: { dependsOn: rules } },
})

async function put(config: TidemarkConfig): Promise<void> {
  const plan = await planConfiguration(db.database, configured(config))
  await apply(db.database, plan, { allowDestructive: true })
  await poll(db.database)
}

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table quotes (id int primary key, tenant_id int);
    insert into quotes select g, g % 500 from generate_series(0, 2000) g;`)
})
afterEach(() => db.drop())

const refresh = (): Promise<unknown> => db.sql(`call tidemark.run('totals')`)

test('law: a cache over a view is told of the rows that changed in it, after its refresh and not before', async () => {
  await put(configOf('auto'))
  expect(
    await tagsAfter(db.database, () => db.sql('insert into quotes values (-1, 7), (-2, 8)')),
  ).toEqual([])
  expect(await tagsAfter(db.database, refresh)).toEqual([
    'source:public.totals',
    'source:public.totals:tenant_id=7',
    'source:public.totals:tenant_id=8',
  ])
  // Nothing changed in it, whatever changed beneath.
  await db.sql('update quotes set id = -3 where id = -2')
  expect(await tagsAfter(db.database, refresh)).toEqual([])
})

test('what has a position is not kept for the cache any longer', async () => {
  await put(configOf('auto'))
  for (let n = 1; n <= 3; n += 1) {
    await db.sql(`insert into quotes values (-$1::int, 7)`, [n])
    await refresh()
    await poll(db.database)
  }
  const [kept] = await db.sql<{ refreshes: number }>(
    `select count(distinct "tidemark refresh")::int as refreshes from tidemark_state."changes of public.totals"`,
  )
  expect(kept?.refreshes).toBe(1)
})

test.for(['view', 'matview'] as const)(
  'a full view as a %s is told as all of it when it changed, and not when it did not',
  async (as) => {
    await put(configOf('full', as))
    await db.sql('insert into quotes values (-1, 7)')
    expect(await tagsAfter(db.database, refresh)).toEqual([
      'source:public.totals',
      'source:public.totals:*',
    ])
    if (as === 'view') expect(await tagsAfter(db.database, refresh)).toEqual([])
  },
)

test('a view that is made anew is told as all of it', async () => {
  await put(configOf('auto'))
  const changed: TidemarkConfig = {
    ...configOf('auto'),
    views: { totals: { sql: `${query} having count(*) > 4`, target: '1h' } },
  }
  const { position } = await poll(db.database)
  await put(changed)
  const news = await poll(db.database, position)
  const names = news.invalidations.map(([, , name]) => name)
  expect(!news.complete || names.includes('source:public.totals:*')).toBe(true)
})
