import { formatDuration } from '../base/duration.ts'
import { relationName } from '../model/ids.ts'
import type { JobRunsFact, LogFact, Oid, ScanFacts, SourceFact, ViewFact } from './scan-facts.ts'
import type { Gaps, SlotsOf } from './scan-intervals.ts'
import { evenGaps, gapsOf, zoneOf } from './scan-intervals.ts'
import { prospectOf } from './scan-prospect.ts'
import type { Refreshing } from './scan-refreshers.ts'
import type {
  LastRefresh,
  RefreshCost,
  RefreshHistory,
  RefreshMode,
  ScannedRefresher,
  ScannedSource,
  ScannedView,
} from './scan-report.ts'
import { viewRows } from './scan-rows.ts'
import { readsTheClock } from './scan-sql-text.ts'
import { warningsOf } from './scan-warnings.ts'

/** What the judgement of every view needs. */
export interface Judging {
  readonly facts: ScanFacts
  readonly refreshing: ReadonlyMap<Oid, Refreshing>
  readonly slotsOf: SlotsOf
}

/** What is known of the refreshes of a view, from whichever source knows most. */
interface Remembered {
  readonly runs: readonly JobRunsFact[]
  readonly log: LogFact | null
  readonly refreshing: Refreshing
}

/** Judges one view from what was read. */
export function judgeView(view: ViewFact, judging: Judging): ScannedView {
  const { facts } = judging
  const remembered = rememberedOf(view, judging)
  const { refreshing } = remembered
  const gaps = gapsOfView(remembered, judging)
  const cost = costOf(view, remembered, facts)
  const detail = facts.details.get(view.oid)
  const mode = modeOf(refreshing.refreshers)
  const last = lastOf(remembered)
  const sources = sourcesOf(view, facts)
  const judged = {
    name: relationName(view.schema, view.name),
    owner: view.owner,
    tableBytes: detail?.tableBytes ?? null,
    indexBytes: detail?.indexBytes ?? null,
    rows: viewRows(view, facts),
    populated: view.populated,
    uniqueIndex: view.unique,
    managed: facts.managed.has(`${view.schema}.${view.name}`),
    refreshers: refreshing.refreshers,
    mode,
    last,
    history: historyOf(remembered),
    hints: last === null ? hintsOf(view, facts) : [],
    interval:
      gaps === null
        ? null
        : { shortestMs: gaps.gaps.shortestMs, longestMs: gaps.gaps.longestMs, from: gaps.from },
    cost,
    blocks: blocksOf(mode, cost, view.unique !== null),
    sources,
    readers: view.readers.map(({ schema, name }) => relationName(schema, name)),
    readsTheClock: detail !== undefined && readsTheClock(detail.definition),
    // An average promises nothing.
    staleness: stalenessOf(gaps?.from === 'schedule' ? gaps.gaps : null, cost),
    tidemark: prospectOf({ intervalMs: gaps?.gaps.longestMs ?? null, cost, sources }),
  }
  return { ...judged, warnings: warningsOf(judged, view, judging) }
}

function rememberedOf(view: ViewFact, { facts, refreshing }: Judging): Remembered {
  const own = refreshing.get(view.oid) ?? {
    refreshers: [],
    jobs: [],
    jobsOnRequest: [],
    statements: [],
  }
  const runs = own.jobs.flatMap(({ id }) => facts.jobRuns.get(id) ?? [])
  const logs = facts.logs.filter(
    (log) => log.view === view.name || log.view === `${view.schema}.${view.name}`,
  )
  return { runs, log: logs.sort((a, b) => b.runs - a.runs)[0] ?? null, refreshing: own }
}

/** What was counted for a shorter span says nothing of how often. */
const countedMsMin = 3_600_000

/** Schedules promise an interval; else what was counted in a span of time suggests one. */
function gapsOfView(
  { refreshing, log, runs }: Remembered,
  { facts, slotsOf }: Judging,
): { readonly gaps: Gaps; readonly from: 'schedule' | 'counted' } | null {
  const { head } = facts
  const active = refreshing.jobs.filter((job) => job.active).map(({ schedule }) => schedule)
  const scheduled = gapsOf(active, zoneOf(head.cronZone), { now: head.now, slotsOf })
  if (scheduled !== null) return { gaps: scheduled, from: 'schedule' }
  if (refreshing.jobs.length > 0 || runs.length > 0) return null
  const counted = [
    ...(log === null ? [] : [{ runs: log.runs - log.failed, since: log.since }]),
    ...refreshing.statements.map(({ calls, since }) => ({ runs: calls, since })),
  ]
  for (const { runs: times, since } of counted) {
    const countedMs = since === null ? 0 : head.now.getTime() - since.getTime()
    if (countedMs < countedMsMin || times < 2) continue
    const ms = Math.round(countedMs / times)
    return { gaps: evenGaps(ms), from: 'counted' }
  }
  return null
}

/** A log of the user's is about this view alone; a job may do more; the planner only guesses. */
function costOf(view: ViewFact, remembered: Remembered, facts: ScanFacts): RefreshCost | null {
  const { log, runs, refreshing } = remembered
  if (log?.medianMs != null) {
    return { medianMs: round(log.medianMs), mostMs: roundOrNull(log.mostMs), from: log.table }
  }
  const most = [...runs].sort((a, b) => b.runs - a.runs)[0]
  if (most?.medianMs != null) {
    return { medianMs: round(most.medianMs), mostMs: roundOrNull(most.mostMs), from: 'pg_cron' }
  }
  const [statement] = refreshing.statements
  if (statement !== undefined) {
    const { meanMs, mostMs } = statement
    return { medianMs: round(meanMs), mostMs: round(mostMs), from: 'pg_stat_statements' }
  }
  const estimate = facts.estimatedMs.get(view.oid)
  return estimate === undefined ? null : { medianMs: estimate, mostMs: null, from: 'estimate' }
}

function lastOf({ runs, log, refreshing }: Remembered): LastRefresh | null {
  const known: LastRefresh[] = [
    ...runs.flatMap(({ lastAt, lastMs }) =>
      lastAt === null ? [] : [{ at: lastAt, tookMs: roundOrNull(lastMs), from: 'pg_cron' }],
    ),
    ...(log?.lastAt == null
      ? []
      : [{ at: log.lastAt, tookMs: roundOrNull(log.lastMs), from: log.table }]),
  ]
  if (refreshing.refreshers.length === 0 && log === null) return null
  return known.sort((a, b) => b.at.getTime() - a.at.getTime())[0] ?? null
}

function historyOf({ runs, log }: Remembered): RefreshHistory | null {
  if (runs.length === 0 && log === null) return null
  const failure = runs
    .flatMap(({ failureAt, failure: message }) =>
      failureAt === null ? [] : [{ at: failureAt, message: (message ?? '').trim() }],
    )
    .sort((a, b) => b.at.getTime() - a.at.getTime())[0]
  const counted = runs.length > 0 ? runs : log === null ? [] : [log]
  const starts = counted.flatMap(({ since }) => since ?? []).map((since) => since.getTime())
  return {
    runs: counted.reduce((sum, one) => sum + one.runs, 0),
    failed: counted.reduce((sum, one) => sum + one.failed, 0),
    failedInARow: runs.length === 0 ? 0 : Math.min(...runs.map((one) => one.failedInARow)),
    since: starts.length === 0 ? null : new Date(Math.min(...starts)),
    lastFailure: failure ?? null,
  }
}

/** PostgreSQL itself does not say when a view was refreshed; what its statistics say is told as what it is. */
function hintsOf(view: ViewFact, { head }: ScanFacts): readonly string[] {
  const hints: string[] = []
  if (view.rowsWritten !== null && view.rowsWritten > 0 && !head.standby) {
    const since = head.countedSince === null ? '' : ` since ${dayOf(head.countedSince)}`
    const rows = view.rowsWritten === 1 ? '1 row was' : `${view.rowsWritten} rows were`
    hints.push(`${rows} written to it${since}`)
  }
  if (view.analyzedAt !== null) hints.push(`it was last analyzed at ${minuteOf(view.analyzedAt)}`)
  return hints
}

const dayOf = (at: Date): string => at.toISOString().slice(0, 10)
const minuteOf = (at: Date): string => `${at.toISOString().slice(0, 16).replace('T', ' ')}Z`

function sourcesOf(view: ViewFact, facts: ScanFacts): readonly ScannedSource[] {
  const read = new Set(facts.reads.filter((one) => one.view === view.oid).map((one) => one.source))
  return facts.sources.filter(({ oid }) => read.has(oid)).map((source) => sourceOf(source, facts))
}

function sourceOf(source: SourceFact, { head, bytes }: ScanFacts): ScannedSource {
  // A standby counts what it reads, and a foreign table is written elsewhere.
  const counts = !head.standby && source.kind !== 'foreign'
  const writes = counts ? (source.writes ?? 0) : null
  const since = head.countedSince ?? head.startedAt
  const hours = Math.max((head.now.getTime() - since.getTime()) / 3_600_000, 1 / 60)
  return {
    name: relationName(source.schema, source.name),
    kind: source.kind,
    bytes: source.kind === 'foreign' ? null : (bytes.get(source.oid) ?? null),
    writes,
    writesPerHour: writes === null ? null : Math.round(writes / hours),
    rateIsUpperBound: head.countedSince === null,
  }
}

function modeOf(refreshers: readonly ScannedRefresher[]): RefreshMode | null {
  const modes = new Set(refreshers.map(({ mode }) => mode))
  const [first = null] = modes
  return modes.size > 1 ? 'both' : first
}

function blocksOf(mode: RefreshMode | null, cost: RefreshCost | null, usable: boolean): string {
  const span =
    cost === null ? 'as long as it runs' : `about ${formatDuration(cost.medianMs)} each time`
  switch (mode) {
    case 'plain':
      return `REFRESH takes ACCESS EXCLUSIVE: every reader waits, ${span}`
    case 'concurrently':
      return usable
        ? 'CONCURRENTLY takes EXCLUSIVE: readers go on, another refresh of it waits'
        : 'CONCURRENTLY without a unique index: it is refused each time'
    case 'both':
      return `some refreshes are plain (ACCESS EXCLUSIVE: every reader waits, ${span}), some CONCURRENTLY`
    case null:
      return usable
        ? 'a plain REFRESH makes every reader wait; CONCURRENTLY would not, it has a unique index'
        : 'a plain REFRESH makes every reader wait; CONCURRENTLY needs a unique index'
  }
}

/**
 * What a refresh shows was true when it began, so content ages from one beginning to the end of the
 * next: the gap and the time that the refresh takes.
 */
function stalenessOf(gaps: Gaps | null, cost: RefreshCost | null): ScannedView['staleness'] {
  if (gaps === null) return null
  return {
    typicalMs: gaps.meanAgeMs + (cost?.medianMs ?? 0),
    mostMs: gaps.longestMs + (cost?.mostMs ?? cost?.medianMs ?? 0),
  }
}

const round = (ms: number): number => Math.max(1, Math.round(ms))
const roundOrNull = (ms: number | null): number | null => (ms === null ? null : round(ms))
