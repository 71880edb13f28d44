import { backoffMs } from '../base/backoff.ts'
import { Bell } from '../base/bell.ts'
import { pause, systemClock } from '../base/clock.ts'
import type { Lane } from '../model/declaration.ts'
import { listen, openDatabase, openSession } from '../postgres/connection.ts'
import type { Database, Session } from '../postgres/connection.ts'
import { allEnded, getUp, isIdle, lieDown, nextDue } from '../queue/sleep.ts'
import { keepUp } from '../queue/keep-up.ts'
import { clean, stopOverdue, tick } from '../queue/tick.ts'
import type { TickOutcome } from '../queue/tick.ts'
import { isAtWork, work } from '../queue/work.ts'
import type { WorkDone, WorkOrder } from '../queue/work.ts'
import { extendSlots } from './extend-slots.ts'

/** How an engine runs. */
export interface EngineOptions {
  readonly databaseUrl: string
  /** Refreshes at the same time, beside one that is kept free for the critical lane. */
  readonly workers: number
  /** Time between two looks. */
  readonly pollMs: number
  /** Lies down after this long without a change, and sends no query until woken. Null: never. */
  readonly idleAfterMs: number | null
  /**
   * A short call that takes longer has lost its connection. A refresh may take as long as it needs, but when
   * the database twice knows nothing of it any more, so has that. 30 s unless told.
   */
  readonly silenceMsMax?: number
  /** Told in log lines and run rows. */
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
  | { readonly kind: 'asleep'; readonly until: Date | null }
  | { readonly kind: 'awake' }
  | { readonly kind: 'stopped' }

const cleanEveryMs = 5_000
const slotsEveryMs = 15 * 60_000
const watchEveryMs = 1_000
/** Views that become eager are looked after within this time. */
const keepUpForMs = 1_000
/** Node's timers end at 2^31 ms; a day is soon enough to look at the clock again. */
const sleepMsMax = 86_400_000
const silenceMsMaxDefault = 30_000
/** Beside one session a worker: for ticks, the watch, the cleaner and the slots. */
const connectionsMax = 4
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
  const database = openDatabase(options.databaseUrl, {
    connectionsMax,
    answerWithinMs: silenceOf(options),
  })
  const engine: Engine = { database, options, signal, woken: new Bell() }
  const listening = options.idleAfterMs === null ? Promise.resolve() : hear(engine)
  options.onEvent({ kind: 'started', name: options.name })
  try {
    for (;;) {
      await beAwake(engine)
      if (signal.aborted) break
      await sleep(engine)
    }
  } finally {
    await listening
    await database.close()
    options.onEvent({ kind: 'stopped' })
  }
}

interface Engine {
  readonly database: Database
  readonly options: EngineOptions
  readonly signal: AbortSignal
  /** Rung by writers and readers that find the engine asleep. */
  readonly woken: Bell
}

function hear(engine: Engine): Promise<void> {
  const { options, signal, woken } = engine
  return listen({
    url: options.databaseUrl,
    channel: 'tidemark',
    onNotify: () => {
      woken.ring()
    },
    onLost: (error) => {
      options.onEvent({ kind: 'lost', loop: 'listen', error })
    },
    signal,
  })
}

/** All loops, until the signal fires or the engine has lain down. */
async function beAwake(engine: Engine): Promise<void> {
  const { database, options } = engine
  const ending = new AbortController()
  const signal = AbortSignal.any([engine.signal, ending.signal])
  const context: LoopContext = { database, options, signal }
  const critical = new Bell()
  const bells = Array.from({ length: options.workers }, () => new Bell())
  // By no clock that may be set back.
  let busyAt = performance.now()
  const lookAround = async (): Promise<void> => {
    const outcome = await tick(database)
    options.onEvent({ kind: 'ticked', outcome })
    if (outcome.problem !== null) options.onEvent({ kind: 'problem', problem: outcome.problem })
    if (outcome.pending > 0) for (const worker of [critical, ...bells]) worker.ring()
    if (outcome.pending + outcome.fired + outcome.events + outcome.asked > 0)
      busyAt = performance.now()
    const { idleAfterMs } = options
    if (idleAfterMs === null || performance.now() - busyAt < idleAfterMs) return
    busyAt = performance.now()
    if (await mayLieDown(engine)) ending.abort()
  }
  await Promise.all([
    loop(context, { name: 'tick', everyMs: options.pollMs, bell: new Bell() }, lookAround),
    ...bells.map((bell, index) =>
      workerLoop(context, { name: `worker ${String(index + 1)}`, bell, laneMax: 'background' }),
    ),
    workerLoop(context, { name: 'critical worker', bell: critical, laneMax: 'critical' }),
    keepUpLoop(context, () => {
      busyAt = performance.now()
    }),
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
}

/**
 * Says that the engine lies down, waits until every transaction that may not have heard it has ended,
 * and looks once more. False when there is something to do after all, or somebody is long at work.
 */
async function mayLieDown(engine: Engine): Promise<boolean> {
  const { database, options, signal } = engine
  if (!(await isIdle(database))) return false
  // What rang while the engine was awake has been looked at.
  await engine.woken.wait(0, signal)
  const since = await lieDown(database)
  const until = performance.now() + (options.idleAfterMs ?? 0)
  while (!(await allEnded(database, since))) {
    if (performance.now() > until || signal.aborted) {
      await getUp(database)
      return false
    }
    await pause(options.pollMs, signal)
  }
  await tick(database)
  if (await isIdle(database)) return true
  await getUp(database)
  return false
}

/** No query until a slot is due, somebody wakes the engine, or the signal fires. */
async function sleep(engine: Engine): Promise<void> {
  const { database, options, signal, woken } = engine
  const until = await nextDue(database)
  options.onEvent({ kind: 'asleep', until })
  const ms = until === null ? sleepMsMax : until.getTime() - Date.now()
  await woken.wait(Math.min(Math.max(ms, 0), sleepMsMax), signal)
  if (signal.aborted) return
  await getUp(database).catch((error: unknown) => {
    options.onEvent({ kind: 'lost', loop: 'sleep', error })
  })
  options.onEvent({ kind: 'awake' })
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

/**
 * Works until nothing is due, then waits to be rung; looks by itself every second. On a session of its own:
 * nobody knows how long a refresh may take.
 */
async function workerLoop(context: LoopContext, shape: WorkerShape): Promise<void> {
  const { options, signal } = context
  const order = { worker: `${options.name} ${shape.name}`, groupsMax: 1, laneMax: shape.laneMax }
  let session: Session | undefined
  const workOnce = async (): Promise<readonly WorkDone[]> => {
    session ??= await openSession(options.databaseUrl)
    try {
      return await workWatched(context, session, order)
    } catch (error) {
      await session.close()
      session = undefined
      throw error
    }
  }
  await loop(context, { ...shape, everyMs: watchEveryMs }, async () => {
    for (;;) {
      if (signal.aborted) return
      const done = await workOnce()
      if (done.length === 0) return
      options.onEvent({ kind: 'worked', done })
    }
  })
  await session?.close()
}

/**
 * Looks after eager views, on a connection of its own that is given up when it does not answer; without such views,
 * asks once a second whether there are any.
 */
async function keepUpLoop(context: LoopContext, onBusy: () => void): Promise<void> {
  const { options, signal } = context
  // An answer must not be later than silence is believed.
  const forMs = Math.min(keepUpForMs, Math.ceil(silenceOf(options) / 2))
  const order = { worker: `${options.name} eager`, forMs }
  const database = openDatabase(options.databaseUrl, {
    connectionsMax: 1,
    answerWithinMs: silenceOf(options),
  })
  await loop(context, { name: 'eager', everyMs: watchEveryMs, bell: new Bell() }, async () => {
    for (;;) {
      if (signal.aborted) return
      const refreshes = await keepUp(database, order)
      if (refreshes === null) return
      if (refreshes > 0) onBusy()
    }
  })
  await database.close()
}

/** Works, and gives the session up when it does not answer although the database knows of no such work any more. */
async function workWatched(
  context: LoopContext,
  session: Session,
  order: WorkOrder,
): Promise<readonly WorkDone[]> {
  const answered = new AbortController()
  const watch = async (): Promise<void> => {
    for (let strange = 0; strange < 2;) {
      await pause(silenceOf(context.options), answered.signal)
      if (answered.signal.aborted) return
      // Who cannot ask knows nothing.
      const atWork = await isAtWork(context.database, order.worker).catch(() => true)
      strange = atWork ? 0 : strange + 1
    }
    await session.close()
  }
  const watching = watch()
  try {
    return await work(session, order)
  } finally {
    answered.abort()
    await watching
  }
}

const silenceOf = (options: EngineOptions): number => options.silenceMsMax ?? silenceMsMaxDefault
