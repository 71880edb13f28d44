import { expect } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'

/** Queries by the names of views over them, in schema `public`. */
export type Queries = Readonly<Record<string, string>>

/** Views that are maintained from what changes, each refresh compared with its query. */
const incrementalViews = (queries: Queries): TidemarkConfig['views'] =>
  Object.fromEntries(
    Object.entries(queries).map(([name, sql]) => [
      `public.${name}`,
      { sql, maintain: 'incremental', target: '1m', verify: 'full' },
    ]),
  )

/** Makes such views and fills them. */
export async function installIncremental(
  { database }: TestDatabase,
  queries: Queries,
  more: Omit<TidemarkConfig, 'views'> = {},
): Promise<void> {
  const wanted = configured({ ...more, views: incrementalViews(queries) })
  const done = await applyConfiguration(database, wanted)
  expect(done.filter(({ outcome }) => outcome !== 'completed')).toEqual([])
}

/** After each write each view is refreshed from what changed, and holds as a bag what its query gives. */
export async function expectKeptUp(
  { sql }: TestDatabase,
  queries: Queries,
  writes: readonly string[],
): Promise<void> {
  for (const write of writes) {
    await sql(write)
    for (const [name, query] of Object.entries(queries)) {
      await sql(`call tidemark.run('public.${name}')`)
      const [run] = await sql(
        `select method, differing,
           (select count(*)::int from ((select x::text from (${query}) x except all select x::text from public.${name} x)
              union all (select x::text from public.${name} x except all select x::text from (${query}) x)) d) as seen
         from tidemark.run where view = 'public.${name}' order by run_id desc limit 1`,
      )
      expect({ write, name, ...run }).toEqual({
        write,
        name,
        method: 'incremental',
        differing: 0,
        seen: 0,
      })
    }
  }
}
