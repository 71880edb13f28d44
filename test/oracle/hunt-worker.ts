/** One of the processes of a hunt: runs batch after batch until it is told to end. */
import { draftIncremental } from '../../src/compile/incremental.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { BatchOutcome, CaseView, OracleCase, ViewOutcome } from './case.ts'
import type { Rejected } from './generate-case.ts'
import { generateCase } from './generate-case.ts'
import type { BatchReport, FoundFailure, HuntMessage, HuntOrder } from './hunt-messages.ts'
import { brokenCompiler, maintainDirectly } from './maintain-directly.ts'
import type { Maintainer } from './maintainer.ts'
import { maintainByPlan } from './maintain-by-plan.ts'
import type { OracleDatabase } from './oracle-database.ts'
import { createOracleDatabase, openOracleDatabase } from './oracle-database.ts'
import { randomOf } from './random.ts'
import { writeRegression } from './regression.ts'
import type { Bench } from './run-batch.ts'
import { runCase } from './run-batch.ts'
import { kindOf, shrink } from './shrink.ts'
import { Steering } from './steering.ts'

const tell = (message: HuntMessage): void => {
  process.send?.(message)
}

/** One batch in so many is planned as the product plans; the others cost half. */
const customPlansEvery = 4

function maintainersOf({ maintain, through }: HuntOrder): (seed: number) => Maintainer {
  if (maintain === 'full' || through === 'plan') {
    const byPlan = maintainByPlan(maintain)
    return () => byPlan
  }
  const custom = maintainDirectly()
  const generic = maintainDirectly(draftIncremental, 'generic')
  return (seed) => (seed % customPlansEvery === 0 ? custom : generic)
}

async function hunt(order: HuntOrder): Promise<void> {
  const url = await createOracleDatabase(order.adminUrl, order.database)
  const maintainerFor = maintainersOf(order)
  const steering = new Steering(randomOf(order.seed))
  const shrunk = new Set<string>()
  for (let seed = order.seed, turn = 0; Date.now() < order.until; seed += order.stride, turn += 1) {
    const maintainer = maintainerFor(turn)
    await inSessions(url, (on) =>
      huntOnce({ bench: { on, maintainer }, order, seed, shrunk }, steering),
    )
  }
}

/**
 * In sessions of its own: PostgreSQL looks through all plans that a session has ever made, those of functions that are gone among
 * them, with each change of the catalog; after a quarter of an hour that took three quarters of the time.
 */
async function inSessions(url: string, work: (on: OracleDatabase) => Promise<void>): Promise<void> {
  const database = openDatabase(url)
  const on = await openOracleDatabase(url, database)
  try {
    await work(on)
  } finally {
    await on.closeSessions()
    await database.close()
  }
}

/** One batch. */
async function huntOnce(hunting: Hunting, steering: Steering): Promise<void> {
  const { bench, order, seed } = hunting
  const started = performance.now()
  const { construct, queries, histories } = order
  const featured = construct === undefined ? steering.next(queries, histories) : [construct]
  const made = await generateCase(bench.on, { seed, queries, histories, featured })
  const given = order.skip === undefined ? made : without(made, new RegExp(order.skip))
  const result = await runCase(bench, given)
  steering.learn(result.views)
  tell(reportOf(seed, performance.now() - started, { made, result }))
  for (const outcome of result.views) {
    const broken = outcome.outcome === 'refused' && outcome.detail.startsWith(brokenCompiler)
    if (outcome.outcome !== 'mismatch' && outcome.outcome !== 'failed' && !broken) continue
    tell(await kept({ ...hunting, given }, outcome))
  }
}

const reportOf = (
  seed: number,
  ms: number,
  {
    made,
    result,
  }: { readonly made: { readonly rejected: readonly Rejected[] }; readonly result: BatchOutcome },
): BatchReport => ({
  kind: 'batch',
  seed,
  ms,
  facts: result.facts,
  rejected: made.rejected.map(({ view, fault }) => ({ sql: view.sql, fault })),
  views: result.views.map(({ view, ...rest }) => ({
    ...rest,
    sql: view.sql,
    featured: view.featured,
    constructs: view.constructs,
    choice: view.choice,
  })),
})

/** Without the views that show what is known already. */
const without = (given: OracleCase, known: RegExp): OracleCase => {
  const hidden = given.schema.filter((sql) => sql.startsWith('create view') && known.test(sql))
  const names = hidden.map((sql) => sql.split(' ')[2] ?? '')
  return {
    ...given,
    views: given.views.filter(
      ({ sql }) => !known.test(sql) && !names.some((name) => sql.includes(`${name} `)),
    ),
  }
}

interface Hunting {
  readonly bench: Bench
  readonly order: HuntOrder
  readonly seed: number
  /** Sorts of failures that have been made small. */
  readonly shrunk: Set<string>
}

interface Found extends Hunting {
  readonly given: OracleCase
}

/** Shrinks the first failure of each sort; the others are only counted. */
async function kept(found: Found, outcome: ViewOutcome): Promise<FoundFailure> {
  const { view } = outcome
  const sort =
    outcome.outcome !== 'mismatch' ? kindOf(outcome.detail) : `mismatch of ${view.featured}`
  const told: FoundFailure = {
    kind: 'failure',
    seed: found.seed,
    view: view.name,
    sort,
    sql: view.sql,
    detail: outcome.detail,
    path: null,
  }
  if (found.shrunk.has(sort) || found.shrunk.size >= found.order.shrinksMax) return told
  found.shrunk.add(sort)
  const small = await shrink(found.bench, { given: found.given, outcome }, found.order.shrinkMs)
  const failing: { readonly given: OracleCase; readonly outcome: ViewOutcome } = small ?? {
    given: alone(found.given, view),
    outcome,
  }
  const name = `${view.featured.replaceAll(/[^a-z0-9]+/gi, '-')}-${found.seed}-${view.name.slice(2)}`
  const from = `seed ${found.seed}, view ${view.name}${small === null ? '; not seen again alone' : ''}`
  const path = await writeRegression(name, from, failing)
  const last = failing.given.views.at(-1)
  return { ...told, sql: last?.sql ?? view.sql, detail: failing.outcome.detail, path }
}

const alone = (given: OracleCase, view: CaseView): OracleCase => ({
  schema: given.schema,
  data: given.data,
  views: [
    ...given.views.filter(
      ({ name, sql }) => name !== view.name && sql !== '' && view.sql.includes(name),
    ),
    view,
  ],
  histories: given.histories,
})

process.on('message', (order: HuntOrder) => {
  hunt(order).then(
    () => process.exit(0),
    (error: unknown) => {
      tell({
        kind: 'broken',
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
      process.exit(1)
    },
  )
})
