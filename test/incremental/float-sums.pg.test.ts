import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

let db: TestDatabase

const query = `select region, sum(weight) as total, avg(weight) filter (where id > 3) as mean, sum(small) as light
  from parcels group by region`

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table parcels (id int primary key, region text, weight float8, small real);
    insert into parcels select g, 'r' || g % 3, g / 7.0, g / 3.0 from generate_series(1, 30) g`)
  const view = { sql: query, target: '1h', verify: 'full' as const }
  await applyConfiguration(
    db.database,
    configured({
      views: { 'public.kept': { ...view, floatSums: 'approximate' }, 'public.exact': view },
    }),
  )
})
afterAll(() => db.drop())

/** How the last stage of a view is kept: groups that are kept by weight have columns of their own. */
const byWeight = async (view: string): Promise<boolean> => {
  const rows = await db.sql(
    `select from pg_attribute where attrelid = 'tidemark_state."public.${view}"'::regclass and attname like 'tidemark sum%'`,
  )
  return rows.length > 0
}

test('sums of floats are kept by weight only where a view says so', async () => {
  expect(await byWeight('kept')).toBe(true)
  expect(await byWeight('exact')).toBe(false)
})

test.each([
  `update parcels set weight = weight * 1.1, small = small + 0.1 where id % 4 = 0`,
  `insert into parcels values (100, 'r1', 1e15, 1e6), (101, null, 0.1, null)`,
  `delete from parcels where id = 100`,
  `insert into parcels values (102, 'r2', 'NaN', 'Infinity'), (103, 'r0', '-Infinity', 'NaN')`,
  `delete from parcels where id in (102, 103)`,
  `delete from parcels where region = 'r1'`,
])(
  'they are the same as computed afresh, and the float sums but for rounding: %s',
  async (write) => {
    await db.sql(write)
    await db.sql(`call tidemark.run('public.kept')`)
    const [run] = await db.sql(
      `select method, differing::int from tidemark.run where view = 'public.kept' order by run_id desc limit 1`,
    )
    expect(run).toEqual({ method: 'incremental', differing: 0 })
    const away = await db.sql(
      `select q, k from (${query}) q full join kept k on coalesce(k.region, '-') = coalesce(q.region, '-')
     where (q.total, q.mean, q.light) is distinct from (k.total, k.mean, k.light)
       and not coalesce(abs(q.total - k.total) <= 1e-14 * abs(q.total) and abs(q.mean - k.mean) <= 1e-14 * abs(q.mean)
                    and abs(q.light - k.light) <= 1e-5 * abs(q.light), false)`,
    )
    expect(away).toEqual([])
  },
)
