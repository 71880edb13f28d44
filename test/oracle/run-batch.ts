import type { Queryable, Session } from '../../src/postgres/connection.ts'
import { literal } from '../../src/postgres/identifier.ts'
import type { BatchOutcome, CaseView, OracleCase, ViewOutcome } from './case.ts'
import type { Step } from './generate-history.ts'
import { isRefresh } from './generate-history.ts'
import type { InstalledView, Maintainer } from './maintainer.ts'
import type { OracleDatabase } from './oracle-database.ts'

/** A query that returns more would make the run slow and show no more. */
const rowsMax = 2_000
const slowMs = 300

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
 * query, both ways, as a bag of row texts. Nobody commits between a refresh and its comparison, so
 * that both see the same commits.
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
    const counts = { written: 0, failed: 0 }
    await refreshAndCompare(bench, watched, 0)
    for (const history of given.histories) await runHistory({ bench, watched, counts }, history)
    return { ...counts, views: [...watched.map(outcomeOf), ...refusals(given.views, refused)] }
  } finally {
    for (const session of on.sessions) await session.query('rollback').catch(() => undefined)
    await maintainer.remove(on.database)
  }
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

interface Run {
  readonly bench: Bench
  readonly watched: readonly Watched[]
  readonly counts: { written: number; failed: number }
}

async function runHistory(
  { bench, watched, counts }: Run,
  history: readonly Step[],
): Promise<void> {
  const { sessions } = bench.on
  const open = sessions.map(() => false)
  let refreshes = 0
  for (const step of history) {
    if (isRefresh(step)) {
      refreshes += 1
      await refreshAndCompare(bench, watched, refreshes)
      continue
    }
    const session = sessions[step.session]
    if (session === undefined) continue
    const writes = !/^(begin|commit|rollback|savepoint|release)/.test(step.sql)
    if (writes) counts.written += 1
    if (step.sql.startsWith('begin')) open[step.session] = true
    const succeeded = await session.query(step.sql).then(
      () => true,
      () => false,
    )
    if (step.sql === 'commit' || step.sql === 'rollback') open[step.session] = false
    if (succeeded) continue
    if (writes) counts.failed += 1
    await takeBack(session, open, step.session)
  }
  for (const each of watched) if (each.outcome === null) each.histories += 1
}

/** After a failure: back to the innermost savepoint that there is, else out of the transaction. */
async function takeBack(session: Session, open: boolean[], at: number): Promise<void> {
  if (open[at] !== true) return
  for (const name of ['s3', 's2', 's1']) {
    const back = await session.query(`rollback to ${name}`).then(
      () => true,
      () => false,
    )
    if (back) return
  }
  await session.query('rollback')
  open[at] = false
}

async function refreshAndCompare(
  bench: Bench,
  watched: readonly Watched[],
  refresh: number,
): Promise<void> {
  const { on, maintainer } = bench
  const live = watched.filter(({ outcome }) => outcome === null)
  if (live.length === 0) return
  const { failures, methods } = await maintainer.refresh(on.database)
  if (bench.spoil !== undefined) {
    for (const { installed } of live) {
      const sql = bench.spoil(installed)
      if (sql !== null) await on.database.query(sql)
    }
  }
  const seen = await compare(on.reader, live)
  for (const [at, each] of live.entries()) {
    const result = seen[at]
    each.refresh = refresh
    if (result === undefined) continue
    if (methods.get(each.installed.name) === 'incremental') each.incremental += 1
    each.rowsMax = Math.max(each.rowsMax, result.rows ?? 0)
    judge(each, result, failures.get(each.installed.name))
  }
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
async function compare(reader: Queryable, live: readonly Watched[]): Promise<Comparison[]> {
  await reader.query(compareFunction)
  const calls = live.map(({ view, installed }, at) => {
    const query = view.choice ? (installed.sqlToCompare ?? 'null') : view.sql
    return `(${at}, ${query === 'null' ? 'null' : literal(query)}, ${literal(installed.name)})`
  })
  return reader.query<Comparison>(
    `select c.* from (values ${calls.join(', ')}) as v (at, query, relation),
       pg_temp.oracle_compare(v.query::text, v.relation) c order by v.at`,
  )
}

/** Without a query to compare with, only that the view can be read is seen. */
const compareFunction = `
create or replace function pg_temp.oracle_compare(query text, relation text,
  out own_fault text, out fault text, out rows int, out differing int, out examples text)
language plpgsql as $$
begin
  begin
    execute format('select count(*) from (select row(q.*)::text from (%s) q) x',
                   coalesce(query, 'select from ' || relation)) into rows;
  exception when others then
    own_fault := sqlerrm;
    return;
  end;
  if query is null then return; end if;
  begin
    execute format(
      'select count(*), string_agg(case when w > 0 then ''+'' else '''' end || w || '' '' || t, e''\\n'') filter (where n <= 6)
       from (select t, sum(w) as w, row_number() over (order by t) as n
             from (select row(q.*)::text as t, -1 as w from (%s) q
                   union all select row(v.*)::text, 1 from %s v) x
             group by t having sum(w) <> 0) y', query, relation)
    into differing, examples;
  exception when others then
    fault := sqlerrm;
  end;
end $$`

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
        outcome: 'refused',
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
