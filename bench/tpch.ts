/**
 * The 22 queries of TPC-H as maintained views: how long does a refresh take after a change of 0.1 % of the
 * orders, against a full REFRESH MATERIALIZED VIEW of the same query in the same run?
 *
 *   npm run bench -- tpch [--scale 1] [--changed 0.001] [--rounds 3] [--queries q01,q05] [--every-table] [--json]
 *
 * In each round a third of the changed orders is new, a third is deleted with its lines, and a third gets
 * another price, priority and first line. Every view is then refreshed, and compared with its twin.
 * Queries 2, 11 and 16 do not read orders; with --every-table the same share of the rows of part, partsupp,
 * supplier and customer is updated as well.
 */
import { parseArgs } from 'node:util'
import { fillConfiguration } from '../src/define/config/fill-configuration.ts'
import { applyConfiguration } from '../src/engine/define.ts'
import type { Database } from '../src/postgres/connection.ts'
import { seeded } from '../test/support/random.ts'
import { onBenchServer } from './measure/bench-server.ts'
import type { Compared, Row } from './measure/compare.ts'
import {
  expectEqual,
  geometricMean,
  headLine,
  lineOf,
  makeTwins,
  noTimes,
  refreshIncrementally,
  refreshPlain,
  rowOf,
  methodsOf,
} from './measure/compare.ts'
import { loadTpch, sizesOf } from './tpch/generate.ts'
import { tpchQueries } from './tpch/queries.ts'
import type { Changing } from './tpch/refresh-batches.ts'
import { changeOrders, changeOtherTables, nothingAdded } from './tpch/refresh-batches.ts'

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '1' },
    changed: { type: 'string', default: '0.001' },
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    queries: { type: 'string' },
    'every-table': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

const data = { scale: Number(values.scale), seed: Number(values.seed) }
const changed = Math.max(1, Math.round(sizesOf(data).orders * Number(values.changed)))
const wanted = values.queries?.split(',')
const views: readonly Compared[] = tpchQueries(data.scale)
  .filter(({ name }) => wanted === undefined || wanted.includes(name))
  .map((query) => ({ ...query, key: null }))

const tell = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

async function prepare(database: Database): Promise<void> {
  const begun = performance.now()
  const seconds = (): string => `${((performance.now() - begun) / 1000).toFixed(0)} s`
  await loadTpch(database, data)
  tell(`loaded scale ${data.scale} in ${seconds()}`)
  await makeTwins(database, views)
  tell(`made the twins after ${seconds()}`)
  const configuration = fillConfiguration(
    {
      views: Object.fromEntries(
        views.map(({ name, sql }) => [`public.${name}`, { sql, maintain: 'incremental' as const }]),
      ),
    },
    { path: null, readText: () => null },
  )
  const populated = await applyConfiguration(database, configuration)
  for (const { group, outcome } of populated)
    if (outcome !== 'completed') throw new Error(`${group}: ${outcome}`)
  await database.query('vacuum analyze')
  tell(`applied after ${seconds()}`)
}

async function change(database: Database, changing: Changing): Promise<void> {
  const others = values['every-table'] ? changeOtherTables(changing, Number(values.changed)) : []
  await database.transaction(async ({ query }) => {
    for (const statement of [...changeOrders(changing, changed), ...others]) await query(statement)
  })
}

async function measure(database: Database): Promise<readonly Row[]> {
  const changing = { data, added: nothingAdded(), random: seeded(data.seed) }
  const times = new Map(views.map(({ name }) => [name, noTimes()]))
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    await change(database, changing)
    for (const view of views) {
      const of = times.get(view.name) ?? noTimes()
      of.incremental.push(await refreshIncrementally(database, view))
      of.plain.push(await refreshPlain(database, view))
      await expectEqual(database, view)
      tell(`round ${round} ${lineOf(rowOf(view.name, changed, of))}`)
    }
    await database.query('call tidemark.clean()')
  }
  return views.map(({ name }) => rowOf(name, changed, times.get(name) ?? noTimes()))
}

await onBenchServer(async (database) => {
  await prepare(database)
  const rows = await measure(database)
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`)
    return
  }
  const faster = rows.filter(({ ratio }) => ratio > 1).length
  const mean = geometricMean(rows.map(({ ratio }) => ratio))
  process.stdout.write(`${headLine}\n`)
  for (const row of rows)
    process.stdout.write(`${lineOf(row)}   ${await methodsOf(database, row.view)}\n`)
  process.stdout.write(
    `${faster} of ${rows.length} faster than a full refresh, geometric mean ${mean.toFixed(1)} x; all exact after each round\n`,
  )
})
