import { afterAll, beforeAll, expect, test } from 'vitest'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { readSqlCases } from './sql-cases.ts'

const { schema, writes, queries } = await readSqlCases('dashboards.sql')
const views = queries.map(({ name, sql }) => ({ name: name.replaceAll(/\W+/g, '_'), sql }))

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(schema)
  const configured = views.map(({ name, sql }) => [`public.${name}`, { sql }] as const)
  await planAndApply(db.database, { views: Object.fromEntries(configured) }, { populate: true })
})
afterAll(() => db.drop())

/** Rows that a view has too many or too few. */
async function differing({ name, sql }: (typeof views)[number]): Promise<number> {
  const [row] = await db.sql<{ rows: number }>(
    `select count(*)::int as rows from (
       select row(v.*)::text as t, 1 as w from public.${name} v
       union all select row(q.*)::text, -1 from (${sql}) q) d
     group by t having sum(w) <> 0`,
  )
  return row?.rows ?? 0
}

test('the strategy of long dashboard queries is incremental without asking for it', async () => {
  const strategies = await db.sql(`select name, strategy from tidemark.view order by name`)
  expect(strategies).toEqual(
    views
      .map(({ name }) => ({ name: `public.${name}`, strategy: 'incremental' }))
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
  )
})

test(
  'they hold what their queries give after each of many writes',
  { timeout: 300_000 },
  async () => {
    const shown = new Map<string, number>()
    for (const write of writes) {
      await db.sql(write)
      for (const view of views) {
        await db.sql(`call tidemark.run('public.${view.name}', 'event', 'test')`)
        expect({ view: view.name, write, differing: await differing(view) }).toMatchObject({
          differing: 0,
        })
        const [found] = await db.sql<{ n: number }>(
          `select count(*)::int as n from public.${view.name}`,
        )
        shown.set(view.name, Math.max(shown.get(view.name) ?? 0, found?.n ?? 0))
      }
    }
    // A view that stays empty, or that nothing changes from its changes, would prove nothing.
    expect([...shown].filter(([, rows]) => rows < 5)).toEqual([])
    const runs = await db.sql<{ view: string; changing: number }>(
      `select view_name as view, count(*) filter (
         where method = 'incremental' and rows_inserted + rows_updated + rows_deleted > 0)::int as changing
       from tidemark.runs where triggered_by = 'test' group by view_name`,
    )
    expect(runs).toHaveLength(views.length)
    expect(runs.filter(({ changing }) => changing < 5)).toEqual([])
  },
)
