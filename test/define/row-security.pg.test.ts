import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { planConfiguration } from '../../src/engine/define.ts'
import { explainFile } from '../../src/engine/explain.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { configured, planAndApply } from './configured.ts'

let db: TestDatabase
/** Who owns the views, and of the orders sees those of the region r1. */
let owner: string

beforeEach(async () => {
  owner = `reporter_${randomUUID().slice(0, 8)}`
  db = await createTestDatabase()
  await db.sql(`
    create role ${owner};
    grant create on schema public to ${owner};
    create table orders (id int primary key, region text, amount int);
    insert into orders select g, 'r' || g % 3, g from generate_series(1, 30) g;
    create table regions (region text primary key);
    insert into regions values ('r1'), ('r2');
    grant select on orders, regions to ${owner};
    alter table orders enable row level security;
    create policy first_region on orders for select to ${owner} using (region = 'r1');
    create materialized view sales as select region, count(*) as n from orders group by region;
    alter materialized view sales owner to ${owner};
    refresh materialized view sales;`)
})
afterEach(async () => {
  await db.sql(`drop owned by ${owner} cascade; drop role ${owner}`)
  await db.drop()
})

const adopted = (more: object = {}): TidemarkConfig => ({
  views: { sales: { adopt: 'sales', ...more } },
})

const planned = (config: TidemarkConfig): ReturnType<typeof planConfiguration> =>
  planConfiguration(db.database, configured(config))

const rows = (): Promise<unknown> => db.sql('select region, n from sales order by region')

describe('an adopted view from whose owner a policy hides rows', () => {
  test('is refused however it is to be maintained, with the table, the role, the policy and the mend', async () => {
    for (const maintain of ['auto', 'incremental', 'full'] as const) {
      await expect(planned(adopted({ maintain }))).rejects.toMatchObject({
        code: 'TIDEMARK_ROW_SECURITY',
        what: `public.sales would be computed with what ${owner} may see of public.orders, of which row-level security hides rows from that role (policy first_region)`,
        mend: expect.stringContaining(`alter role ${owner} bypassrls`) as unknown,
        place: 'views.public.sales',
      })
    }
  })

  test('holds as a materialized view what its owner may see, as before', async () => {
    await planAndApply(db.database, adopted({ as: 'matview' }), { populate: true })
    await db.sql(`insert into orders values (31, 'r1', 1), (32, 'r2', 1)`)
    await db.sql(`select tidemark.refresh('sales', 'now')`)
    expect(await rows()).toEqual([{ region: 'r1', n: 11 }])
  })

  test('is incremental once its owner may see all rows', async () => {
    await db.sql(`alter role ${owner} bypassrls`)
    await planAndApply(db.database, adopted({ maintain: 'incremental' }), { populate: true })
    expect(await rows()).toHaveLength(3)
  })

  test('is incremental once its owner owns the table, unless the policies are forced on him', async () => {
    await db.sql(
      `alter table orders owner to ${owner}; alter table orders force row level security`,
    )
    await expect(planned(adopted())).rejects.toMatchObject({
      code: 'TIDEMARK_ROW_SECURITY',
      mend: expect.stringContaining(
        'alter table public.orders no force row level security',
      ) as unknown,
    })
    await db.sql('alter table orders no force row level security')
    await planAndApply(db.database, adopted({ maintain: 'incremental' }), { populate: true })
    expect(await rows()).toHaveLength(3)
  })

  test('is refused when it comes to be so later', async () => {
    await db.sql('alter table orders disable row level security')
    await planAndApply(db.database, adopted(), { populate: true })
    await db.sql('alter table orders enable row level security; drop policy first_region on orders')
    await expect(planned(adopted())).rejects.toMatchObject({
      code: 'TIDEMARK_ROW_SECURITY',
      what: expect.stringContaining('(no policy shows it any)') as unknown,
    })
  })
})

describe('a view that reads the table through an ordinary view', () => {
  const through = (kind: string): Promise<unknown> =>
    db.sql(`
      create view visible with (${kind}) as select id, region from orders;
      grant select on visible to ${owner};
      create materialized view kept as select count(*) as n from visible;
      alter materialized view kept owner to ${owner}`)
  const kept: TidemarkConfig = { views: { kept: { adopt: 'kept' } } }

  test('of a role that sees all rows is computed in full with all of them, for a reason', async () => {
    await through('security_barrier = false')
    const plan = await planAndApply(db.database, kept, { populate: true })
    expect(JSON.stringify(plan.steps)).toContain(
      `row-level security of public.orders hides rows from ${owner}, who owns it`,
    )
    await db.sql(`insert into orders values (31, 'r2', 1)`)
    await db.sql(`select tidemark.refresh('kept', 'now')`)
    expect(await db.sql('select n from kept')).toEqual([{ n: 31 }])
  })

  test('that reads as whoever asks is refused', async () => {
    await through('security_invoker')
    await expect(planned(kept)).rejects.toMatchObject({ code: 'TIDEMARK_ROW_SECURITY' })
  })
})

test('other tables with policies are of no concern', async () => {
  await db.sql(`
    create materialized view named as select region from regions;
    alter materialized view named owner to ${owner}`)
  await planAndApply(
    db.database,
    { views: { named: { adopt: 'named', maintain: 'incremental' } } },
    { populate: true },
  )
  expect(await db.sql('select count(*) as n from named')).toEqual([{ n: 2 }])
})

test('explain --file judges for who owns what has the name, else for who asks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-row-security-'))
  const query = 'as select region, count(*) as n from orders group by region'
  await writeFile(
    join(folder, 'views.sql'),
    `create materialized view sales ${query};\ncreate materialized view others ${query};`,
  )
  const { queries } = await explainFile(db.database, { folder, path: 'views.sql' })
  await rm(folder, { recursive: true })
  expect(queries).toMatchObject([
    { strategy: null, error: { code: 'TIDEMARK_ROW_SECURITY' } },
    { strategy: 'incremental', error: null },
  ])
})
