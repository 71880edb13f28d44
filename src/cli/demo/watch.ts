import { pause } from '../../base/clock.ts'
import { readFreshness } from '../../engine/demo-support.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import type { Freshness } from '../../model/freshness.ts'
import type { RelationName } from '../../model/ids.ts'
import { quantile } from './figures.ts'

/** What the watch has seen of one view since it began. */
export interface ViewRecord {
  readonly name: RelationName
  /** The truth at the last look. */
  readonly freshness: Freshness
  /** Refreshes that were completed. */
  readonly refreshes: number
  /** Refreshes that compared themselves with their query at their own snapshot. */
  readonly checks: number
  /** Those of them that found a difference. */
  readonly different: number
  readonly spentMs: number
  readonly stalenessMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

interface Tally {
  refreshes: number
  checks: number
  different: number
  spentMs: number
  /** Staleness at every look, in the order of the looks. */
  stalenesses: number[]
}

interface Totals {
  readonly refreshes: number
  readonly checks: number
  readonly different: number
  readonly spentMs: number
}

const nothing: Totals = { refreshes: 0, checks: 0, different: 0, spentMs: 0 }

const lookEveryMs = 200
const stalenessesMax = 50_000

/**
 * Looks at `tidemark.freshness` and `tidemark.run` five times a second and keeps the account.
 * It only reads: no refresh is made for it.
 */
export class Watch {
  readonly #database: Queryable
  #freshness: readonly Freshness[] = []
  readonly #tallies = new Map<RelationName, Tally>()
  /** Totals when counting began. */
  readonly #before = new Map<RelationName, Totals>()
  #startsOver = true
  #looks = 0

  constructor(database: Queryable) {
    this.#database = database
  }

  /** What the last look saw, worst first; empty before the first. */
  get freshness(): readonly Freshness[] {
    return this.#freshness
  }

  /** How often it has looked. */
  get looks(): number {
    return this.#looks
  }

  /** Looks until the signal fires. A look that fails is told, and followed by another. */
  async run(onFailure: (error: unknown) => void, signal: AbortSignal): Promise<void> {
    for (;;) {
      if (signal.aborted) return
      const began = performance.now()
      try {
        await this.#look()
      } catch (error) {
        onFailure(error)
      }
      await pause(Math.max(20, lookEveryMs - (performance.now() - began)), signal)
    }
  }

  async #look(): Promise<void> {
    this.#freshness = await readFreshness(this.#database)
    for (const { view, stalenessMs } of this.#freshness) {
      if (stalenessMs === null) continue
      const { stalenesses } = this.#tallyOf(view)
      stalenesses.push(stalenessMs)
      if (stalenesses.length > stalenessesMax) stalenesses.shift()
    }
    await this.#countRuns()
    this.#looks += 1
  }

  /** Forgets what was counted, and counts from here: what ran before is not told. */
  startOver(): void {
    this.#tallies.clear()
    this.#before.clear()
    this.#startsOver = true
  }

  /** The account of a view; undefined before the first look that saw it. */
  recordOf(name: RelationName): ViewRecord | undefined {
    const freshness = this.#freshness.find(({ view }) => view === name)
    if (freshness === undefined) return undefined
    const { refreshes, checks, different, spentMs, stalenesses } = this.#tallyOf(name)
    const sorted = [...stalenesses].sort((one, other) => one - other)
    const stalenessMs = {
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: quantile(sorted, 1),
    }
    return { name, freshness, refreshes, checks, different, spentMs, stalenessMs }
  }

  /** From the totals that the database keeps: a run row may stand for many refreshes of an eager view. */
  async #countRuns(): Promise<void> {
    const rows = await this.#database.query<Totals & { readonly view: RelationName }>(
      `select s.view, s.refreshes, s.checks, s.mismatches as different,
              coalesce((select sum(coalesce(r.busy_ms, r.duration_ms)) from tidemark.run r
                         where r.view = s.view and r.status in ('completed', 'skipped', 'failed')), 0) as "spentMs"
         from tidemark.view_state s`,
    )
    for (const { view, ...now } of rows) {
      const tally = this.#tallyOf(view)
      const before = this.#before.get(view) ?? (this.#startsOver ? now : nothing)
      this.#before.set(view, before)
      tally.refreshes = now.refreshes - before.refreshes
      tally.checks = now.checks - before.checks
      tally.different = now.different - before.different
      tally.spentMs = now.spentMs - before.spentMs
    }
    this.#startsOver = false
  }

  #tallyOf(name: RelationName): Tally {
    const known = this.#tallies.get(name)
    if (known !== undefined) return known
    const tally = { refreshes: 0, checks: 0, different: 0, spentMs: 0, stalenesses: [] }
    this.#tallies.set(name, tally)
    return tally
  }
}
