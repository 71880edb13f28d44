import type { CaseView, OracleCase } from './case.ts'
import { historyStatementsMin } from './case.ts'
import { constructs } from './constructs.ts'
import { generateHistory } from './generate-history.ts'
import type { GeneratedQuery } from './generate-query.ts'
import { generateQuery } from './generate-query.ts'
import type { Schema } from './generate-schema.ts'
import { generateSchema } from './generate-schema.ts'
import type { OracleDatabase } from './oracle-database.ts'
import type { Readable } from './query-writer.ts'
import type { Random } from './random.ts'
import { randomOf } from './random.ts'
import { buildTables, usableViews } from './run-batch.ts'

export interface CaseOptions {
  readonly seed: number
  readonly queries: number
  readonly histories: number
  /** What each query is to show, one after the other and again from the first; else everything in turn. */
  readonly featured?: readonly string[]
  /** Some queries read views that are maintained themselves. Default true. */
  readonly overViews?: boolean
}

/** Some of them fail. */
const statementsMin = historyStatementsMin + 6
const ordinaryViewsMax = 3
const materializedShare = 0.3
/** Coprime to the number of constructs, so that a batch is a mixture and every turn comes. */
const stride = 67

/**
 * One schema, its queries and their histories. The server is asked which queries it takes: what it does not
 * take is left out, so that a case that is generated is a case that runs.
 */
export async function generateCase(
  on: OracleDatabase,
  options: CaseOptions,
): Promise<OracleCase & { readonly rejected: readonly Rejected[] }> {
  const random = randomOf(options.seed)
  const schema = generateSchema(random.fork())
  await buildTables(on, { schema: schema.statements, data: schema.data })
  const given = await generateInputs(on, { random, schema, options })
  const made = generateQueries(random, { schema, options, readables: given.readables })
  const histories = Array.from({ length: options.histories }, (_, at) =>
    generateHistory({
      random: random.fork(),
      schema,
      materialized: given.materialized,
      serverVersion: on.serverVersion,
      statementsMin,
      restoring: at > 0,
    }),
  )
  const faults = await usableViews(on, made)
  const rejected = made.flatMap((view, at): Rejected[] => {
    const fault = faults[at] ?? null
    return fault === null ? [] : [{ view, fault }]
  })
  return {
    schema: [...schema.statements, ...given.statements],
    data: schema.data,
    views: made.filter((_, at) => faults[at] === null),
    histories,
    rejected: [...given.rejected, ...rejected],
  }
}

interface Inputs {
  readonly readables: readonly Readable[]
  readonly statements: readonly string[]
  readonly rejected: readonly Rejected[]
  /** Materialized views, which histories refresh. */
  readonly materialized: readonly string[]
}

/** Ordinary views, of one another too, and now and then a materialized one. */
async function generateInputs(
  on: OracleDatabase,
  {
    random,
    schema,
    options,
  }: { readonly random: Random; readonly schema: Schema; readonly options: CaseOptions },
): Promise<Inputs> {
  const readables: Readable[] = []
  const statements: string[] = []
  const rejected: Rejected[] = []
  const make = async (kind: 'view' | 'materialized view', name: string): Promise<void> => {
    const featured =
      readables.length > 0 && random.chance(0.7) ? 'ordinary view' : random.pick(constructs)
    const query = generateQuery({ random: random.fork(), schema, readables }, featured, [])
    if (query.choice) return
    const view = viewOf(name, query)
    const [fault] = await usableViews(on, [view])
    if (fault !== null) {
      rejected.push({ view, fault: fault ?? '' })
      return
    }
    const statement = `create ${kind} ${view.name} as ${view.sql}`
    await on.database.query(statement)
    statements.push(statement)
    // Who reads an ordinary view shows whatever it holds; a materialized one is a table.
    const nested = query.constructs.includes('ordinary view') ? ['nested ordinary view'] : []
    readables.push({
      name: view.name,
      columns: query.columns,
      rows: 15,
      constructs: kind === 'view' ? ['ordinary view', ...nested, ...query.constructs] : [kind],
    })
  }
  for (let at = 1; at <= ordinaryViewsMax; at += 1) await make('view', `o.u${at}`)
  const isWanted = options.featured?.includes('materialized view') === true
  if (!isWanted && !random.chance(materializedShare))
    return { readables, statements, rejected, materialized: [] }
  await make('materialized view', 'o.m1')
  const made = readables.find(({ name }) => name === 'o.m1')
  if (made !== undefined) statements.push(...(await uniqueIndexes(on, made)))
  return { readables, statements, rejected, materialized: made === undefined ? [] : [made.name] }
}

/** What REFRESH CONCURRENTLY needs, where the rows are unique as they stand. */
async function uniqueIndexes(
  on: OracleDatabase,
  { name, columns }: Readable,
): Promise<readonly string[]> {
  const sql = `create unique index on ${name} (${columns.map((column) => column.name).join(', ')})`
  return on.database.query(sql).then(
    () => [sql],
    () => [],
  )
}

/** The maintained views that others may read: the first ones, so that inputs come first. */
const inputsMax = 6

function generateQueries(
  random: Random,
  given: {
    readonly schema: Schema
    readonly options: CaseOptions
    readonly readables: readonly Readable[]
  },
): readonly CaseView[] {
  const { schema, options, readables } = given
  const wanted = options.featured ?? constructs
  const offset = options.featured === undefined ? random.below(constructs.length) : 0
  const made: CaseView[] = []
  const maintained: Readable[] = []
  for (let at = 0; at < options.queries; at += 1) {
    const step = options.featured === undefined ? stride : 1
    const featured = wanted[(offset + at * step) % wanted.length] ?? ''
    const late = featured === 'view over view' || at * 2 >= options.queries
    const readsViews = late && options.overViews !== false
    const query = generateQuery(
      {
        random: random.fork(),
        schema,
        readables: readsViews ? [...readables, ...maintained] : readables,
      },
      featured,
      options.featured ?? [],
    )
    const view = viewOf(`o.v${at + 1}`, query)
    made.push(view)
    if (query.choice || maintained.length >= inputsMax) continue
    maintained.push({
      name: view.name,
      columns: query.columns,
      rows: 15,
      constructs: ['view over view'],
    })
  }
  return made
}

/** A query that the server does not take, and what it says. */
export interface Rejected {
  readonly view: CaseView
  readonly fault: string
}

const viewOf = (name: string, query: GeneratedQuery): CaseView => {
  const { sql, choice, featured } = query
  return { name, sql, choice, featured, constructs: [...query.constructs] }
}
