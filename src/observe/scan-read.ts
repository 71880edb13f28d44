import { TidemarkError } from '../model/errors.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualified } from '../postgres/identifier.ts'
import { connectionLost, sqlstateOf } from '../postgres/sqlstate.ts'
import type {
  DetailFact,
  FunctionFact,
  HeadFact,
  JobFact,
  JobRunsFact,
  LogFact,
  Oid,
  ReadFact,
  ScanFacts,
  SourceFact,
  StatementFact,
  TableFact,
  TriggerFact,
  ViewFact,
} from './scan-facts.ts'
import { logColumns } from './scan-log-tables.ts'
import * as queries from './scan-queries.ts'

/** A table of up to this many pages (8 MB) is counted; a larger one is estimated. */
const countedPagesMax = 1_000

/** A log table of up to this many pages (256 MB) is read. */
const logPagesMax = 32_000

/** With more views than this only the catalog is read of those beyond. */
const looksMax = 200

/** A table of more partitions than this is sized by its statistics: each would be locked. */
const leavesMax = 200

const pageBytes = 8_192

/** More names than these are counted, not told. */
const namedMax = 5

/** What a statement reads, in words. */
type Subject =
  | 'The materialized views'
  | 'Locks'
  | 'What views read'
  | 'Sources'
  | 'Sizes of sources'
  | 'Tables'
  | 'Functions'
  | 'Triggers'
  | 'pg_cron'
  | 'Jobs of pg_cron'
  | 'Runs of pg_cron'
  | 'pg_stat_statements'
  | 'Size and query'
  | 'Rows'
  | `The planner's cost`
  | 'The log'

/**
 * Reads everything that one look needs. Must run in a transaction; takes no lock beyond ACCESS SHARE
 * and gives each back with the next statement, so that a REFRESH never waits for the whole look.
 *
 * Guarantees: what cannot be read (rights, a lock, a timeout) becomes a note, never a failure; only a
 * lost connection is thrown.
 */
export async function readFacts(
  queryable: Queryable,
  schemas: readonly string[] | null,
): Promise<ScanFacts> {
  const look = new Look(queryable)
  await look.begin()
  const head = await look.head()
  const all = await look.rows<ViewFact>('The materialized views', queries.viewsQuery)
  const views = all.filter(({ schema }) => schemas === null || schemas.includes(schema))
  const locked = new Set(
    (await look.rows<{ oid: Oid }>('Locks', queries.lockedQuery)).map(({ oid }) => oid),
  )
  const free = look.looked(look.unlocked(views, locked))
  const details = await look.details(free)
  const reads = await look.rows<ReadFact>(
    'What views read',
    queries.readsQuery(views.map(({ oid }) => oid)),
  )
  const sources = await look.rows<SourceFact>(
    'Sources',
    queries.sourcesQuery([...new Set(reads.map(({ source }) => source))]),
  )
  const tables = await look.rows<TableFact>('Tables', queries.tablesQuery)
  const jobs = await look.jobs()
  return {
    head,
    views,
    details,
    reads,
    sources,
    tables,
    jobs: jobs.jobs,
    jobRuns: jobs.runs,
    bytes: await look.bytes(sources, locked),
    functions: await look.rows<FunctionFact>('Functions', queries.functionsQuery),
    triggers: await look.triggers(),
    statements: await look.statements(),
    logs: await look.logs(tables, locked),
    managed: head.tidemark ? await look.managed() : new Set(),
    exactRows: await look.exactRows(free),
    estimatedMs: await look.estimates(free, details),
    notes: look.notes,
  }
}

/** What a statement gave, or why it gave nothing. */
type Found<Row> = { readonly rows: Row[] } | { readonly why: string }

/** A look at a database: runs statements one by one, keeps what could not be read. */
class Look {
  /** What was not seen, by what would have been said of it and why; names of one kind share a note. */
  readonly #unseen = new Map<
    string,
    { readonly what: Subject; readonly why: string; names: string[] }
  >()
  readonly #notes: string[] = []
  readonly #queryable: Queryable

  constructor(queryable: Queryable) {
    this.#queryable = queryable
  }

  /** What could not be read, in sentences. */
  get notes(): readonly string[] {
    const unseen = [...this.#unseen.values()].map(({ what, why, names }) => {
      const shown = names.slice(0, namedMax).join(', ')
      const more = names.length > namedMax ? ` and ${names.length - namedMax} more` : ''
      return `${what}${names.length === 0 ? '' : ` of ${shown}${more}`} could not be read: ${why}.`
    })
    return [...this.#notes, ...unseen]
  }

  async begin(): Promise<void> {
    await this.#queryable.query(
      `set local statement_timeout = '30s';
       set local lock_timeout = '1s';
       set local search_path = pg_catalog;
       savepoint look`,
    )
  }

  async head(): Promise<HeadFact> {
    const [head] = await this.#queryable.query<HeadFact>(queries.headQuery)
    if (head !== undefined) return head
    throw new Error('A query without a table gave no row.')
  }

  /** Rows of a statement, or why there are none. Locks of the statement before are given back. */
  async #attempt<Row extends object>(text: string): Promise<Found<Row>> {
    try {
      return { rows: await this.#queryable.query<Row>(`rollback to savepoint look; ${text}`) }
    } catch (error) {
      const state = sqlstateOf(error)
      if (state === undefined || connectionLost.includes(state)) throw error
      return { why: whyOf(error, state) }
    }
  }

  /** Rows of a statement, or none and a note. */
  async rows<Row extends object>(what: Subject, text: string, name?: string): Promise<Row[]> {
    const found = await this.#attempt<Row>(text)
    if ('rows' in found) return found.rows
    const key = `${what}: ${found.why}`
    const entry = this.#unseen.get(key) ?? { what, why: found.why, names: [] }
    if (name !== undefined) entry.names.push(name)
    this.#unseen.set(key, entry)
    return []
  }

  unlocked(views: readonly ViewFact[], locked: ReadonlySet<Oid>): readonly ViewFact[] {
    return views.filter((view) => {
      if (!locked.has(view.oid)) return true
      this.#notes.push(
        `${nameOf(view)} is locked against readers at this moment, as by a plain REFRESH: its size and query were not read.`,
      )
      return false
    })
  }

  /** Views of which more than the catalog is read. */
  looked(views: readonly ViewFact[]): readonly ViewFact[] {
    const beyond = views.length - looksMax
    if (beyond > 0) {
      this.#notes.push(
        `Sizes and costs of ${beyond} views beyond the first ${looksMax} were not read: name schemas with --schema.`,
      )
    }
    return views.slice(0, looksMax)
  }

  /** All at once, and one by one only when one of them stands in the way. */
  async details(views: readonly ViewFact[]): Promise<ReadonlyMap<Oid, DetailFact>> {
    const byOid = (rows: readonly DetailFact[]): ReadonlyMap<Oid, DetailFact> =>
      new Map(rows.map((row) => [row.oid, row]))
    const all = await this.#attempt<DetailFact>(queries.detailsQuery(views.map(({ oid }) => oid)))
    if ('rows' in all) return byOid(all.rows)
    const rows: DetailFact[] = []
    for (const view of views) {
      const text = queries.detailsQuery([view.oid])
      rows.push(...(await this.rows<DetailFact>('Size and query', text, nameOf(view))))
    }
    return byOid(rows)
  }

  async exactRows(views: readonly ViewFact[]): Promise<ReadonlyMap<Oid, number>> {
    const counts = new Map<Oid, number>()
    for (const view of views) {
      if (!view.readable || !view.populated || view.pages > countedPagesMax) continue
      const [row] = await this.rows<{ count: number }>(
        'Rows',
        `select count(*) as count from ${qualified(view.schema, view.name)}`,
        nameOf(view),
      )
      if (row !== undefined) counts.set(view.oid, row.count)
    }
    return counts
  }

  async estimates(
    views: readonly ViewFact[],
    details: ReadonlyMap<Oid, DetailFact>,
  ): Promise<ReadonlyMap<Oid, number>> {
    const estimates = new Map<Oid, number>()
    for (const view of views) {
      const definition = details.get(view.oid)?.definition
      if (definition === undefined) continue
      const [row] = await this.rows<{
        'QUERY PLAN': readonly { Plan: { 'Total Cost': number } }[]
      }>(`The planner's cost`, `explain (format json) ${definition}`, nameOf(view))
      const cost = row?.['QUERY PLAN'][0]?.Plan['Total Cost']
      // A page read in order costs 1 and takes about 10 µs, as the plan of Tidemark assumes.
      if (cost !== undefined) estimates.set(view.oid, Math.max(1, Math.round(cost / 100)))
    }
    return estimates
  }

  async bytes(
    sources: readonly SourceFact[],
    locked: ReadonlySet<Oid>,
  ): Promise<ReadonlyMap<Oid, number>> {
    const asked = sources.filter(
      ({ leaves }) => leaves.length <= leavesMax && !leaves.some((leaf) => locked.has(leaf)),
    )
    const rows = await this.rows<{ oid: Oid; bytes: number }>(
      'Sizes of sources',
      queries.bytesQuery([...new Set(asked.flatMap(({ leaves }) => leaves))]),
    )
    const byLeaf = new Map(rows.map(({ oid, bytes }) => [oid, bytes]))
    return new Map(
      sources.map(({ oid, leaves, pages }) => {
        const known = leaves.flatMap((leaf) => byLeaf.get(leaf) ?? [])
        return [oid, known.length === leaves.length ? sum(known) : pages * pageBytes]
      }),
    )
  }

  async triggers(): Promise<readonly TriggerFact[]> {
    const found = await this.#attempt<TriggerFact>(queries.triggersQuery(true))
    if ('rows' in found) return found.rows
    return this.rows<TriggerFact>('Triggers', queries.triggersQuery(false))
  }

  async jobs(): Promise<{ jobs: readonly JobFact[]; runs: ReadonlyMap<number, JobRunsFact> }> {
    const [access] = await this.rows<CronAccess>('pg_cron', queries.cronAccessQuery)
    if (access === undefined) return { jobs: [], runs: new Map() }
    if (!access.jobs) {
      this.#notes.push(
        'pg_cron is here, and the role may not read its jobs: grant usage on schema cron and select on cron.job and cron.job_run_details to it.',
      )
      return { jobs: [], runs: new Map() }
    }
    if (access.ownJobsOnly) {
      this.#notes.push(
        'Only the jobs of this role are seen: row security of pg_cron hides those of others.',
      )
    }
    if (!access.runs) {
      this.#notes.push(
        access.hasRuns
          ? 'The role may not read cron.job_run_details: when jobs ran and what failed is not known.'
          : 'This pg_cron keeps no log of its runs: when jobs ran and what failed is not known.',
      )
    }
    const jobs = await this.rows<JobFact>('Jobs of pg_cron', queries.jobsQuery)
    const runs = access.runs
      ? await this.rows<JobRunsFact>('Runs of pg_cron', queries.jobRunsQuery)
      : []
    return { jobs, runs: new Map(runs.map((row) => [row.job, row])) }
  }

  async statements(): Promise<readonly StatementFact[]> {
    const [access] = await this.rows<{ schema: string; everybodys: boolean }>(
      'pg_stat_statements',
      queries.statementsAccessQuery,
    )
    if (access === undefined) return []
    if (!access.everybodys) {
      this.#notes.push(
        'pg_stat_statements shows this role its own statements only: grant pg_read_all_stats to see all.',
      )
    }
    return this.rows<StatementFact>('pg_stat_statements', queries.statementsQuery(access.schema))
  }

  async logs(tables: readonly TableFact[], locked: ReadonlySet<Oid>): Promise<readonly LogFact[]> {
    const logs: LogFact[] = []
    for (const table of tables) {
      const columns = logColumns(table)
      if (columns === null || table.pages > logPagesMax || locked.has(table.oid)) continue
      const name = nameOf(table)
      if (!table.readable) {
        this.#notes.push(`${name} looks like a log of refreshes, and the role may not read it.`)
        continue
      }
      const from = { sql: qualified(table.schema, table.name), name }
      logs.push(...(await this.rows<LogFact>('The log', queries.logQuery(from, columns), name)))
    }
    return logs
  }

  async managed(): Promise<ReadonlySet<string>> {
    const found = await this.#attempt<{ name: string }>('select name from tidemark.view')
    if ('rows' in found) return new Set(found.rows.map(({ name }) => name))
    this.#notes.push('Tidemark is here, and the role may not read what it keeps.')
    return new Set()
  }
}

interface CronAccess {
  readonly jobs: boolean
  readonly runs: boolean
  readonly hasRuns: boolean
  readonly ownJobsOnly: boolean
}

const nameOf = ({ schema, name }: { readonly schema: string; readonly name: string }): string =>
  `${schema}.${name}`

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Why a statement failed, in words. */
function whyOf(error: unknown, state: string): string {
  switch (state) {
    case '42501':
      return 'the role lacks the privilege'
    case '55P03':
      return 'another session holds a lock, as a REFRESH or a migration does'
    case '57014':
      return 'it took longer than 30 s'
    default: {
      const cause = error instanceof TidemarkError ? error.cause : error
      return cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause)
    }
  }
}
