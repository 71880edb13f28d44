import { grouped, span } from '../render/figures.ts'
import type { ViewRecord } from './watch.ts'
import { bareName } from './twins.ts'

/** What a run of the demonstration has shown. */
export interface DemoOutcome {
  readonly writes: number
  readonly lost: number
  readonly views: readonly ViewOutcome[]
}

/** What it has shown of one view. */
export interface ViewOutcome {
  readonly record: ViewRecord
  /** Rows in which view and query differed when all had come to rest; null when not compared. */
  readonly differingAtEnd: number | null
}

/** The one line of `--json`. */
export function renderJson(outcome: DemoOutcome): string {
  return JSON.stringify({
    writes: outcome.writes,
    lost: outcome.lost,
    views: outcome.views.map(({ record, differingAtEnd }) => ({
      name: bareName(record.name),
      strategy: record.freshness.strategy,
      rows: record.freshness.rows,
      refreshes: record.refreshes,
      staleness_ms: record.stalenessMs,
      exact: isExact({ record, differingAtEnd }),
      checks: record.checks,
    })),
  })
}

/** Equal in every check of a refresh, at least once, and at rest. */
export function isExact({ record, differingAtEnd }: ViewOutcome): boolean {
  return record.checks > 0 && record.different === 0 && (differingAtEnd ?? 0) === 0
}

/** What a person reads at the end. */
export function renderSummary(outcome: DemoOutcome): readonly string[] {
  const checks = outcome.views.reduce((sum, { record }) => sum + record.checks, 0)
  const different = outcome.views.reduce((sum, { record }) => sum + record.different, 0)
  const equal = different === 0 ? 'all equal' : `${grouped(different)} DIFFERENT`
  return [
    `${grouped(outcome.writes)} writes committed, ${outcome.lost === 0 ? 'none' : grouped(outcome.lost)} lost. ` +
      `${grouped(checks)} refreshes compared with their query: ${equal}.`,
    ...outcome.views.map(({ record }) => {
      const { p50, p99, max } = record.stalenessMs
      const figures = [p50, p99, max, record.freshness.targetMs].map(span)
      const [middle, high, most, target] = figures.map((text) => text.padStart(5))
      const name = bareName(record.name).padEnd(19)
      return `  ${name} stale p50 ${middle}  p99 ${high}  max ${most}  target ${target}`
    }),
  ]
}
