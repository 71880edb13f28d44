/**
 * How long after its commit does a write show in the maintained view, under policy `eager`? Writers insert
 * readings at a steady rate, an observer on a connection of its own looks at the view without end, the
 * engine is a process of its own.
 *
 *   npm run bench -- latency [--rate 500] [--seconds 30] [--rows 1000000] [--poll 10] [--json]
 *
 * The view groups a join and has the latest reading of each device. A device is written by one writer only,
 * in order, so that a reading shows when and only when the latest of its device is not older. Times begin when
 * the writer has its commit confirmed, and end when the observer has the answer in which it first shows.
 */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { fillConfiguration } from '../src/define/config/fill-configuration.ts'
import { applyConfiguration } from '../src/engine/define.ts'
import type { Database, Queryable } from '../src/postgres/connection.ts'
import { openSession } from '../src/postgres/connection.ts'
import { onBenchServer } from './measure/bench-server.ts'
import type { Compared, Row } from './measure/compare.ts'
import {
  expectEqual,
  makeTwins,
  median,
  refreshConcurrently,
  refreshPlain,
  timed,
} from './measure/compare.ts'
import { processorSeconds, serverSeconds } from './measure/processor-time.ts'
import { startEngine } from './measure/start-engine.ts'

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '30' },
    rows: { type: 'string', default: '1000000' },
    poll: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
})

const rate = Number(values.rate)
const rowCount = Number(values.rows)
const writers = 4
const devices = 1000
const warmUpMs = 5_000
const shownWithinMs = 30_000

const view: Compared = {
  name: 'by_device',
  key: ['device_id'],
  sql: `select d.id as device_id, d.site, count(*) as readings, sum(r.amount) as total, max(r.id) as last_id
from readings r
join devices d on d.id = r.device_id
group by d.id, d.site`,
}

interface Write {
  readonly id: number
  readonly device: number
  readonly sentAt: number
  confirmedAt: number | null
}

/** What was written and does not show yet, and how long it took what does. */
interface Observed {
  readonly hidden: Map<number, Write>
  readonly fromConfirmed: number[]
  readonly fromSent: number[]
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function prepare(database: Database): Promise<void> {
  const statements = [
    'create table devices (id int primary key, site text not null)',
    `create table readings (id bigint primary key, device_id int not null references devices, amount numeric(12, 2) not null)`,
    `insert into devices select g, 'site ' || g % 40 from generate_series(1, ${devices}) g`,
    `insert into readings select g, 1 + g % ${devices}, g % 1000 from generate_series(1, ${rowCount}) g`,
    'create index on readings (device_id, id)',
    'create table floor (id int)',
  ]
  for (const statement of statements) await database.query(statement)
  await makeTwins(database, [view])
  const configuration = fillConfiguration(
    {
      views: {
        [`public.${view.name}`]: {
          sql: view.sql,
          policy: 'eager',
          target: '1s',
          maintain: 'incremental',
        },
      },
    },
    { path: null, readText: () => null },
  )
  await applyConfiguration(database, configuration)
  await database.query('vacuum analyze')
}

/** The time of a commit with nothing behind it but the disk. */
async function commitFloor(url: string): Promise<number> {
  const session = await openSession(url)
  const times: number[] = []
  for (let n = 0; n < 300; n += 1)
    times.push(await timed(() => session.query(`insert into floor values (${n})`)))
  await session.close()
  return median(times)
}

/** Writes every `writers`-th reading, each when its time has come; a late one does not delay the rest. */
async function write(url: string, nth: number, observed: Observed, until: number): Promise<void> {
  const session = await openSession(url)
  const everyMs = (writers * 1000) / rate
  let next = performance.now() + (nth * 1000) / rate
  for (let n = 0; next < until; n += 1) {
    await pause(Math.max(0, next - performance.now()))
    const id = rowCount + 1 + nth + n * writers
    const device = 1 + nth + ((n * writers) % devices)
    const written: Write = { id, device, sentAt: performance.now(), confirmedAt: null }
    observed.hidden.set(id, written)
    await session.query(`insert into readings values ($1, $2, $3)`, [id, device, n % 1000])
    written.confirmedAt = performance.now()
    next += everyMs
  }
  await session.close()
}

async function observe(url: string, observed: Observed, counts: Counts): Promise<void> {
  const session = await openSession(url)
  for (;;) {
    const asked = [...observed.hidden.values()]
    if (asked.length === 0 && counts.ended) break
    if (asked.length > 0) await look(session, asked, observed, counts)
    await pause(1)
  }
  await session.close()
}

async function look(
  session: Queryable,
  asked: readonly Write[],
  observed: Observed,
  counts: Counts,
): Promise<void> {
  const rows = await session.query<{ device_id: number; last_id: number }>(
    `select device_id, last_id from public.${view.name} where device_id = any($1)`,
    [[...new Set(asked.map(({ device }) => device))]],
  )
  const now = performance.now()
  const last = new Map(rows.map((row) => [row.device_id, row.last_id]))
  for (const one of asked) {
    if ((last.get(one.device) ?? 0) >= one.id) tellShown(observed, counts, one, now)
    else if (now - one.sentAt > shownWithinMs)
      throw new Error(`reading ${one.id} does not show after ${shownWithinMs} ms`)
  }
}

interface Counts {
  /** Writes that began before this are not counted. */
  readonly countFrom: number
  ended: boolean
}

function tellShown(observed: Observed, counts: Counts, one: Write, now: number): void {
  observed.hidden.delete(one.id)
  if (one.sentAt < counts.countFrom) return
  // It may show before its writer has heard.
  observed.fromConfirmed.push(Math.max(0, now - (one.confirmedAt ?? now)))
  observed.fromSent.push(now - one.sentAt)
}

const quantile = (numbers: readonly number[], q: number): number => {
  const sorted = [...numbers].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
}

/** Two readings of the clocks of engine and server. */
function shares(engine: number, postmaster: number): () => { engine: number; server: number } {
  const read = (): readonly [number, number, number] => [
    performance.now() / 1000,
    processorSeconds(engine) ?? Number.NaN,
    serverSeconds(postmaster) ?? Number.NaN,
  ]
  const [since, engineThen, serverThen] = read()
  return () => {
    const [now, engineNow, serverNow] = read()
    const share = (seconds: number): number => Number((seconds / (now - since)).toFixed(3))
    return { engine: share(engineNow - engineThen), server: share(serverNow - serverThen) }
  }
}

async function fullRefreshes(database: Database): Promise<readonly [number, number]> {
  const concurrently: number[] = []
  const plain: number[] = []
  for (let n = 0; n < 3; n += 1) {
    concurrently.push(await refreshConcurrently(database, view))
    plain.push(await refreshPlain(database, view))
  }
  return [median(concurrently), median(plain)]
}

await onBenchServer(async (database, url, postmaster) => {
  await prepare(database)
  const floor = await commitFloor(url)
  const engine = await startEngine(url, Number(values.poll))
  const observed: Observed = { hidden: new Map(), fromConfirmed: [], fromSent: [] }
  const begun = performance.now()
  const until = begun + warmUpMs + Number(values.seconds) * 1000
  const counts: Counts = { countFrom: begun + warmUpMs, ended: false }
  const observing = observe(url, observed, counts)
  const writing = Array.from({ length: writers }, (_, nth) => write(url, nth, observed, until))
  await Promise.race([pause(warmUpMs), observing])
  const sharesSince = shares(engine.pid ?? 0, postmaster)
  await Promise.race([Promise.all(writing), observing])
  const used = sharesSince()
  counts.ended = true
  await observing
  const ended = once(engine, 'exit')
  engine.kill('SIGTERM')
  await ended
  const [concurrently, plain] = await fullRefreshes(database)
  await expectEqual(database, view)
  const p50 = quantile(observed.fromConfirmed, 0.5)
  const row: Row = {
    view: view.name,
    changed: 1,
    median_ms: Number(p50.toFixed(2)),
    concurrently_ms: Number(concurrently.toFixed(1)),
    plain_ms: Number(plain.toFixed(1)),
    ratio: Number((concurrently / p50).toFixed(2)),
  }
  const ms = (times: readonly number[], share: number): string => quantile(times, share).toFixed(2)
  const { fromConfirmed, fromSent } = observed
  process.stdout.write(
    `${Math.round(fromSent.length / Number(values.seconds))} writes a second on ${rowCount} rows, ${fromSent.length} of them measured\n` +
      `commit -> visible: p50 ${row.median_ms} ms, p99 ${ms(fromConfirmed, 0.99)} ms, longest ${ms(fromConfirmed, 1)} ms\n` +
      `from the writer's send: p50 ${ms(fromSent, 0.5)} ms, p99 ${ms(fromSent, 0.99)} ms; a bare commit takes ${floor.toFixed(2)} ms\n` +
      `engine process: ${used.engine} of a core; server, writers and observer included: ${used.server}\n` +
      `a full refresh: plain ${row.plain_ms} ms, concurrently ${row.concurrently_ms} ms\n`,
  )
  if (values.json) process.stdout.write(`${JSON.stringify({ rows: [row] })}\n`)
})
