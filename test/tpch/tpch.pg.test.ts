import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DataSet } from '../../bench/tpch/generate.ts'
import { loadTpch } from '../../bench/tpch/generate.ts'
import { tpchQueries } from '../../bench/tpch/queries.ts'
import { changeOrders, nothingAdded, randomBatch } from '../../bench/tpch/refresh-batches.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { long, seed, seeded } from '../support/random.ts'
import { casesOf } from '../support/shares.ts'

const data: DataSet = { scale: 0.01, seed }
const queries = tpchQueries(data.scale)
const batches = long ? 200 : casesOf(10)

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
  await loadTpch(db.database, data)
  await planAndApply(
    db.database,
    {
      views: Object.fromEntries(
        queries.map(({ name, sql }) => [
          `public.${name}`,
          { sql, maintain: 'incremental' as const },
        ]),
      ),
    },
    { populate: true },
  )
})
afterAll(() => db.drop())

/** Refreshes every view as the engine would, and returns those that differ from their query. */
async function refreshAll(): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const { name, sql } of queries) {
    await db.sql(`call tidemark.run('public.${name}', 'event', 'test')`)
    const [row] = await db.sql<{ rows: number }>(
      `select count(*)::int as rows from (
         ((table public.${name}) except all (${sql})) union all ((${sql}) except all (table public.${name}))) d`,
    )
    if (row?.rows !== 0) wrong.push(`${name}: ${row?.rows ?? '?'} rows differ`)
  }
  return wrong
}

test('every query of TPC-H returns rows', async () => {
  for (const { name } of queries) {
    const [row] = await db.sql<{ filled: boolean }>(
      `select exists (select from public.${name} v where v is not null) as filled`,
    )
    expect(row, name).toEqual({ filled: true })
  }
})

test(
  'every query of TPC-H equals its view after each of many random refresh batches',
  { timeout: 3_600_000 },
  async () => {
    const random = seeded(seed)
    const changing = { data, added: nothingAdded(), random }
    for (let batch = 1; batch <= batches; batch += 1) {
      const transactions = batch % 20 === 0 ? [changeOrders(changing, 150)] : randomBatch(changing)
      for (const statements of transactions) {
        await db.database.transaction(async ({ query }) => {
          for (const statement of statements) await query(statement)
        })
      }
      expect(await refreshAll(), `batch ${batch} of seed ${seed}`).toEqual([])
    }
    const runs = await db.sql<{ view: string; full: number; changing: number; filled: number }>(
      `select view_name as view, count(*) filter (where status = 'completed' and method <> 'incremental')::int as full,
         count(*) filter (where rows_inserted + rows_updated + rows_deleted > 0)::int as changing,
         count(*) filter (where rows_total > 0)::int as filled
       from tidemark.runs where triggered_by = 'test' group by view_name order by view_name`,
    )
    expect(runs.filter(({ full }) => full > 0)).toEqual([])
    expect(runs).toHaveLength(queries.length)
    // A view that nothing changes, or that is empty, would prove nothing.
    const idle = runs.filter((run) => run.changing <= batches / 20 || run.filled <= batches / 2)
    if (long) expect(idle).toEqual([])
  },
)
