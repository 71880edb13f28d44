import type { CaseView, OracleCase, ViewOutcome } from './case.ts'
import { isRefresh, isTransactional } from './generate-history.ts'
import type { Bench } from './run-batch.ts'
import { buildTables, runCase, usableViews } from './run-batch.ts'
import { simplerQueries } from './shrink-query.ts'

/** A case that fails, and how. */
export interface Failure {
  readonly given: OracleCase
  readonly outcome: ViewOutcome
}

/** A failing case made small. */
export interface Shrunk {
  readonly given: OracleCase
  /** How the last view of it fails. */
  readonly outcome: ViewOutcome
  readonly probes: number
}

/**
 * Makes a failing case as small as it gets within the time: fewer views, statements, rows, and a simpler
 * query, as long as the view fails in the same way. Null when it does not fail when run again alone.
 */
export async function shrink(
  bench: Bench,
  failure: Failure,
  withinMs: number,
): Promise<Shrunk | null> {
  const shrinker = new Shrinker(bench, failure.outcome, Date.now() + withinMs)
  return shrinker.run(failure.given)
}

class Shrinker {
  readonly #bench: Bench
  readonly #wanted: ViewOutcome
  readonly #until: number
  #probes = 0
  #last: ViewOutcome | null = null

  constructor(bench: Bench, wanted: ViewOutcome, until: number) {
    this.#bench = bench
    this.#wanted = wanted
    this.#until = until
  }

  async run(given: OracleCase): Promise<Shrunk | null> {
    const { view } = this.#wanted
    let small: OracleCase = { ...given, views: neededBy(given.views, view) }
    if (!(await this.#fails(small))) return null
    small = { ...small, histories: [small.histories.flat()] }
    if (!(await this.#fails(small))) small = { ...given, views: neededBy(given.views, view) }
    small = await this.#views(small)
    small = await this.#history(small)
    small = await this.#data(small)
    small = await this.#query(small)
    small = await this.#history(small)
    small = await this.#data(small)
    small = await this.#schema(small)
    small = await this.#query(small)
    await this.#fails(small)
    return this.#last === null ? null : { given: small, outcome: this.#last, probes: this.#probes }
  }

  /** Whether the last view fails as the one that was found did. */
  async #fails(given: OracleCase): Promise<boolean> {
    this.#probes += 1
    const target = given.views.at(-1)
    const result = await runCase(this.#bench, given).catch(() => null)
    const outcome = result?.views.find(({ view }) => view.name === target?.name)
    if (outcome === undefined || outcome.outcome !== this.#wanted.outcome) return false
    if (outcome.outcome !== 'mismatch' && kindOf(outcome.detail) !== kindOf(this.#wanted.detail))
      return false
    this.#last = outcome
    return true
  }

  #late(): boolean {
    return Date.now() > this.#until
  }

  /** Without the views that it reads, as queries of theirs. */
  async #views(given: OracleCase): Promise<OracleCase> {
    let small = given
    for (const input of given.views.slice(0, -1)) {
      const views = small.views.flatMap((each): CaseView[] => {
        if (each.name === input.name) return []
        const sql = each.sql.replaceAll(
          new RegExp(`${input.name.replace('.', '\\.')}\\b`, 'g'),
          `(${input.sql})`,
        )
        return [{ ...each, sql }]
      })
      const next = { ...small, views }
      if (await this.#fails(next)) small = next
    }
    return small
  }

  async #history(given: OracleCase): Promise<OracleCase> {
    const [steps = []] = given.histories
    const kept = await this.#fewer(steps, (left) => this.#fails({ ...given, histories: [left] }))
    const flat = kept
      .filter((step) => isRefresh(step) || !isTransactional(step.sql))
      .map((step) => (isRefresh(step) ? step : { ...step, session: 0 }))
    const simple = { ...given, histories: [flat] }
    if (flat.length < kept.length && (await this.#fails(simple))) return simple
    return { ...given, histories: [kept] }
  }

  async #data(given: OracleCase): Promise<OracleCase> {
    const data = await this.#fewer(given.data, (left) => this.#fails({ ...given, data: left }))
    return { ...given, data }
  }

  async #schema(given: OracleCase): Promise<OracleCase> {
    const schema = await this.#fewer(given.schema, (left) =>
      this.#fails({ ...given, schema: left }),
    )
    return { ...given, schema }
  }

  /** Simplified queries are compared with what the compiler has settled on: they may leave a choice. */
  async #query(given: OracleCase): Promise<OracleCase> {
    let small = given
    const target = given.views.at(-1)
    if (target === undefined) return given
    const settled = withLast(given, { ...target, choice: true })
    // Else the determinised query is what is wrong: only the query as written shows it.
    if (!target.choice && (await this.#fails(settled))) small = settled
    for (let simpler = true; simpler && !this.#late();) {
      simpler = false
      const current = small.views.at(-1)
      if (current === undefined) break
      for (const sql of await simplerQueries(current.sql)) {
        if (this.#late()) break
        if (sql.length >= current.sql.length) continue
        const next = withLast(small, { ...current, sql })
        if (!(await this.#valid(next)) || !(await this.#fails(next))) continue
        small = next
        simpler = true
        break
      }
    }
    return small
  }

  async #valid(given: OracleCase): Promise<boolean> {
    await buildTables(this.#bench.on, given).catch(() => undefined)
    const faults = await usableViews(this.#bench.on, given.views)
    return faults.every((fault) => fault === null)
  }

  /** Delta debugging: leaves out ever smaller parts of a list while the rest still fails. */
  async #fewer<Item>(
    items: readonly Item[],
    fails: (left: readonly Item[]) => Promise<boolean>,
  ): Promise<readonly Item[]> {
    let left = items
    for (
      let size = Math.ceil(left.length / 2);
      size >= 1 && !this.#late();
      size = size === 1 ? 0 : Math.ceil(size / 2)
    ) {
      for (let at = left.length - size; at > -size && !this.#late(); at -= size) {
        const from = Math.max(at, 0)
        const fewer = [...left.slice(0, from), ...left.slice(at + size)]
        if (fewer.length < left.length && (await fails(fewer))) left = fewer
      }
    }
    return left
  }
}

const withLast = (given: OracleCase, last: CaseView): OracleCase => ({
  ...given,
  views: [...given.views.slice(0, -1), last],
})

/** A view and those that it reads, itself last. */
function neededBy(views: readonly CaseView[], target: CaseView): CaseView[] {
  const inputs = views.filter(
    ({ name }) =>
      name !== target.name && new RegExp(`${name.replace('.', '\\.')}\\b`).test(target.sql),
  )
  return [...new Set([...inputs.flatMap((input) => neededBy(views, input)), target])]
}

/** What a message says, without the names and numbers of one case. */
export const kindOf = (message: string): string =>
  message
    .split('\n')[0]
    ?.replaceAll(/"[^"]*"|'[^']*'/g, '…')
    .replaceAll(/\d+/g, '0')
    .slice(0, 160) ?? ''
