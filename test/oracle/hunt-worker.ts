/** One of the processes of a hunt: runs batch after batch until it is told to end. */
import type { CaseView, OracleCase, ViewOutcome } from './case.ts'
import { generateCase } from './generate-case.ts'
import type { FoundFailure, HuntMessage, HuntOrder } from './hunt-messages.ts'
import { maintainByPlan } from './maintain-by-plan.ts'
import { createOracleDatabase } from './oracle-database.ts'
import { writeRegression } from './regression.ts'
import type { Bench } from './run-batch.ts'
import { runCase } from './run-batch.ts'
import { kindOf, shrink } from './shrink.ts'

const tell = (message: HuntMessage): void => {
  process.send?.(message)
}

async function hunt(order: HuntOrder): Promise<void> {
  const on = await createOracleDatabase(order.adminUrl, order.database)
  const bench: Bench = { on, maintainer: maintainByPlan(order.maintain) }
  const shrunk = new Set<string>()
  for (let seed = order.seed; Date.now() < order.until; seed += order.stride) {
    const started = performance.now()
    const given = await generateCase(on, { ...order, seed })
    const result = await runCase(bench, given)
    tell({
      kind: 'batch',
      seed,
      ms: performance.now() - started,
      written: result.written,
      failed: result.failed,
      rejected: given.rejected.map(({ view, fault }) => ({ sql: view.sql, fault })),
      views: result.views.map(({ view, ...rest }) => ({
        ...rest,
        featured: view.featured,
        constructs: view.constructs,
        choice: view.choice,
      })),
    })
    for (const outcome of result.views) {
      if (outcome.outcome !== 'mismatch' && outcome.outcome !== 'failed') continue
      tell(await kept({ bench, order, seed, given, shrunk }, outcome))
    }
  }
  await on.close()
}

interface Found {
  readonly bench: Bench
  readonly order: HuntOrder
  readonly seed: number
  readonly given: OracleCase
  readonly shrunk: Set<string>
}

/** Shrinks the first failure of each sort; the others are only counted. */
async function kept(found: Found, outcome: ViewOutcome): Promise<FoundFailure> {
  const { view } = outcome
  const sort =
    outcome.outcome === 'failed' ? kindOf(outcome.detail) : `mismatch of ${view.featured}`
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
