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

interface RunRow {
  readonly run_id: number
  readonly view: RelationName
  readonly status: string
  readonly duration_ms: number | null
  readonly differing: number | null
}

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
  /** Runs up to here have ended and are counted; null before the first look. */
  #runsDone: number | null = null
  readonly #counted = new Set<number>()
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

  async #countRuns(): Promise<void> {
    this.#runsDone ??= await this.#lastRun()
    const runs = await this.#database.query<RunRow>(
      `select run_id, view, status, duration_ms, differing
         from tidemark.run where run_id > $1 order by run_id`,
      [this.#runsDone],
    )
    let allBefore = true
    for (const run of runs) {
      const ended = run.status !== 'running' && run.status !== 'queued'
      allBefore &&= ended
      if (allBefore) this.#runsDone = run.run_id
      if (ended && !this.#counted.has(run.run_id)) this.#count(run)
      if (allBefore) this.#counted.delete(run.run_id)
    }
  }

  async #lastRun(): Promise<number> {
    const [row] = await this.#database.query<{ last: number }>(
      'select coalesce(max(run_id), 0) as last from tidemark.run',
    )
    return row?.last ?? 0
  }

  #count(run: RunRow): void {
    this.#counted.add(run.run_id)
    const tally = this.#tallyOf(run.view)
    if (run.status === 'completed') tally.refreshes += 1
    if (run.differing !== null) tally.checks += 1
    if ((run.differing ?? 0) > 0) tally.different += 1
    tally.spentMs += run.duration_ms ?? 0
  }

  #tallyOf(name: RelationName): Tally {
    const known = this.#tallies.get(name)
    if (known !== undefined) return known
    const tally = { refreshes: 0, checks: 0, different: 0, spentMs: 0, stalenesses: [] }
    this.#tallies.set(name, tally)
    return tally
  }
}
