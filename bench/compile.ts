/**
 * How long does it take to compile a view? The 22 queries of TPC-H, seven long dashboard queries and the examples of the
 * manual's table of constructs that are kept up from what changes, each bound, cut into stages and written as a program,
 * once cold and then again and again. Processor time of this process, without what
 * the server takes to parse a query and to tell the types of expressions.
 *
 *   npm run bench -- compile [--repeats 10] [--json]
 */
import { parseArgs } from 'node:util'
import { readSourceShape } from '../src/capture/shape.ts'
import { draftIncremental, finishIncremental } from '../src/compile/incremental.ts'
import { canonicalise } from '../src/define/canonicalise.ts'
import { probeTypes } from '../src/define/probe-types.ts'
import type { SourceShape } from '../src/model/capture.ts'
import type { RelationName } from '../src/model/ids.ts'
import { relationName } from '../src/model/ids.ts'
import type { Database, Queryable } from '../src/postgres/connection.ts'
import { featureSchema, features } from '../test/incremental/features.ts'
import { readSqlCases } from '../test/incremental/sql-cases.ts'
import { onBenchServer } from './measure/bench-server.ts'
import { tpchQueries } from './tpch/queries.ts'
import { tables } from './tpch/schema.ts'

const { values } = parseArgs({
  options: {
    repeats: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
})

const repeats = Number(values.repeats)

interface Row {
  readonly view: string
  readonly first_ms: number
  readonly median_ms: number
}

interface Query {
  readonly name: string
  readonly sql: string
}

/** Milliseconds of processor time that some work takes. */
async function timeOf<Result>(
  work: () => Result | Promise<Result>,
): Promise<readonly [Result, number]> {
  const before = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(before)
  return [result, (user + system) / 1000]
}

async function shapesOf(
  transaction: Queryable,
  sources: readonly RelationName[],
): Promise<ReadonlyMap<RelationName, SourceShape>> {
  const shapes = new Map<RelationName, SourceShape>()
  for (const source of sources) shapes.set(source, await readSourceShape(transaction, source))
  return shapes
}

/** Compiles a query once; milliseconds. Null where it is computed in full. */
function compileOnce(database: Database, { name, sql }: Query): Promise<number | null> {
  return database.transaction(async (transaction) => {
    const view = relationName('public', name)
    const query = await canonicalise(transaction, { name: view, sql }, [])
    const shapes = await shapesOf(
      transaction,
      query.sources.map(({ relation }) => relation),
    )
    const wish = { view, query, shapes, timeZone: 'UTC', uniqueIndexes: false, key: null }
    const [draft, drafting] = await timeOf(() => draftIncremental(wish))
    if (!('stages' in draft)) return null
    const types = await probeTypes(
      transaction,
      draft.probes.map(({ sql: probe }) => probe),
    )
    const [, finishing] = await timeOf(() => finishIncremental(draft, types))
    return drafting + finishing
  })
}

async function measure(database: Database, query: Query): Promise<Row | null> {
  const first = await compileOnce(database, query)
  if (first === null) return null
  const again: number[] = []
  for (let repeat = 0; repeat < repeats; repeat += 1)
    again.push((await compileOnce(database, query)) ?? 0)
  const median = again.sort((one, other) => one - other)[Math.floor(repeats / 2)] ?? first
  return { view: query.name, first_ms: rounded(first), median_ms: rounded(median) }
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10

await onBenchServer(async (database) => {
  const dashboards = await readSqlCases('dashboards.sql')
  const named = dashboards.queries.map(({ name, sql }) => ({
    name: name.replaceAll(/\W+/g, '_'),
    sql,
  }))
  const constructs = Object.values(features)
    .flat()
    .map(([construct, sql]) => ({ name: construct.replaceAll(/\W+/g, '_').toLowerCase(), sql }))
  const rows: Row[] = []
  for (const { schema, queries } of [
    { schema: tables, queries: tpchQueries(1) },
    { schema: dashboards.schema, queries: named },
    { schema: featureSchema, queries: constructs },
  ]) {
    await database.query('drop schema public cascade; create schema public')
    await database.query(schema)
    for (const query of queries) {
      const row = await measure(database, query)
      if (row !== null) rows.push(row)
    }
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`)
    return
  }
  const slowest = Math.max(...rows.map(({ median_ms }) => median_ms))
  process.stdout.write(`${String(rows.length)} views, the slowest takes ${String(slowest)} ms\n`)
  for (const { view, first_ms, median_ms } of rows)
    process.stdout.write(`${view.padEnd(34)} first ${first_ms} ms, then ${median_ms} ms\n`)
})
