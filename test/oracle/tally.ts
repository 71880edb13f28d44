import { featureNames } from './generate-query.ts'
import type { BatchReport, FoundFailure } from './hunt-messages.ts'

/** How often a construct occurred, in cases. */
interface Coverage {
  cases: number
  /** Of those with a result that was not always empty. */
  full: number
}

/** The figures of a hunt. */
export class Tally {
  readonly maintain: 'full' | 'incremental'
  cases = 0
  compared = 0
  views = 0
  discarded = 0
  rejected = 0
  written = 0
  failedStatements = 0
  choices = 0
  readonly failures: FoundFailure[] = []
  /** Views that were not maintained as they had to be, by reason and the construct that they show. */
  readonly fallbacks: Map<string, Map<string, number>> = new Map()
  readonly coverage: Map<string, Coverage> = new Map()

  constructor(maintain: 'full' | 'incremental') {
    this.maintain = maintain
  }

  add(report: BatchReport): void {
    this.rejected += report.rejected.length
    this.written += report.written
    this.failedStatements += report.failed
    for (const view of report.views) {
      this.views += 1
      if (view.outcome === 'discarded') this.discarded += 1
      if (
        view.outcome === 'refused' ||
        (view.strategy !== this.maintain && view.strategy !== 'none')
      ) {
        this.#fallBack(view.detail, view.featured)
        continue
      }
      this.cases += view.histories
      this.compared += view.comparisons
      if (view.choice) this.choices += view.histories
      for (const construct of view.constructs) {
        const seen = this.coverage.get(construct) ?? { cases: 0, full: 0 }
        seen.cases += view.histories
        if (view.rowsMax > 0) seen.full += view.histories
        this.coverage.set(construct, seen)
      }
    }
  }

  #fallBack(reason: string, featured: string): void {
    const by = this.fallbacks.get(reason) ?? new Map<string, number>()
    by.set(featured, (by.get(featured) ?? 0) + 1)
    this.fallbacks.set(reason, by)
  }

  get fallenBack(): number {
    return [...this.fallbacks.values()]
      .flatMap((by) => [...by.values()])
      .reduce((sum, n) => sum + n, 0)
  }

  get mismatches(): number {
    return this.failures.length
  }

  /** Constructs that the issue names and that occur, with rows, in fewer than one case in a hundred. */
  rare(): string[] {
    return featureNames.filter((name) => (this.coverage.get(name)?.full ?? 0) < this.cases / 100)
  }

  line(): string {
    return `${this.cases} cases, ${this.compared} comparisons, ${this.mismatches} mismatches, ${this.fallenBack} of ${this.views} views fell back`
  }

  table(): string {
    const rows = [...this.coverage].sort(([, a], [, b]) => a.full - b.full)
    const share = (n: number): string =>
      `${((100 * n) / Math.max(1, this.cases)).toFixed(1)} %`.padStart(8)
    return rows
      .map(([name, { cases, full }]) => `${name.padEnd(36)}${share(cases)}${share(full)}`)
      .join('\n')
  }

  fallbackTable(): string {
    return [...this.fallbacks]
      .map(([reason, by]) => {
        const total = [...by.values()].reduce((sum, n) => sum + n, 0)
        const constructs = [...by].sort(([, a], [, b]) => b - a).slice(0, 8)
        return {
          total,
          text: `${String(total).padStart(6)}  ${reason.slice(0, 200)}\n        ${constructs.map(([name, n]) => `${name} ${n}`).join(', ')}`,
        }
      })
      .sort((a, b) => b.total - a.total)
      .map(({ text }) => text)
      .join('\n')
  }

  json(minutes: number): string {
    return JSON.stringify({
      minutes: Number(minutes.toFixed(2)),
      cases: this.cases,
      comparisons: this.compared,
      mismatches: this.mismatches,
      views: this.views,
      fellBack: this.fallenBack,
      discarded: this.discarded,
      rejected: this.rejected,
      choices: this.choices,
      statements: this.written,
      failedStatements: this.failedStatements,
      rare: this.rare(),
      coverage: Object.fromEntries([...this.coverage].sort(([a], [b]) => a.localeCompare(b))),
      fallbacks: [...this.fallbacks].map(([reason, by]) => ({
        reason,
        by: Object.fromEntries(by),
      })),
    })
  }
}
