import type { Database } from '../../src/postgres/connection.ts'
import { identifier, qualified } from '../../src/postgres/identifier.ts'

/** A view that is maintained by Tidemark, and its twin, a materialized view of the same query. */
export interface Compared {
  readonly name: string
  readonly sql: string
  /** Columns of a unique index of the twin, which CONCURRENTLY needs. Null: it is not refreshed so. */
  readonly key: readonly string[] | null
}

/** How long the refreshes of one view took after changes of one size; milliseconds. */
export interface Times {
  readonly incremental: number[]
  readonly concurrently: number[]
  readonly plain: number[]
}

/** A row of the table that a bench of refreshes prints, in the form that `--json` promises. */
export interface Row {
  readonly view: string
  readonly changed: number
  readonly median_ms: number
  readonly concurrently_ms: number | null
  readonly plain_ms: number
  /** How many times faster than CONCURRENTLY, which lets readers read as well; than plain where there is none. */
  readonly ratio: number
}

const twinSchema = 'twin'

/** No times yet. */
export const noTimes = (): Times => ({ incremental: [], concurrently: [], plain: [] })

/** Makes the twins, each with the unique index of its key. */
export async function makeTwins(database: Database, views: readonly Compared[]): Promise<void> {
  await database.query(`create schema ${twinSchema}`)
  for (const { name, sql, key } of views) {
    const twin = qualified(twinSchema, name)
    await database.query(`create materialized view ${twin} as ${sql}`)
    if (key === null) continue
    const columns = key.map(identifier).join(', ')
    await database.query(`create unique index on ${twin} (${columns}) nulls not distinct`)
  }
}

/** Refreshes a maintained view as its engine would; how long the whole call took, commits included. */
export const refreshIncrementally = (database: Database, { name }: Compared): Promise<number> =>
  timed(() => database.query('call tidemark.run($1, $2, $3)', [`public.${name}`, 'event', 'bench']))

/** Refreshes a twin by REFRESH MATERIALIZED VIEW CONCURRENTLY. */
export const refreshConcurrently = (database: Database, { name }: Compared): Promise<number> =>
  timed(() =>
    database.query(`refresh materialized view concurrently ${qualified(twinSchema, name)}`),
  )

/** Refreshes a twin by REFRESH MATERIALIZED VIEW. */
export const refreshPlain = (database: Database, { name }: Compared): Promise<number> =>
  timed(() => database.query(`refresh materialized view ${qualified(twinSchema, name)}`))

/** Throws unless view and twin are the same bag of rows. For when the twin has just been refreshed. */
export async function expectEqual(database: Database, { name }: Compared): Promise<void> {
  const view = qualified('public', name)
  const twin = qualified(twinSchema, name)
  const [row] = await database.query<{ rows: number }>(
    `select count(*)::int as rows from (
       (table ${view} except all table ${twin}) union all (table ${twin} except all table ${view})) d`,
  )
  if (row?.rows !== 0) throw new Error(`${name}: ${row?.rows ?? '?'} rows differ from its query`)
}

/** How a view was refreshed by this bench: `incremental`, `diff` (in full), `unchanged`; each once. */
export async function methodsOf(database: Database, view: string): Promise<string> {
  const rows = await database.query<{ method: string }>(
    `select distinct case status when 'skipped' then 'unchanged' else method end as method
     from tidemark.runs where view_name = $1 and triggered_by = 'bench' order by 1`,
    [`public.${view}`],
  )
  return rows.map(({ method }) => method).join(', ')
}

/** The middle of numbers; 0 of none. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}

/** The row of a view from its times. */
export function rowOf(view: string, changed: number, times: Times): Row {
  const own = median(times.incremental)
  const plain = median(times.plain)
  const concurrently = times.concurrently.length === 0 ? null : median(times.concurrently)
  return {
    view,
    changed,
    median_ms: Number(own.toFixed(2)),
    concurrently_ms: concurrently === null ? null : Number(concurrently.toFixed(1)),
    plain_ms: Number(plain.toFixed(1)),
    ratio: Number(((concurrently ?? plain) / own).toFixed(2)),
  }
}

/** A row as a line for people. */
export const lineOf = ({ view, changed, ...times }: Row): string =>
  [
    view.padEnd(28),
    String(changed).padStart(8),
    times.median_ms.toFixed(1).padStart(10),
    (times.concurrently_ms?.toFixed(0) ?? '').padStart(13),
    times.plain_ms.toFixed(0).padStart(9),
    `${times.ratio.toFixed(1)} x`.padStart(10),
    `${(times.plain_ms / times.median_ms).toFixed(1)} x plain`.padStart(15),
  ].join(' ')

/** The line above such lines. */
export const headLine =
  'view                          changed   ms median  concurrently    plain      ratio'

/** The geometric mean. */
export const geometricMean = (numbers: readonly number[]): number =>
  Math.exp(numbers.reduce((sum, number) => sum + Math.log(number), 0) / numbers.length)

/** How long a step took, in milliseconds. */
export async function timed(step: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await step()
  return performance.now() - begun
}
