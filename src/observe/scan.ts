import type { Database } from '../postgres/connection.ts'
import { serverVersion } from '../postgres/connection.ts'
import { Actors } from './scan-actors.ts'
import { cachesOf } from './scan-caches.ts'
import { configText } from './scan-config.ts'
import type { ScanFacts } from './scan-facts.ts'
import { gapsOf, zoneOf } from './scan-intervals.ts'
import type { SlotsOf } from './scan-intervals.ts'
import { judgeView } from './scan-judge.ts'
import { queuesOf } from './scan-queues.ts'
import { readFacts } from './scan-read.ts'
import { refreshingOf } from './scan-refreshers.ts'
import type { ScanReport } from './scan-report.ts'

/** What may be chosen about a look. */
export interface ScanOptions {
  /** Only what is in these schemas; null: all. */
  readonly schemas: readonly string[] | null
  readonly slotsOf: SlotsOf
}

/**
 * Looks at how a database keeps derived data. Needs nothing of Tidemark there and no right but to connect.
 *
 * Guarantees: everything is read in one `repeatable read read only` transaction, each statement bounded
 * to 30 s and each wait for a lock to 1 s; what cannot be read is told in `notes`. Throws
 * `TIDEMARK_DATABASE_TOO_OLD`, and what makes a connection fail.
 */
export async function scanDatabase(database: Database, options: ScanOptions): Promise<ScanReport> {
  const began = performance.now()
  const facts = await database.transaction(
    async (transaction) => {
      await serverVersion(transaction)
      return readFacts(transaction, options.schemas)
    },
    { isolation: 'repeatable read', readOnly: true, jit: false },
  )
  return reportOf(facts, options, () => Math.round(performance.now() - began))
}

/** Judges what was read; pure but for the clock of how long it took. */
function reportOf(facts: ScanFacts, options: ScanOptions, elapsedMs: () => number): ScanReport {
  const { head } = facts
  const { slotsOf, schemas } = options
  const actors = new Actors(facts)
  const queues = queuesOf(facts, actors, (jobs) =>
    gapsOf(
      jobs.map(({ schedule }) => schedule),
      zoneOf(head.cronZone),
      { now: head.now, slotsOf },
    ),
  )
  const refreshing = refreshingOf(facts, actors, queues)
  const views = facts.views.map((view) => judgeView(view, { facts, refreshing, slotsOf }))
  const wanted = (name: string): boolean =>
    schemas === null || schemas.some((schema) => name.startsWith(`${schema}.`))
  const scannedQueues = queues.map(({ scanned }) => scanned).filter(({ name }) => wanted(name))
  return {
    at: head.now,
    server: {
      version: head.version,
      database: head.database,
      role: head.role,
      standby: head.standby,
      tidemark: head.tidemark,
    },
    views,
    queues: scannedQueues,
    caches: cachesOf(facts, actors, views).filter(({ name }) => wanted(name)),
    notes: [
      ...(head.standby
        ? ['This is a standby: writes are counted on the primary, so rates are not known here.']
        : []),
      ...facts.notes,
    ],
    config: configText({
      database: head.database,
      at: head.now,
      views,
      queues: scannedQueues,
      cronZone: head.cronZone,
      slotsOf,
    }),
    tookMs: elapsedMs(),
  }
}
