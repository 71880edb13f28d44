import type { HistoryFacts } from './case.ts'
import { constructs, isHonest } from './constructs.ts'
import type { BatchReport, FoundFailure } from './hunt-messages.ts'
import { togetherOf } from './run-history.ts'

/** How often a construct occurred, in cases. */
interface Coverage {
  readonly construct: string
  readonly cases: number
  readonly share: number
  /** Share of cases in which the result was not always empty. */
  readonly withRows: number
}

interface Fallback {
  readonly reason: string
  readonly honest: boolean
  /** Of views, by the construct that they were made for. */
  readonly by: Map<string, number>
  readonly example: string
}

const shareMin = 0.01
const examplesMax = 300

/** The figures of a hunt. */
export class Tally {
  readonly maintain: 'full' | 'incremental'
  cases = 0
  compared = 0
  views = 0
  discarded = 0
  rejected = 0
  choices = 0
  facts: HistoryFacts = togetherOf([])
  readonly failures: FoundFailure[] = []
  readonly #fallbacks = new Map<string, Fallback>()
  readonly #seen = new Map<string, { cases: number; full: number }>()

  constructor(maintain: 'full' | 'incremental') {
    this.maintain = maintain
  }

  add(report: BatchReport): void {
    this.rejected += report.rejected.length
    this.facts = togetherOf([...(this.facts.histories === 0 ? [] : [this.facts]), report.facts])
    for (const view of report.views) {
      this.views += 1
      if (view.outcome === 'discarded') this.discarded += 1
      const asked = view.strategy === this.maintain || view.strategy === 'none'
      if (view.outcome === 'refused' || !asked) this.#fallBack(view)
      else this.#count(view)
    }
  }

  #count(view: BatchReport['views'][number]): void {
    this.cases += view.histories
    this.compared += view.comparisons
    if (view.choice) this.choices += view.histories
    for (const construct of view.constructs) {
      const seen = this.#seen.get(construct) ?? { cases: 0, full: 0 }
      seen.cases += view.histories
      if (view.rowsMax > 0) seen.full += view.histories
      this.#seen.set(construct, seen)
    }
  }

  #fallBack({ detail, featured, sql }: BatchReport['views'][number]): void {
    const found = this.#fallbacks.get(detail) ?? {
      reason: detail,
      honest: isHonest(detail),
      by: new Map<string, number>(),
      example: sql,
    }
    found.by.set(featured, (found.by.get(featured) ?? 0) + 1)
    this.#fallbacks.set(detail, found)
  }

  get fallbacks(): readonly Fallback[] {
    return [...this.#fallbacks.values()].sort((a, b) => timesOf(b) - timesOf(a))
  }

  get fallenBack(): number {
    return this.fallbacks.reduce((sum, each) => sum + timesOf(each), 0)
  }

  /** Fallbacks of what is to be maintained incrementally. */
  get wrongFallbacks(): number {
    return this.fallbacks
      .filter(({ honest }) => !honest)
      .reduce((sum, each) => sum + timesOf(each), 0)
  }

  get mismatches(): number {
    return this.failures.length
  }

  /** Every construct of item 2, then what else was noted, the rarest first. */
  get coverage(): readonly Coverage[] {
    const all = new Set([...constructs, ...this.#seen.keys()])
    return [...all]
      .map((construct): Coverage => {
        const { cases, full } = this.#seen.get(construct) ?? { cases: 0, full: 0 }
        const of = Math.max(1, this.cases)
        return { construct, cases, share: cases / of, withRows: full / of }
      })
      .sort((a, b) => a.withRows - b.withRows)
  }

  /** Constructs that the issue names and that occur, with rows, in fewer than one case in a hundred. */
  get rare(): readonly string[] {
    return this.coverage
      .filter(({ construct, withRows }) => constructs.includes(construct) && withRows < shareMin)
      .map(({ construct }) => construct)
  }

  line(): string {
    return `${this.cases} cases, ${this.compared} comparisons, ${this.mismatches} mismatches, ${this.fallenBack} of ${this.views} views fell back, ${this.wrongFallbacks} of them wrongly`
  }

  table(): string {
    const percent = (n: number): string => `${(100 * n).toFixed(1)} %`.padStart(10)
    return this.coverage
      .filter(({ construct }) => constructs.includes(construct))
      .map(
        ({ construct, cases, share, withRows }) =>
          `${construct.padEnd(36)}${String(cases).padStart(8)}${percent(share)}${percent(withRows)}`,
      )
      .join('\n')
  }

  fallbackTable(): string {
    return this.fallbacks
      .map((each) => {
        const by = [...each.by].sort(([, a], [, b]) => b - a).slice(0, 8)
        const mark = each.honest ? ' ' : '!'
        return `${mark}${String(timesOf(each)).padStart(5)}  ${each.reason.slice(0, 200)}
        ${by.map(([name, n]) => `${name} ${String(n)}`).join(', ')}
        ${each.example.slice(0, examplesMax)}`
      })
      .join('\n')
  }

  historyLine(): string {
    const { facts } = this
    const each = (n: number): string => (n / Math.max(1, facts.histories)).toFixed(1)
    const failed = Object.entries(facts.failed).map(([state, n]) => `${state} ${String(n)}`)
    return `${facts.histories} histories, of ${each(facts.written)} statements each (${facts.writtenMin} at least) and ${each(facts.refreshes)} refreshes; ${facts.overlapping} statements while another session was within a transaction (${facts.openMax} at once at most), ${facts.refreshesBesideOpen} of ${facts.refreshes} refreshes beside a transaction that had written; ${facts.committed} commits, ${facts.rolledBack} rollbacks, ${facts.rolledBackTo} to savepoints, ${facts.serializable} transactions serializable, ${facts.repeatableRead} repeatable read; failed: ${failed.join(', ') || 'none'}.`
  }

  json(minutes: number): string {
    return JSON.stringify({
      minutes: Number(minutes.toFixed(2)),
      cases: this.cases,
      comparisons: this.compared,
      mismatches: this.mismatches,
      views: this.views,
      fellBack: this.fallenBack,
      fellBackWrongly: this.wrongFallbacks,
      discarded: this.discarded,
      rejected: this.rejected,
      choices: this.choices,
      histories: this.facts,
      rare: this.rare,
      coverage: this.coverage.map((each) => ({
        ...each,
        wanted: constructs.includes(each.construct),
      })),
      fallbacks: this.fallbacks.map(({ by, ...each }) => ({ ...each, by: Object.fromEntries(by) })),
    })
  }
}

const timesOf = ({ by }: Fallback): number => [...by.values()].reduce((sum, n) => sum + n, 0)
