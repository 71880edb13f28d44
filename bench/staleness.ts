/**
 * How true is reported staleness? An observer that knows every commit compares what Tidemark says
 * with the truth while writers write and one transaction stays open.
 *
 *   npm run bench -- staleness [--seconds 60] [--rate 200] [--open 30] [--json]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { migrate } from '../src/define/migrate.ts'
import { openDatabase } from '../src/postgres/connection.ts'
import { startEmbedded } from '../src/postgres/embedded.ts'
import { installObserved } from '../test/support/hand-made.ts'
import { observeStaleness } from '../test/support/staleness-observer.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rate: { type: 'string', default: '200' },
    open: { type: 'string', default: '30' },
    json: { type: 'boolean', default: false },
  },
})

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0

const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
const server = await startEmbedded({ dataFolder: join(folder, 'data') })
try {
  const database = openDatabase(server.url)
  await migrate(database)
  await installObserved(database.query, 2000)
  await database.close()
  const observed = await observeStaleness({
    databaseUrl: server.url,
    durationMs: Number(values.seconds) * 1000,
    writesPerSecond: Number(values.rate),
    pollMs: 250,
    openForMs: Number(values.open) * 1000,
  })
  const overs = observed.comparisons
    .map((c) => Math.max(0, c.reportedMs - c.truthMaxMs))
    .sort((a, b) => a - b)
  const row = {
    seconds: Number(values.seconds),
    writes: observed.writes,
    looks: observed.comparisons.length,
    looks_while_stale: observed.stale,
    understated: observed.understated,
    overstated_ms: {
      p50: quantile(overs, 0.5),
      p99: quantile(overs, 0.99),
      max: observed.overstatedMsMax,
    },
    transaction_open_s: Number(values.open),
  }
  if (!values.json) {
    process.stdout.write(
      `${String(row.writes)} writes, ${String(row.looks)} looks (${String(row.looks_while_stale)} while something was not reflected)\n` +
        `understated: ${String(row.understated)}\n` +
        `overstated by: p50 ${String(row.overstated_ms.p50)} ms, p99 ${String(row.overstated_ms.p99)} ms, max ${String(row.overstated_ms.max)} ms\n`,
    )
  } else process.stdout.write(`${JSON.stringify({ rows: [row] })}\n`)
} finally {
  await server.stop()
  // As root the data is elsewhere, where the account of the server can reach it.
  await rm(server.dataFolder, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
}
