import { afterEach, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import { tagsAfter } from '../invalidation/polling.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { configured, planAndApply, titles } from './configured.ts'

// Whether an update is one row of a log or two is told by the table. What reads the log is made after the log.

const config: TidemarkConfig = {
  views: {
    'public.totals': {
      sql: 'select region, sum(amount) as total from orders group by region',
      maintain: 'incremental',
    },
  },
  caches: { shop: { dependsOn: { orders: ['region'] } } },
}

let db: TestDatabase
afterEach(() => db.drop())

test('an apply that ends after a log has got images of before leaves nothing untrue', async () => {
  db = await createInstalledDatabase()
  // Nothing bounds the bytes of a tsquery in its row.
  await db.sql(`
    create table orders (id int primary key, region text, amount int, words tsquery);
    insert into orders select g, 'r' || g % 3, g from generate_series(1, 9) g`)
  await planAndApply(db.database, config, { populate: true })
  await db.sql('alter table orders drop column words')
  const plan = await planConfiguration(db.database, configured(config))
  expect(titles(plan)).toContain('~ view public.totals')
  const begun = { ...plan, steps: plan.steps.filter(({ noun }) => noun === 'source') }
  await apply(db.database, begun, { populate: false })
  await db.sql(`call tidemark.run('public.totals', 'manual', 'test')`)

  const tags = await tagsAfter(db.database, () =>
    db.sql(`update orders set region = 'new', amount = 100 where id = 4`),
  )
  await db.sql(`call tidemark.run('public.totals', 'manual', 'test')`)

  expect(await db.sql('select region, total::int from totals order by region')).toEqual([
    { region: 'new', total: 100 },
    { region: 'r0', total: 18 },
    { region: 'r1', total: 8 },
    { region: 'r2', total: 15 },
  ])
  expect(tags).toContain('source:public.orders:*')
})
