import type { Queryable } from '../../src/postgres/connection.ts'
import { literal } from '../../src/postgres/identifier.ts'
import type { BatchOutcome, CaseView, HistoryFacts, OracleCase, ViewOutcome } from './case.ts'
import { historyStatementsMin } from './case.ts'
import type { InstalledView, Maintainer } from './maintainer.ts'
import { inputRefused, reads } from './maintainer.ts'
import type { OracleDatabase } from './oracle-database.ts'
import { runHistory, togetherOf } from './run-history.ts'

/** A query that returns more would make the run slow and show no more. */
const rowsMax = 1_000
const slowMs = 300
/** One that grew to more is left: self joins over what a history inserts can hold a refresh for minutes. */
const grownMax = 10_000

/** Where a case runs and by whom its views are kept. */
export interface Bench {
  readonly on: OracleDatabase
  readonly maintainer: Maintainer
  /** Does something wrong after each refresh, to see that it is noticed. */
  readonly spoil?: (view: InstalledView) => string | null
}

/** Makes the tables of a case and fills them, in place of what was there. */
export async function buildTables(
  on: OracleDatabase,
  built: Pick<OracleCase, 'schema' | 'data'>,
): Promise<void> {
  await on.database.query('drop schema if exists o cascade')
  await on.database.query([...built.schema, ...built.data].join(';\n'))
}

/**
 * Queries that the server takes as a view and that run quickly on the first rows, in order, so that one
 * may read another; with the fault of those that it does not take.
 */
export async function usableViews(
  on: OracleDatabase,
  views: readonly Pick<CaseView, 'name' | 'sql'>[],
): Promise<(string | null)[]> {
  const faults: (string | null)[] = []
  await on.reader.query('begin')
  await on.reader.query(`set local statement_timeout = ${slowMs}`)
  for (const { name, sql } of views) {
    await on.reader.query('savepoint one')
    const fault = await on.reader
      .query<{ n: number }>(
        `create view ${name} as ${sql};
         select count(*) as n from (select row(q.*)::text from ${name} q) x`,
      )
      .then(([row]) => ((row?.n ?? 0) > rowsMax ? 'too many rows' : null))
      .catch((error: unknown) => String(error))
    if (fault !== null) await on.reader.query('rollback to one')
    faults.push(fault)
  }
  await on.reader.query('rollback')
  return faults
}

interface Watched {
  readonly view: CaseView
  readonly installed: InstalledView
  outcome: ViewOutcome['outcome'] | null
  detail: string
  rowsMax: number
  comparisons: number
  incremental: number
  histories: number
  refresh: number
}

/**
 * Runs a case: tables, views, then the histories; after each refresh every view is compared with its
 * query, both ways, as a bag of row texts, at the snapshot of the refresh or before anybody commits again.
 */
export async function runCase(bench: Bench, given: OracleCase): Promise<BatchOutcome> {
  const { on, maintainer } = bench
  await buildTables(on, given)
  const { installed, refused } = await maintainer.install(on.database, given.views)
  const watched = installed.flatMap((each): Watched[] => {
    const view = given.views.find(({ name }) => name === each.name)
    return view === undefined ? [] : [watch(view, each)]
  })
  try {
    await refreshAndCompare(bench, watched, 0)
    const runs: HistoryFacts[] = []
    const refresh = (number: number): Promise<void> => refreshAndCompare(bench, watched, number)
    for (const history of given.histories) {
      const done = await runHistory({ sessions: on.sessions, refresh }, history)
      runs.push(done)
      if (done.written >= historyStatementsMin) countHistory(watched)
    }
    return {
      facts: togetherOf(runs),
      views: [...watched.map(outcomeOf), ...refusals(given.views, refused)],
    }
  } finally {
    for (const session of on.sessions) await session.query('rollback').catch(() => undefined)
    await maintainer.remove(on.database)
  }
}

function countHistory(watched: readonly Watched[]): void {
  for (const each of watched) if (each.outcome === null) each.histories += 1
}

const watch = (view: CaseView, installed: InstalledView): Watched => ({
  view,
  installed,
  outcome: null,
  detail: '',
  rowsMax: 0,
  comparisons: 0,
  incremental: 0,
  histories: 0,
  refresh: 0,
})

async function refreshAndCompare(
  bench: Bench,
  watched: readonly Watched[],
  refresh: number,
): Promise<void> {
  const { on, maintainer } = bench
  const live = watched.filter(({ outcome }) => outcome === null)
  if (live.length === 0) return
  let seen: readonly Comparison[] = []
  const { failures, methods } = await maintainer.refresh(on.database, async (queryable) => {
    for (const { installed } of live) {
      const sql = bench.spoil?.(installed) ?? null
      if (sql !== null) await queryable.query(sql)
    }
    seen = await compare(queryable, live)
  })
  for (const [at, each] of live.entries()) {
    const result = seen[at]
    each.refresh = refresh
    if (result === undefined) continue
    if (methods.get(each.installed.name) === 'incremental') each.incremental += 1
    each.rowsMax = Math.max(each.rowsMax, result.rows ?? 0)
    judge(each, result, failures.get(each.installed.name))
  }
  discardReaders(watched)
  for (const { outcome, installed } of live)
    if (outcome === 'discarded') await maintainer.leave(on.database, installed.name)
}

function judge(each: Watched, result: Comparison, failure: string | undefined): void {
  const { own_fault, fault, differing, examples } = result
  if (own_fault !== null) {
    each.outcome = 'discarded'
    each.detail = own_fault
  } else if (failure !== undefined || fault !== null) {
    each.outcome = 'failed'
    each.detail = failure ?? fault ?? ''
  } else if (differing !== null && differing > 0) {
    each.outcome = 'mismatch'
    each.detail = examples ?? ''
  } else each.comparisons += 1
  if (each.outcome === null && (result.rows ?? 0) > grownMax) {
    each.outcome = 'discarded'
    each.detail = `it grew to ${result.rows} rows`
  }
}

/** What reads a view that is kept up no longer has nothing to be kept up from. */
function discardReaders(watched: readonly Watched[]): void {
  for (const each of watched) {
    const lost = watched.some(
      (input) => input !== each && input.outcome !== null && reads(each.view, input.view),
    )
    if (each.outcome !== null || !lost) continue
    each.outcome = 'discarded'
    each.detail = 'a view that it reads is kept up no longer'
  }
}

interface Comparison {
  /** The query itself raises on these rows. */
  readonly own_fault: string | null
  readonly fault: string | null
  readonly rows: number | null
  readonly differing: number | null
  /** Rows that the view has and the query has not (+), and the other way about (-). */
  readonly examples: string | null
}

/** One round trip for all views; what one raises is told of that one alone. */
async function compare(queryable: Queryable, live: readonly Watched[]): Promise<Comparison[]> {
  const calls = live.map(({ view, installed }, at) => {
    const query = view.choice ? installed.sqlToCompare : view.sql
    return `(${at}, ${query === null ? 'null' : literal(query)}, ${literal(installed.name)})`
  })
  return queryable.query<Comparison>(
    `select c.* from (values ${calls.join(', ')}) as v (at, query, relation),
       oracle.compare(v.query::text, v.relation) c order by v.at`,
  )
}

function outcomeOf(each: Watched): ViewOutcome {
  const { view, installed, outcome, comparisons, histories, refresh } = each
  return {
    view,
    outcome: outcome ?? 'exact',
    strategy: installed.strategy,
    detail: outcome === null ? (installed.refusedBecause ?? '') : each.detail,
    rowsMax: each.rowsMax,
    comparisons,
    incremental: each.incremental,
    histories,
    refresh,
  }
}

const refusals = (
  views: readonly CaseView[],
  refused: ReadonlyMap<string, string>,
): ViewOutcome[] =>
  views.flatMap((view): ViewOutcome[] => {
    const detail = refused.get(view.name)
    if (detail === undefined) return []
    return [
      {
        view,
        outcome: detail === inputRefused ? 'discarded' : 'refused',
        strategy: 'none',
        detail,
        rowsMax: 0,
        comparisons: 0,
        incremental: 0,
        histories: 0,
        refresh: 0,
      },
    ]
  })
