import { pause } from '../base/clock.ts'
import type { ErrorCode, Fault } from '../model/errors.ts'
import { TidemarkError, faultIn } from '../model/errors.ts'
import { partsOf } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import { askedIndexName } from '../model/names.ts'
import type { Database } from '../postgres/connection.ts'
import { sqlstateOf } from '../postgres/sqlstate.ts'
import { isTriedAgain, lockTimeoutMs, pauseAfter } from './apply.ts'
import { lookAtTable } from './index-look.ts'
import type { IndexStatement, IndexedTable } from './index-statements.ts'
import { indexStatements } from './index-statements.ts'

/** What became of an index that was asked for. */
export interface IndexOutcome {
  readonly table: RelationName
  readonly columns: readonly string[]
  /** The name that it has where it was made, in the schema of its table. */
  readonly name: string
  /** `present`: one of this definition was there, whatever it is called. `stopped`: not made, or not to its end. */
  readonly outcome: 'made' | 'present' | 'failed' | 'stopped'
  readonly ms: number
  readonly error: Fault | null
}

/** What is told while an index is made. */
export interface IndexProgress {
  readonly name: string
  readonly table: RelationName
  /** From 1, of how many indexes. */
  readonly number: number
  readonly count: number
  readonly statement: string
  /** As PostgreSQL calls it; null where it tells none. */
  readonly phase: string | null
  /** Of what the phase has to do, 0 to 1. */
  readonly share: number | null
  /** The backend whose transaction or lock is waited for. */
  readonly waitsFor: number | null
}

/** Choices of {@link createIndexes}. */
export interface CreateIndexesOptions {
  readonly onProgress?: (progress: IndexProgress) => void
  readonly onOutcome?: (outcome: IndexOutcome) => void
  readonly signal?: AbortSignal
}

/** Any fixed number: an index that another maker is at looks like one that was left half-made. */
const making = 7_433_627_103

/**
 * Makes proposed indexes on users' tables, one after another, outside of any transaction.
 *
 * Guarantees: writers wait behind none for longer than 5 s at a time; what exists is not made again; one that cannot be
 * made keeps no other from being made, and its outcome says why; what was broken off is finished by the next call.
 * Throws `TIDEMARK_LOCK_TIMEOUT` while somebody else makes indexes in this database by this function.
 */
export async function createIndexes(
  database: Database,
  proposals: readonly IndexProposal[],
  options: CreateIndexesOptions = {},
): Promise<readonly IndexOutcome[]> {
  if (proposals.length === 0) return []
  // Held by a transaction that holds no snapshot, for which CREATE INDEX CONCURRENTLY would wait; a lock of the session
  // would stay behind in the pool of a pooler.
  return database.transaction(async (holder) => {
    await holder.query('set local idle_in_transaction_session_timeout = 0')
    const [lock] = await holder.query<{ free: boolean }>(
      // With a value beside the text it would leave a portal open, and with it a snapshot.
      `select pg_try_advisory_xact_lock(${String(making)}) as free`,
    )
    if (lock?.free !== true) {
      throw new TidemarkError({
        code: 'TIDEMARK_LOCK_TIMEOUT',
        what: 'Somebody else makes indexes in this database at this moment',
        mend: "Wait for it to end, then run 'tidemark apply --create-indexes' again.",
      })
    }
    const outcomes: IndexOutcome[] = []
    for (const [at, proposal] of proposals.entries()) {
      const place = { proposal, number: at + 1, count: proposals.length }
      const outcome = await outcomeOf(database, place, options)
      options.onOutcome?.(outcome)
      outcomes.push(outcome)
    }
    return outcomes
  })
}

/** An index in the making. */
interface Wanted {
  readonly proposal: IndexProposal
  readonly number: number
  readonly count: number
}

async function outcomeOf(
  database: Database,
  wanted: Wanted,
  options: CreateIndexesOptions,
): Promise<IndexOutcome> {
  const { table, columns } = wanted.proposal
  const begun = performance.now()
  const ended = (outcome: IndexOutcome['outcome'], error: Fault | null = null): IndexOutcome => ({
    table,
    columns,
    name: nameOf(wanted.proposal),
    outcome,
    ms: Math.round(performance.now() - begun),
    error,
  })
  try {
    return ended(await makeIndex(database, wanted, options))
  } catch (error) {
    return options.signal?.aborted === true
      ? ended('stopped')
      : ended('failed', faultOfIndex(error, wanted.proposal))
  }
}

const nameOf = ({ table, columns }: IndexProposal): string =>
  askedIndexName(partsOf(table).name, columns)

/** Looks afresh after a race was lost: what was left half-made is then dropped first. */
async function makeIndex(
  database: Database,
  wanted: Wanted,
  options: CreateIndexesOptions,
): Promise<'made' | 'present'> {
  const signal = options.signal ?? new AbortController().signal
  const { columns } = wanted.proposal
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted()
    try {
      const tables = await database.transaction((each) => lookAtTable(each, wanted.proposal))
      const statements = indexStatements(tables, columns)
      if (statements.length > 0) refuseUnmakeable(tables)
      for (const statement of statements) {
        signal.throwIfAborted()
        await runStatement(database, { ...wanted, statement }, options)
      }
      return attempt === 1 && statements.length === 0 ? 'present' : 'made'
    } catch (error) {
      if (!isTriedAgain(error, attempt) || signal.aborted) throw error
      await pauseAfter(attempt, signal)
    }
  }
}

function refuseUnmakeable(tables: readonly IndexedTable[]): void {
  const foreign = tables.find(({ kind }) => kind === 'foreign')
  if (foreign !== undefined) {
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNSUPPORTED',
      what: `${foreign.schema}.${foreign.name} is a foreign table, and has no index here`,
      mend: 'Index the other partitions by hand, or detach it.',
    })
  }
  const half = tables.flatMap(({ indexes }) => indexes).find(({ beingMade }) => beingMade)
  if (half === undefined) return
  throw new TidemarkError({
    code: 'TIDEMARK_LOCK_TIMEOUT',
    what: `${half.schema}.${half.name} is being made by somebody else at this moment`,
    mend: 'Wait for it to end (pg_stat_progress_create_index tells how far it is).',
  })
}

interface Running extends Wanted {
  readonly statement: IndexStatement
}

async function runStatement(
  database: Database,
  running: Running,
  options: CreateIndexesOptions,
): Promise<void> {
  const { sql, concurrently } = running.statement
  tell(running, options, { phase: null, share: null, waitsFor: null })
  if (!concurrently) {
    await database.transaction(async (transaction) => {
      await transaction.query(`set local lock_timeout = ${String(lockTimeoutMs)}`)
      await transaction.query(sql)
    })
    return
  }
  const over = new AbortController()
  const watching = watch(database, running, { ...options, over: over.signal })
  try {
    await database.query(sql)
  } finally {
    over.abort()
    await watching
  }
}

type Seen = Pick<IndexProgress, 'phase' | 'share' | 'waitsFor'>

function tell(
  { proposal, number, count, statement }: Running,
  { onProgress }: CreateIndexesOptions,
  seen: Seen,
): void {
  const name = nameOf(proposal)
  onProgress?.({ name, table: proposal.table, number, count, statement: statement.sql, ...seen })
}

const lookEveryMs = 250

/** Tells how a statement goes until it is over, and ends it when somebody says stop. */
async function watch(
  database: Database,
  running: Running,
  options: CreateIndexesOptions & { readonly over: AbortSignal },
): Promise<void> {
  const { over, signal } = options
  for (;;) {
    await pause(lookEveryMs, over)
    if (over.aborted) return
    try {
      const stop = signal?.aborted === true
      const [seen] = await database.query<Seen>(stop ? stopQuery : progressQuery, [
        running.statement.sql,
      ])
      if (!stop && seen !== undefined) tell(running, options, seen)
    } catch {
      // The statement itself says what is wrong with the connection.
    }
  }
}

/** The backend that runs the statement: a pooler gives numbers of its own, and longer texts are cut. */
const runs = `a.datname = current_database() and a.usename = session_user and a.state = 'active'
  and a.pid <> pg_backend_pid() and length(a.query) > 20 and starts_with($1::text, a.query)`

const stopQuery = `select pg_cancel_backend(a.pid) from pg_stat_activity a where ${runs}`

const progressQuery = `
select p.phase,
  case when p.tuples_total > 0 then p.tuples_done::float8 / p.tuples_total
       when p.blocks_total > 0 then p.blocks_done::float8 / p.blocks_total end as share,
  coalesce(nullif(p.current_locker_pid, 0)::int, (pg_blocking_pids(a.pid))[1]) as "waitsFor"
from pg_stat_activity a
left join pg_stat_progress_create_index p on p.pid = a.pid
where ${runs}`

/** Codes and mends of what PostgreSQL says of an index, by SQLSTATE. */
const faults: Readonly<Record<string, { readonly code: ErrorCode; readonly mend: string }>> = {
  '42501': {
    code: 'TIDEMARK_PRIVILEGE_MISSING',
    mend: "Run 'tidemark apply --create-indexes' as the owner of the table, who also needs CREATE on its schema, or have the owner run:",
  },
  '42P07': {
    code: 'TIDEMARK_NAME_TAKEN',
    mend: 'Rename or drop what has the name, or make the index by hand:',
  },
  '57014': {
    code: 'TIDEMARK_APPLY_FAILED',
    mend: 'Raise statement_timeout for this role, or run in a session without one:',
  },
}

function faultOfIndex(error: unknown, proposal: IndexProposal): Fault {
  const known = faults[sqlstateOf(error) ?? '']
  const told = faultIn(error)
  const cause = error instanceof Error ? error : undefined
  const why = told?.what ?? cause?.message ?? String(error)
  return {
    code: known?.code ?? told?.code ?? 'TIDEMARK_APPLY_FAILED',
    what: `The index on ${proposal.table} (${proposal.columns.join(', ')}) was not made: ${why}`,
    mend:
      known === undefined
        ? (told?.mend ?? "Mend the cause, then run 'tidemark apply --create-indexes' again.")
        : `${known.mend} ${proposal.sql}`,
  }
}
