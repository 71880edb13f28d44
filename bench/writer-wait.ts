/**
 * Does a refresh make a writer wait? Single-row transactions at a steady rate on a table of 300,000 rows, with
 * nothing else to do and while an engine refreshes three views of it without end: one by diff, one by REFRESH
 * MATERIALIZED VIEW CONCURRENTLY, one incrementally. Transaction ids are used up, so that writers go on to the next
 * part of the change log every second and the cleaner, which looks ten times a second, has parts to empty.
 *
 *   npm run bench -- writer-wait [--seconds 30] [--rate 400] [--rows 300000] [--json]
 *
 * Both are measured in turns, in the same run, with capture on. Times of a write begin when it is sent and end when
 * its commit is confirmed. Waits for locks are told by the server, which logs each that is over 5 ms; the writers
 * share no rows, so they do not wait for one another.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fillConfiguration } from '../src/define/config/fill-configuration.ts'
import { applyConfiguration } from '../src/engine/define.ts'
import type { Database } from '../src/postgres/connection.ts'
import { openDatabase, openSession } from '../src/postgres/connection.ts'
import { startEmbedded } from '../src/postgres/embedded.ts'
import { startEngine } from './measure/start-engine.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    rate: { type: 'string', default: '400' },
    rows: { type: 'string', default: '300000' },
    json: { type: 'boolean', default: false },
  },
})

const rowCount = Number(values.rows)
const writers = 8
const turns = 4
const turnMs = (Number(values.seconds) * 1000) / turns
const cleanEveryMs = 100
const cleansBetweenParts = 10
/** Transactions that share a part of the change log. */
const partXids = 16_384
const customers = 2000

const config = {
  views: {
    by_region: {
      sql: 'select region, count(*) as n, sum(amount) as total from orders group by region',
      key: ['region'],
      maintain: 'full',
    },
    by_customer: {
      sql: 'select customer_id, count(*) as n, sum(amount) as total from orders group by customer_id',
      as: 'matview',
      indexes: ['unique (customer_id)'],
    },
    by_day: {
      sql: 'select placed_on, count(*) as n, sum(amount) as total from orders group by placed_on',
      maintain: 'incremental',
    },
  },
  defaults: { policy: 'eager', target: '1s' },
} as const

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function prepare(database: Database): Promise<void> {
  const statements = [
    `create table orders (id bigint primary key, customer_id int not null, region text not null,
       placed_on date not null, amount numeric(12, 2) not null)`,
    `insert into orders select g, 1 + g % ${customers}, 'region ' || g % 20, date '2026-01-01' + (g % 300)::int, g % 1000
     from generate_series(1::bigint, ${rowCount}) g`,
  ]
  for (const statement of statements) await database.query(statement)
  await applyConfiguration(
    database,
    fillConfiguration(config, { path: null, readText: () => null }),
  )
  await database.query('vacuum analyze')
  await database.query('checkpoint')
}

let lastId = rowCount

/** Five inserts, four updates of a column that every view reads, one delete; of rows that are this writer's. */
function nextWrite(nth: number, n: number): readonly [sql: string, id: number] {
  const own = 1 + nth + writers * Math.floor(Math.random() * (rowCount / writers - 1))
  if (n % 10 < 5) {
    lastId += 1
    const day = `date '2026-01-01' + ($1::bigint % 300)::int`
    return [
      `insert into orders values ($1, 1 + $1::bigint % ${customers}, 'region ' || $1::bigint % 20, ${day}, 5)`,
      lastId,
    ]
  }
  if (n % 10 < 9) return ['update orders set amount = amount + 1 where id = $1', own]
  return ['delete from orders where id = $1', own]
}

/** Writes every so many milliseconds until told to stop, and keeps how long each write took. */
async function write(url: string, nth: number, took: number[], pids: Set<number>): Promise<void> {
  const session = await openSession(url)
  pids.add(session.pid)
  const everyMs = (writers * 1000) / Number(values.rate)
  const until = performance.now() + turnMs
  let next = performance.now() + (nth * 1000) / Number(values.rate)
  for (let n = 0; next < until; n += 1) {
    await pause(Math.max(0, next - performance.now()))
    const [sql, id] = nextWrite(nth, n)
    const begun = performance.now()
    await session.query(sql, [id])
    took.push(performance.now() - begun)
    next += everyMs
  }
  await session.close()
}

const useUpXids = `do $$ begin for i in 1 .. ${partXids} loop perform pg_current_xact_id(); commit; end loop; end $$`

/** Empties what every view reflects; how many parts of the log that were. */
async function clean(url: string, signal: AbortSignal): Promise<number> {
  const session = await openSession(url)
  let emptied = 0
  for (let n = 1; ; n += 1) {
    if (signal.aborted) break
    if (n % cleansBetweenParts === 0) await session.query(useUpXids)
    const [row] = await session.query<{ cleaned: number }>('call tidemark.clean(0)')
    emptied += row?.cleaned ?? 0
    await pause(cleanEveryMs)
  }
  await session.close()
  return emptied
}

/** What was measured with nothing else to do, or while views were refreshed. */
interface Measured {
  readonly took: number[]
  readonly pids: Set<number>
  emptied: number
}

const nothingYet = (): Measured => ({ took: [], pids: new Set(), emptied: 0 })

const writeAll = (url: string, measured: Measured): Promise<unknown> =>
  Promise.all(
    Array.from({ length: writers }, (_, nth) => write(url, nth, measured.took, measured.pids)),
  )

async function writeBesideRefreshes(url: string, measured: Measured): Promise<void> {
  const engine = await startEngine(url, 20)
  const stopping = new AbortController()
  const cleaning = clean(url, stopping.signal)
  await writeAll(url, measured)
  stopping.abort()
  measured.emptied += await cleaning
  engine.kill('SIGTERM')
  await once(engine, 'exit')
}

const quantile = (numbers: readonly number[], q: number): number => {
  const sorted = [...numbers].sort((one, other) => one - other)
  return Number(
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0).toFixed(2),
  )
}

interface LockWait {
  readonly pid: number
  readonly ms: number
}

/** From a line of the server's log: a lock was had, or no longer waited for, after so long. */
function lockWaitIn(line: string): LockWait | null {
  const found = /process (\d+) (?:acquired|failed to acquire) .* after ([\d.]+) ms/.exec(line)
  return found === null ? null : { pid: Number(found[1]), ms: Number(found[2]) }
}

function rowOf(name: string, { took, pids, emptied }: Measured, waits: readonly LockWait[]) {
  const own = waits.filter(({ pid }) => pids.has(pid)).map(({ ms }) => ms)
  return {
    refreshes: name,
    writes: took.length,
    latency_ms: { p50: quantile(took, 0.5), p99: quantile(took, 0.99), max: quantile(took, 1) },
    lock_waits_over_5ms: own.length,
    lock_wait_ms_max: own.length === 0 ? null : Math.max(...own),
    log_parts_emptied: emptied,
  }
}

const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
const waits: LockWait[] = []
const server = await startEmbedded({
  dataFolder: join(folder, 'data'),
  settings: {
    shared_buffers: '512MB',
    max_wal_size: '4GB',
    synchronous_commit: 'on',
    log_lock_waits: 'on',
    deadlock_timeout: '5ms',
  },
  onLog: (line) => {
    const wait = lockWaitIn(line)
    if (wait !== null) waits.push(wait)
  },
})
try {
  const database = openDatabase(server.url)
  await prepare(database)
  const [alone, beside] = [nothingYet(), nothingYet()]
  await writeAll(server.url, nothingYet())
  const [before] = await database.query<{ run: number }>(
    'select coalesce(max(run_id), 0) as run from tidemark.run',
  )
  for (let turn = 0; turn < turns; turn += 1) {
    if (turn % 2 === 0) await writeAll(server.url, alone)
    else await writeBesideRefreshes(server.url, beside)
  }
  const refreshed = await database.query<{ view: string; method: string; n: number; ms: number }>(
    `select view, method, count(*)::int as n, round(avg(duration_ms))::int as ms from tidemark.run
     where status = 'completed' and run_id > $1 group by 1, 2 order by 1, 2`,
    [before?.run],
  )
  await database.close()
  const rows = [rowOf('none', alone, waits), rowOf('without end', beside, waits)]
  if (values.json) process.stdout.write(`${JSON.stringify({ rows, refreshed })}\n`)
  else {
    for (const { refreshes, writes, latency_ms, ...locks } of rows)
      process.stdout.write(
        `refreshes: ${refreshes}: ${writes} writes, p50 ${latency_ms.p50} ms, p99 ${latency_ms.p99} ms, max ${latency_ms.max} ms; ` +
          `${locks.lock_waits_over_5ms} waits for a lock over 5 ms, the longest ${locks.lock_wait_ms_max ?? 'under 5'} ms; ` +
          `${locks.log_parts_emptied} parts of the log emptied\n`,
      )
    for (const { view, method, n, ms } of refreshed)
      process.stdout.write(`${view}: ${n} refreshes by ${method}, ${ms} ms each\n`)
  }
} finally {
  await server.stop()
  // As root the data is elsewhere, where the account of the server can reach it.
  await rm(server.dataFolder, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
}
