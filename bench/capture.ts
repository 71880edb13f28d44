/**
 * What does capture cost a writer? Single-row inserts and updates of a table that three views read, against
 * the same table without capture: 8 clients, synchronous_commit on, the two interleaved, the median of pairs.
 *
 *   npm run bench -- capture [--pairs 5] [--slices 4] [--seconds 2] [--mode marks|rows|views] [--driver pgbench] [--json]
 *
 * `marks` and `rows` are the two ways to capture, with nothing that reads what was captured. `views` has three
 * incremental views with a target of 2 s and an engine that keeps them to it, on the same machine; give it slices
 * of several seconds. They reflect every write before the other table has its turn, and are compared with their
 * queries at the end.
 *
 * A pair is so many slices of each table in turn, so that whatever else the machine does meets both alike.
 *
 * Drives with pgbench where it is installed, else with pg from this process, whose own time then weighs in.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fillConfiguration } from '../src/define/config/fill-configuration.ts'
import type { ViewConfig } from '../src/define/config/tidemark-config.ts'
import { migrate } from '../src/define/migrate.ts'
import { applyConfiguration } from '../src/engine/define.ts'
import { relationName } from '../src/model/ids.ts'
import { captureNames } from '../src/model/names.ts'
import type { Database } from '../src/postgres/connection.ts'
import { openDatabase, openSession } from '../src/postgres/connection.ts'
import { startEmbedded } from '../src/postgres/embedded.ts'
import { qualified } from '../src/postgres/identifier.ts'
import { capture } from '../test/capture/captured.ts'
import { startEngine } from './measure/start-engine.ts'

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    slices: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '2' },
    mode: { type: 'string', default: 'marks' },
    driver: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const clients = 8
const rowCount = 100_000
const seconds = Number(values.seconds)
const mode = modeOf(values.mode)
const driver =
  values.driver ?? (spawnSync('pgbench', ['--version']).status === 0 ? 'pgbench' : 'node')
const tables = ['plain', 'captured'] as const
const captured = relationName('public', 'captured')

/** Three views of a shop: sales by day, by customer, and orders by state. */
const views: Readonly<Record<string, string>> = {
  sales_by_day: `select (placed_at at time zone 'UTC')::date as day, count(*) as orders, sum(total) as total
from captured group by 1`,
  sales_by_customer: `select customer_id, count(*) as orders, sum(total) as total, max(placed_at) as last_at
from captured group by 1`,
  orders_by_status: `select status, count(*) as orders, sum(total) as total from captured group by 1`,
}

/** What they read. */
const columns = ['customer_id', 'status', 'total', 'placed_at']

const workloads = [
  {
    name: 'insert',
    sql: (table: string) =>
      `insert into ${table} (customer_id, status, total, note) values (7, 'new', 12.50, 'from the bench')`,
  },
  {
    name: 'update',
    sql: (table: string, id: string) => `update ${table} set total = total + 1 where id = ${id}`,
  },
  {
    name: 'update of a column that no view reads',
    sql: (table: string, id: string) => `update ${table} set note = 'other' where id = ${id}`,
  },
] as const

type Workload = (typeof workloads)[number]

function modeOf(text: string): 'marks' | 'rows' | 'views' {
  if (text === 'marks' || text === 'rows' || text === 'views') return text
  throw new Error(`--mode ${text}: it is marks, rows or views`)
}

async function prepareTables(database: Database): Promise<void> {
  await migrate(database)
  for (const table of tables) {
    await database.query(
      `create table public.${table} (id bigint generated always as identity primary key, customer_id int,
         status text, total numeric, placed_at timestamptz default now(), note text);
       insert into public.${table} (customer_id, status, total, note)
       select g % 1000, 'new', g, 'note' from generate_series(1, ${rowCount}) g;`,
    )
    await database.query(`vacuum analyze public.${table}`)
  }
  if (mode !== 'views') await capture(database, captured, { mode, columns })
  else await applyViews(database)
}

async function applyViews(database: Database): Promise<void> {
  const declared = Object.fromEntries(
    Object.entries(views).map(([name, sql]): [string, ViewConfig] => [
      `public.${name}`,
      { sql, target: '2s', maintain: 'incremental' },
    ]),
  )
  const surroundings = { path: null, readText: () => null }
  await applyConfiguration(database, fillConfiguration({ views: declared }, surroundings))
}

/** Resolves when the views reflect every commit. */
async function caughtUp(database: Database): Promise<void> {
  for (;;) {
    const [row] = await database.query<{ behind: number }>(
      'select count(*)::int as behind from tidemark.freshness where oldest_unreflected_at is not null',
    )
    if (row?.behind === 0) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function expectExact(database: Database): Promise<void> {
  for (const [name, sql] of Object.entries(views)) {
    const [row] = await database.query<{ rows: number }>(
      `select count(*)::int as rows from (
         (table public.${name} except all (${sql})) union all ((${sql}) except all table public.${name})) d`,
    )
    if (row?.rows !== 0) throw new Error(`${name}: ${row?.rows ?? '?'} rows differ from its query`)
  }
}

/** Both tables begin a pair alike: nothing to vacuum, a log that is empty or read, a fresh checkpoint. */
async function settle(database: Database): Promise<void> {
  if (mode === 'views') await caughtUp(database)
  else
    for (const bucket of [0, 1, 2] as const)
      await database.query(
        `begin; set local tidemark.emptying = 'on'; truncate ${qualified('tidemark', captureNames.log(captured, bucket))}; commit`,
      )
  for (const table of tables) await database.query(`vacuum public.${table}`)
  await database.query('checkpoint')
}

async function tps(
  url: string,
  folder: string,
  workload: Workload,
  table: string,
): Promise<number> {
  return driver === 'pgbench'
    ? tpsByPgbench(url, folder, workload.sql(`public.${table}`, ':id'))
    : tpsByNode(url, (id) => workload.sql(`public.${table}`, String(id)))
}

async function tpsByPgbench(url: string, folder: string, sql: string): Promise<number> {
  const script = join(folder, 'script.sql')
  await writeFile(script, `\\set id random(1, ${rowCount})\n${sql};\n`)
  const { hostname, port, username, password, pathname } = new URL(url)
  const run = spawnSync(
    'pgbench',
    ['-n', '-M', 'prepared', '-c', String(clients), '-j', '2', '-T', String(seconds)].concat([
      '-f',
      script,
      '-h',
      hostname,
      '-p',
      port,
      '-U',
      username,
      pathname.slice(1),
    ]),
    { encoding: 'utf8', env: { ...process.env, PGPASSWORD: decodeURIComponent(password) } },
  )
  const found = /tps = ([0-9.]+)/.exec(run.stdout)
  if (found === null) throw new Error(`pgbench failed: ${run.stderr}`)
  return Number(found[1])
}

async function tpsByNode(url: string, sql: (id: number) => string): Promise<number> {
  const end = performance.now() + seconds * 1000
  const counts = await Promise.all(
    Array.from({ length: clients }, async () => {
      const session = await openSession(url)
      let count = 0
      for (; performance.now() < end; count += 1)
        await session.query(sql(1 + Math.floor(Math.random() * rowCount)))
      await session.close()
      return count
    }),
  )
  return counts.reduce((total, count) => total + count, 0) / seconds
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)] ?? 0

async function measure(database: Database, url: string, folder: string, workload: Workload) {
  const slice = async (table: (typeof tables)[number]): Promise<number> => {
    const found = await tps(url, folder, workload, table)
    if (mode === 'views') await caughtUp(database)
    return found
  }
  const pairs: { plain: number; captured: number }[] = []
  for (let pair = 0; pair < Number(values.pairs); pair += 1) {
    const found = { plain: 0, captured: 0 }
    await settle(database)
    for (let nth = 0; nth < Number(values.slices); nth += 1) {
      // Whoever goes second goes first in the next slice.
      const forward = (pair + nth) % 2 === 0
      for (const table of forward ? tables : tables.toReversed())
        found[table] += (await slice(table)) / Number(values.slices)
    }
    pairs.push(found)
    process.stderr.write(
      `${workload.name}: plain ${found.plain.toFixed(0)} tps, captured ${found.captured.toFixed(0)} tps\n`,
    )
  }
  return {
    workload: workload.name,
    mode,
    clients,
    driver,
    plain_tps: Math.round(median(pairs.map(({ plain }) => plain))),
    captured_tps: Math.round(median(pairs.map((pair) => pair.captured))),
    ratio: Number(median(pairs.map((pair) => pair.captured / pair.plain)).toFixed(3)),
    ratios: pairs.map((pair) => Number((pair.captured / pair.plain).toFixed(3))),
  }
}

const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
const server = await startEmbedded({
  dataFolder: join(folder, 'data'),
  settings: { max_wal_size: '4GB', shared_buffers: '256MB', synchronous_commit: 'on' },
})
try {
  const database = openDatabase(server.url)
  await prepareTables(database)
  const engine = mode === 'views' ? await startEngine(server.url, 250) : null
  const rows = []
  for (const workload of workloads) rows.push(await measure(database, server.url, folder, workload))
  if (engine !== null) {
    const ended = once(engine, 'exit')
    engine.kill('SIGTERM')
    await ended
    await expectExact(database)
  }
  await database.close()
  if (values.json) process.stdout.write(`${JSON.stringify({ rows })}\n`)
  else
    for (const row of rows)
      process.stdout.write(
        `${row.workload}: ${row.captured_tps} of ${row.plain_tps} tps with capture, ratio ${row.ratio} (median of ${row.ratios.length} pairs)\n`,
      )
} finally {
  await server.stop()
  // As root the data is elsewhere, where the account of the server can reach it.
  await rm(server.dataFolder, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
}
