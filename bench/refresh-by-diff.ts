/**
 * What does a full refresh cost that writes only what differs? Each view is refreshed by diff and, in the same
 * run, as a materialized view CONCURRENTLY and plainly; afterwards both are compared.
 *
 *   npm run bench -- refresh-by-diff [--rows 1000000] [--repeats 3] [--json]
 *
 * One row of a hundred is changed before each refresh: a new amount, spread over the table at random. By diff is
 * the maintenance function in a transaction of its own, as a refresh calls it.
 */
import { parseArgs } from 'node:util'
import { fillConfiguration } from '../src/define/config/fill-configuration.ts'
import { applyConfiguration } from '../src/engine/define.ts'
import type { Database } from '../src/postgres/connection.ts'
import { onBenchServer } from './measure/bench-server.ts'
import type { Compared } from './measure/compare.ts'
import {
  expectEqual,
  makeTwins,
  median,
  refreshConcurrently,
  refreshPlain,
  timed,
} from './measure/compare.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    repeats: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})

const rowCount = Number(values.rows)
const repeats = Number(values.repeats)

interface Measured extends Compared {
  readonly what: string
}

const views: readonly Measured[] = [
  {
    what: 'rows of a table, key of one bigint',
    name: 'rows_by_key',
    key: ['id'],
    sql: 'select id, customer_id, day, note, amount from orders',
  },
  {
    what: 'sums by two columns',
    name: 'sums',
    key: ['customer_id', 'day'],
    sql: `select customer_id, day, count(*) as n, sum(amount) as total from orders group by customer_id, day`,
  },
  {
    what: 'running sum (window)',
    name: 'running_sum',
    key: ['id'],
    sql: 'select id, amount, sum(amount) over (order by id) as total from orders',
  },
  {
    what: 'rows of a table, no key',
    name: 'rows_without_key',
    key: null,
    sql: 'select customer_id, day, note, amount from orders',
  },
]

async function prepare(database: Database): Promise<void> {
  const statements = [
    `create table orders (id bigint primary key, customer_id int not null, day date not null, note text not null,
       amount numeric(12, 2) not null)`,
    `insert into orders select g, mod(hashint8(g)::bigint + 2147483648, 100000), date '2026-01-01' + mod(hashint8(-g)::bigint + 2147483648, 20)::int,
       'note ' || g % 1000, g % 1000 from generate_series(1::bigint, ${rowCount}) g`,
  ]
  for (const statement of statements) await database.query(statement)
  await makeTwins(database, views)
  const declared = views.map(({ name, sql, key }): [string, object] => [
    `public.${name}`,
    { sql, maintain: 'full', ...(key === null ? {} : { key }) },
  ])
  await applyConfiguration(
    database,
    fillConfiguration(
      { views: Object.fromEntries(declared) },
      { path: null, readText: () => null },
    ),
  )
  await database.query('vacuum analyze')
}

let salt = 0

/** Gives one row of a hundred another amount. */
async function changeSome(database: Database): Promise<void> {
  salt += 1
  await database.query(
    `update orders set amount = amount + 1 where mod(hashint8extended(id, ${salt}), 100) = 0`,
  )
}

interface Counts {
  readonly rows_total: number
  readonly rows_inserted: number
  readonly rows_updated: number
  readonly rows_deleted: number
}

async function refreshByDiff(database: Database, { name }: Compared): Promise<Counts> {
  const [counts] = await database.transaction(
    (transaction) =>
      transaction.query<Counts>(
        `select * from tidemark_state."maintain public.${name}"(false, null)`,
      ),
    { isolation: 'repeatable read' },
  )
  if (counts === undefined) throw new Error('no counts')
  return counts
}

async function measure(database: Database, view: Measured, changes: boolean) {
  const times = { diff: [] as number[], concurrently: [] as number[], plain: [] as number[] }
  let counts: Counts | null = null
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    if (changes) await changeSome(database)
    times.diff.push(
      await timed(async () => {
        counts = await refreshByDiff(database, view)
      }),
    )
    if (view.key !== null) times.concurrently.push(await refreshConcurrently(database, view))
    times.plain.push(await refreshPlain(database, view))
    await expectEqual(database, view)
    await database.query(`vacuum tidemark_state."public.${view.name}"`)
  }
  const last = counts as Counts | null
  return {
    view: view.what,
    rows: last?.rows_total ?? 0,
    rows_written:
      (last?.rows_inserted ?? 0) + (last?.rows_updated ?? 0) + (last?.rows_deleted ?? 0),
    diff_ms: Math.round(median(times.diff)),
    concurrently_ms: view.key === null ? null : Math.round(median(times.concurrently)),
    plain_ms: Math.round(median(times.plain)),
  }
}

await onBenchServer(async (database) => {
  await prepare(database)
  const rows = []
  for (const view of views) {
    rows.push(await measure(database, view, true))
    if (view.name === 'running_sum') rows.push(await measure(database, view, false))
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`)
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`)
    return
  }
  process.stdout.write(
    'view                                       rows   written   by diff  concurrently     plain\n',
  )
  for (const row of rows)
    process.stdout.write(
      `${row.view.padEnd(36)} ${String(row.rows).padStart(10)} ${String(row.rows_written).padStart(9)} ` +
        `${String(row.diff_ms).padStart(7)} ms ${(row.concurrently_ms === null ? '–' : `${row.concurrently_ms} ms`).padStart(13)} ` +
        `${String(row.plain_ms).padStart(6)} ms\n`,
    )
})
