import { backoffMs } from '../base/backoff.ts'
import { pause } from '../base/clock.ts'
import type { ErrorCode } from '../model/errors.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Plan, PlanStep } from '../model/plan.ts'
import { stepSigns } from '../model/plan.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { connectionLost, retrySoon, sqlstateOf } from '../postgres/sqlstate.ts'

/** What apply tells while it works; `failed` only before it throws. */
export interface ApplyProgress {
  readonly kind: 'begun' | 'done' | 'waiting' | 'failed'
  readonly step: PlanStep
  /** From 1. */
  readonly number: number
  readonly count: number
  /** What the step took, or how long it has been tried. */
  readonly ms: number
}

/** Choices of {@link applyPlan}. */
export interface ApplyOptions {
  /** Also do what drops or rewrites something of the user's. */
  readonly allowDestructive?: boolean
  /** Digest of the catalog as it is now; the plan is refused when it is another one. */
  readonly catalogNow?: () => Promise<string>
  readonly onProgress?: (progress: ApplyProgress) => void
  readonly signal?: AbortSignal
}

/** Any fixed number: two who apply to one database do so one after the other. */
const applying = 7_433_627_102

const applyWaitMs = 60_000
/** How long a lock that writers wait behind is asked for at a time. */
export const lockTimeoutMs: number = 5_000
const attemptsMax = 8
/** Whether a transaction whose connection was lost has committed is not known; planning again tells. */
const lostRaces = retrySoon.filter((state) => !connectionLost.includes(state))
const retry = { baseMs: 500, maxMs: 5_000 }

/** Whether what failed so has lost a race, and is to be tried again after this attempt, from 1. */
export function isTriedAgain(cause: unknown, attempt: number): boolean {
  const state = sqlstateOf(cause)
  return state !== undefined && lostRaces.includes(state) && attempt < attemptsMax
}

/** Resolves when it is time to try again, or when somebody says stop. */
export const pauseAfter = (attempt: number, signal: AbortSignal): Promise<void> =>
  pause(backoffMs(retry, attempt, Math.random), signal)

/**
 * Runs a plan.
 *
 * Guarantees: steps run in order; those between two of a transaction of their own run in one
 * transaction; a step that fails leaves nothing of its transaction, and what is before it stays, with
 * a catalogue that says so, so that plan and apply again finish the rest. Locks on users' tables are
 * waited for 5 s at a time, then let go and asked for again, so that nobody queues behind them for long.
 * Two applies of one database run one after the other, also through a pooler in transaction mode.
 * Throws `TIDEMARK_DESTRUCTIVE_REFUSED`, `TIDEMARK_PLAN_STALE`, `TIDEMARK_LOCK_TIMEOUT` or
 * `TIDEMARK_APPLY_FAILED`.
 */
export async function applyPlan(
  database: Database,
  plan: Plan,
  options: ApplyOptions = {},
): Promise<void> {
  refuseDestructive(plan, options)
  const steps = plan.steps.filter(({ kind }) => kind !== 'warn')
  if (steps.length === 0) return
  await alone(database, async () => {
    if (options.catalogNow !== undefined && (await options.catalogNow()) !== plan.catalog) {
      throw new TidemarkError({
        code: 'TIDEMARK_PLAN_STALE',
        what: 'The database has changed since the plan was made',
        mend: "Make a new plan with 'tidemark plan', look at it, and apply that one.",
      })
    }
    let number = 0
    for (const batch of batchesOf(steps)) {
      await runBatch(database, { batch, before: number, count: steps.length }, options)
      number += batch.length
    }
  })
}

function refuseDestructive(plan: Plan, { allowDestructive = false }: ApplyOptions): void {
  const destructive = plan.steps.filter((step) => step.destructive)
  if (allowDestructive || destructive.length === 0) return
  throw new TidemarkError({
    code: 'TIDEMARK_DESTRUCTIVE_REFUSED',
    what: `The plan would take something away: ${destructive.map(titleOf).join('; ')}`,
    mend: 'Look at the plan, then add --allow-destructive, or declare what is missing.',
  })
}

/** `- view public.sales`: a step in a few words. */
export const titleOf = ({ kind, noun, name }: PlanStep): string =>
  `${stepSigns[kind]} ${noun} ${name}`

/**
 * Holds the lock of apply in a transaction of its own, which holds no snapshot, reads and writes nothing.
 * A lock of the session would stay behind in the pool of a pooler.
 */
async function alone(database: Database, body: () => Promise<void>): Promise<void> {
  await database.transaction(async (holder) => {
    await holder.query('set local idle_in_transaction_session_timeout = 0')
    await holder.query(`set local lock_timeout = ${applyWaitMs}`)
    try {
      await holder.query('select pg_advisory_xact_lock($1)', [applying])
    } catch (error) {
      if (sqlstateOf(error) !== '55P03') throw error
      throw new TidemarkError({
        code: 'TIDEMARK_LOCK_TIMEOUT',
        what: 'Somebody else applies a plan to this database, for more than a minute now',
        mend: 'Wait for it to end, then plan again.',
        cause: error,
      })
    }
    await body()
  })
}

/** Steps by the transaction that they run in. */
export function batchesOf(steps: readonly PlanStep[]): readonly (readonly PlanStep[])[] {
  const batches: PlanStep[][] = []
  let open: PlanStep[] | undefined
  for (const step of steps) {
    if (step.ownTransaction) {
      batches.push([step])
      open = undefined
    } else if (open === undefined) batches.push((open = [step]))
    else open.push(step)
  }
  return batches
}

interface Batch {
  readonly batch: readonly PlanStep[]
  /** How many steps came before. */
  readonly before: number
  readonly count: number
}

/** A step that failed, with the statement. */
class StepFailure extends Error {
  readonly at: number
  readonly statement: string

  constructor(at: number, statement: string, cause: unknown) {
    super('a step of a plan failed', { cause })
    this.at = at
    this.statement = statement
  }
}

async function runBatch(database: Database, work: Batch, options: ApplyOptions): Promise<void> {
  const signal = options.signal ?? new AbortController().signal
  const begun = performance.now()
  for (let attempt = 1; ; attempt += 1) {
    try {
      await database.transaction((transaction) => runSteps(transaction, work, options))
      return
    } catch (error) {
      const failure = error instanceof StepFailure ? error : new StepFailure(0, 'commit', error)
      const step = work.batch[failure.at]
      const again = isTriedAgain(failure.cause, attempt) && !signal.aborted
      if (step !== undefined) {
        options.onProgress?.({
          kind: again ? 'waiting' : 'failed',
          step,
          number: work.before + failure.at + 1,
          count: work.count,
          ms: performance.now() - begun,
        })
      }
      if (!again) throw faultOfStep(failure, step, work)
      await pauseAfter(attempt, signal)
    }
  }
}

async function runSteps(
  transaction: Queryable,
  { batch, before, count }: Batch,
  { onProgress, signal }: ApplyOptions,
): Promise<void> {
  await transaction.query(`set local lock_timeout = ${lockTimeoutMs}`)
  for (const [i, step] of batch.entries()) {
    signal?.throwIfAborted()
    const begun = performance.now()
    const tell = (kind: 'begun' | 'done'): void =>
      onProgress?.({ kind, step, number: before + i + 1, count, ms: performance.now() - begun })
    tell('begun')
    for (const statement of step.sql) {
      try {
        await transaction.query(statement)
      } catch (error) {
        throw new StepFailure(i, statement, error)
      }
    }
    tell('done')
  }
}

/** Faults that say more than that a step failed; they keep their code. */
const telling: readonly ErrorCode[] = [
  'TIDEMARK_PRIVILEGE_MISSING',
  'TIDEMARK_LOCK_TIMEOUT',
  'TIDEMARK_DATABASE_UNREACHABLE',
  'TIDEMARK_DATABASE_REFUSED',
  'TIDEMARK_STANDBY',
]

function faultOfStep(failure: StepFailure, step: PlanStep | undefined, work: Batch): unknown {
  const { cause } = failure
  // Somebody who listens stopped it; that is no fault of the step.
  if (failure.statement === 'commit' && sqlstateOf(cause) === undefined) return cause
  const message = cause instanceof TidemarkError ? cause.what : textOf(cause)
  const number = work.before + failure.at + 1
  const title = step === undefined ? '' : `, ${titleOf(step)},`
  const known = cause instanceof TidemarkError && telling.includes(cause.code) ? cause : undefined
  const first = failure.statement.split('\n')[0]?.slice(0, 120) ?? ''
  return new TidemarkError({
    code: known?.code ?? 'TIDEMARK_APPLY_FAILED',
    what: `Step ${number} of ${work.count}${title} failed: ${message}, in: ${first}`,
    mend: `${known?.mend ?? hintOf(cause) ?? 'Mend the cause.'} Nothing of this step remains; 'tidemark apply' goes on from here.`,
    cause,
  })
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function hintOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const detail: unknown = Reflect.get(error, 'detail')
  const hint: unknown = Reflect.get(error, 'hint')
  const words = [detail, hint].filter((word): word is string => typeof word === 'string')
  return words.length === 0 ? undefined : words.join(' ')
}
