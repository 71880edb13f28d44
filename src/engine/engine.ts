import { Bell } from '../base/bell.ts'
import { backoffMs } from '../base/backoff.ts'
import { pause } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import type { Lane } from '../model/declaration.ts'
import { openDatabase } from '../postgres/connection.ts'
import type { Database } from '../postgres/connection.ts'
import { clean, stopOverdue, tick } from '../queue/tick.ts'
import type { TickOutcome } from '../queue/tick.ts'
import { work } from '../queue/work.ts'
import type { WorkDone } from '../queue/work.ts'
import { extendSlots } from './extend-slots.ts'

/** How an engine runs. */
export interface EngineOptions {
  readonly databaseUrl: string
  /** Refreshes at the same time, beside one that is kept free for the critical lane. */
  readonly workers: number
  /** Time between two looks. */
  readonly pollMs: number
  /** Told in log lines and by tests. */
  readonly name: string
  readonly onEvent: (event: EngineEvent) => void
}

/** What an engine has to say while it runs. */
export type EngineEvent =
  | { readonly kind: 'started'; readonly name: string }
  | { readonly kind: 'ticked'; readonly outcome: TickOutcome }
  | { readonly kind: 'worked'; readonly done: readonly WorkDone[] }
  | { readonly kind: 'problem'; readonly problem: string }
  | { readonly kind: 'lost'; readonly loop: string; readonly error: unknown }
  | { readonly kind: 'stopped' }

const cleanEveryMs = 5_000
const slotsEveryMs = 15 * 60_000
const watchEveryMs = 1_000
const retry = { baseMs: 100, maxMs: 5_000 }

/**
 * Keeps views within their targets until the signal fires: decides what is due, works it off, cleans
 * up, and computes slots ahead.
 *
 * Everything that matters is in the database: an engine may be killed at any instant, any number of
 * engines may run at once, and one that cannot reach the database tries again until it can.
 * Ends when all that it began has ended.
 */
export async function runEngine(options: EngineOptions, signal: AbortSignal): Promise<void> {
  const database = openDatabase(options.databaseUrl, { connectionsMax: options.workers + 4 })
  const bell = new Bell()
  const critical = new Bell()
  const bells = Array.from({ length: options.workers }, () => new Bell())
  const context: LoopContext = { database, options, signal }
  options.onEvent({ kind: 'started', name: options.name })
  const ringAll = (): void => {
    for (const worker of [critical, ...bells]) worker.ring()
  }
  try {
    await Promise.all([
      loop(context, { name: 'tick', everyMs: options.pollMs, bell }, async () => {
        const outcome = await tick(database)
        options.onEvent({ kind: 'ticked', outcome })
        if (outcome.problem !== null) options.onEvent({ kind: 'problem', problem: outcome.problem })
        if (outcome.pending > 0) ringAll()
      }),
      ...bells.map((own, index) =>
        workerLoop(context, {
          name: `worker ${String(index + 1)}`,
          bell: own,
          laneMax: 'background',
        }),
      ),
      workerLoop(context, { name: 'critical worker', bell: critical, laneMax: 'critical' }),
      loop(context, { name: 'watch', everyMs: watchEveryMs, bell: new Bell() }, async () => {
        await stopOverdue(database)
      }),
      loop(context, { name: 'clean', everyMs: cleanEveryMs, bell: new Bell() }, async () => {
        await clean(database)
      }),
      loop(context, { name: 'slots', everyMs: slotsEveryMs, bell: new Bell() }, async () => {
        await extendSlots(database, systemClock())
      }),
    ])
  } finally {
    await database.close()
    options.onEvent({ kind: 'stopped' })
  }
}

interface LoopContext {
  readonly database: Database
  readonly options: EngineOptions
  readonly signal: AbortSignal
}

interface LoopShape {
  readonly name: string
  readonly everyMs: number
  readonly bell: Bell
}

/** Runs `body`, waits for the bell or the time, and again; after a failure waits longer. */
async function loop(
  context: LoopContext,
  shape: LoopShape,
  body: () => Promise<void>,
): Promise<void> {
  const { signal, options } = context
  let failures = 0
  for (;;) {
    if (signal.aborted) return
    try {
      await body()
      failures = 0
    } catch (error) {
      failures += 1
      options.onEvent({ kind: 'lost', loop: shape.name, error })
      await pause(backoffMs(retry, failures, Math.random), signal)
    }
    await shape.bell.wait(shape.everyMs, signal)
  }
}

interface WorkerShape {
  readonly name: string
  readonly bell: Bell
  readonly laneMax: Lane
}

/** Works until nothing is due, then waits to be rung; looks by itself every second. */
async function workerLoop(context: LoopContext, shape: WorkerShape): Promise<void> {
  const { options } = context
  const order = { worker: `${options.name} ${shape.name}`, groupsMax: 1, laneMax: shape.laneMax }
  await loop(context, { ...shape, everyMs: watchEveryMs }, async () => {
    for (;;) {
      if (context.signal.aborted) return
      const done = await work(context.database, order)
      if (done.length === 0) return
      options.onEvent({ kind: 'worked', done })
    }
  })
}
