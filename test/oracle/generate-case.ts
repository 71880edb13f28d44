import type { CaseView, OracleCase } from './case.ts'
import { generateHistory } from './generate-history.ts'
import type { GeneratedQuery } from './generate-query.ts'
import { featureNames, generateQuery, rotation } from './generate-query.ts'
import { generateSchema } from './generate-schema.ts'
import type { OracleDatabase } from './oracle-database.ts'
import type { Readable } from './query-writer.ts'
import { randomOf } from './random.ts'
import { buildTables, usableViews } from './run-batch.ts'

export interface CaseOptions {
  readonly seed: number
  readonly queries: number
  readonly histories: number
  /** Every query shows this construct. */
  readonly construct?: string
  /** Some queries read views that are maintained themselves. Default true. */
  readonly overViews?: boolean
}

const statementsMin = 24
const ordinaryViews = 2
/** Coprime to the length of the rotation, so that a batch is a mixture and every turn comes. */
const stride = 67

/**
 * One schema, its queries and one history. The server is asked which queries it takes: what it does not
 * take is left out, so that a case that is generated is a case that runs.
 */
export async function generateCase(
  on: OracleDatabase,
  options: CaseOptions,
): Promise<OracleCase & { readonly rejected: readonly Rejected[] }> {
  const random = randomOf(options.seed)
  const schema = generateSchema(random.fork())
  const readables: Readable[] = []
  const statements = [...schema.statements]
  const rejected: Rejected[] = []
  await buildTables(on, { schema: statements, data: schema.data })
  for (let at = 1; at <= ordinaryViews; at += 1) {
    const query = generateQuery(
      { random: random.fork(), schema, readables },
      random.pick(featureNames),
    )
    if (query.choice) continue
    const view = viewOf(`o.u${at}`, query)
    const [fault] = await usableViews(on, [view])
    if (fault !== null) {
      rejected.push({ view, fault: fault ?? '' })
      continue
    }
    const statement = `create view ${view.name} as ${view.sql}`
    await on.database.query(statement)
    statements.push(statement)
    readables.push({
      name: view.name,
      columns: query.columns,
      rows: 15,
      construct: 'ordinary view',
    })
  }
  const offset = random.below(rotation.length)
  const made: { readonly view: CaseView; readonly query: GeneratedQuery }[] = []
  for (let at = 0; at < options.queries; at += 1) {
    const featured = options.construct ?? rotation[(offset + at * stride) % rotation.length] ?? ''
    const inputs = options.overViews !== false && at * 2 >= options.queries ? made.slice(0, 6) : []
    const maintained = inputs
      .filter(({ query }) => !query.choice)
      .map(({ view, query }): Readable => ({
        name: view.name,
        columns: query.columns,
        rows: 15,
        construct: 'view over view',
      }))
    const query = generateQuery(
      { random: random.fork(), schema, readables: [...readables, ...maintained] },
      featured,
    )
    made.push({ view: viewOf(`o.v${at + 1}`, query), query })
  }
  const histories = Array.from({ length: options.histories }, (_, at) =>
    generateHistory({
      random: random.fork(),
      schema,
      serverVersion: on.serverVersion,
      statementsMin,
      restoring: at > 0,
    }),
  )
  const all = made.map(({ view }) => view)
  const faults = await usableViews(on, all)
  const views = all.filter((_, at) => faults[at] === null)
  for (const [at, view] of all.entries()) {
    const fault = faults[at] ?? null
    if (fault !== null) rejected.push({ view, fault })
  }
  return { schema: statements, data: schema.data, views, histories, rejected }
}

/** A query that the server does not take, and what it says. */
export interface Rejected {
  readonly view: CaseView
  readonly fault: string
}

const viewOf = (name: string, { sql, choice, featured, constructs }: GeneratedQuery): CaseView => ({
  name,
  sql,
  choice,
  featured,
  constructs: [...constructs],
})
