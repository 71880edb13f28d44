import { pause } from '../../base/clock.ts'
import { openSession } from '../../engine/demo-support.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import { wantsColours } from '../surroundings.ts'
import type { Surroundings } from '../surroundings.ts'
import { countDiffering } from './count-differing.ts'
import { countLost } from './count-lost.ts'
import { askWhy, payAndSee } from './demo-keys.ts'
import type { DemoOptions } from './demo-options.ts'
import { isExact, renderJson, renderSummary } from './demo-report.ts'
import type { DemoOutcome } from './demo-report.ts'
import type { DemoStage } from './demo-stage.ts'
import { loadShop } from './load-shop.ts'
import { messageOf, prepareStage, startShopServer } from './prepare-stage.ts'
import type { ShopServer, Step } from './prepare-stage.ts'
import { renderLine } from './render-line.ts'
import { renderScreen } from './render-screen.ts'

const batchOrders = 3_000
const twinsEveryMs = 60_000
const drawEveryMs = 1_000
const lineEveryMs = 3_000
/** Of a process that a second signal ended, as shells count it. */
const hurriedStatus = 130
const restWithinMs = 45_000
const keptWithinMs = 60_000
const shownWithinMs = 10_000
/** What makes a view exact is not one lucky look. */
const checksMin = 5
const moreMsMax = 30_000

/**
 * Runs the demonstration: an embedded PostgreSQL, a shop that is filled and lives, five views that are
 * kept, and their twins. Ends after `--for`, on `q` or on a signal, with everything that it began; the
 * data stays. Returns the exit status: 1 when a write was lost or a view was not equal to its query.
 */
export async function runDemo(options: DemoOptions, surroundings: Surroundings): Promise<number> {
  const say = options.json ? surroundings.err : surroundings.out
  const end = new AbortController()
  const stop = (): void => {
    end.abort()
  }
  // PostgreSQL and the engine end by themselves when this process is gone.
  const deaf = surroundings.onStop(stop, () => process.exit(hurriedStatus))
  let shopServer: ShopServer | undefined
  try {
    const step = stepTeller(say)
    shopServer = await startShopServer(options, step)
    for (const note of shopServer.server.notes) say(`${note}\n`)
    void shopServer.server.ended.then(stop)
    const stage = await prepareStage(shopServer, options, step)
    const demo: Demo = { stage, shopServer, options, surroundings, say, end }
    const outcome = await perform(demo)
    await finish(shopServer)
    return conclude(outcome, demo)
  } finally {
    if (shopServer !== undefined) await finish(shopServer)
    deaf()
  }
}

/** A demonstration that runs. */
interface Demo {
  readonly stage: DemoStage
  readonly shopServer: ShopServer
  readonly options: DemoOptions
  readonly surroundings: Surroundings
  /** Writes what is for people, away from the JSON line. */
  readonly say: (text: string) => void
  /** Ends everything. */
  readonly end: AbortController
}

const stepTeller =
  (say: (text: string) => void): Step =>
  async (text, work) => {
    const began = performance.now()
    say(`${text} … `)
    try {
      const result = await work()
      say(`${((performance.now() - began) / 1000).toFixed(1)} s\n`)
      return result
    } catch (error) {
      say('failed\n')
      throw error
    }
  }

async function finish({ database, server }: ShopServer): Promise<void> {
  await database.close()
  await server.stop()
}

/** Everything runs, until the end is asked for; then the writers end first and the engine last. */
async function perform(demo: Demo): Promise<DemoOutcome> {
  const { stage, shopServer, options, end } = demo
  const { watch, writer, engine, database, shop } = stage.parts
  const keeping = new AbortController()
  const kept = background(stage, [
    engine.run(keeping.signal),
    watch.run((error) => {
      if (!keeping.signal.aborted) stage.tell(`a look failed: ${messageOf(error)}`)
    }, keeping.signal),
    runTwins(stage, shopServer.databaseUrl, keeping.signal),
  ])
  const show = openShow(demo)
  try {
    await untilKept(stage, options, end.signal)
    watch.startOver()
    const load = { batch: batchOrders, onProgress: stage.noteLoad.bind(stage) }
    const writing = background(stage, [
      writer.run(end.signal),
      loadShop(database, shop, load, end.signal),
    ])
    if (options.forMs === null) await aborted(end.signal)
    else await untilShown(stage, options.forMs, end.signal)
    end.abort()
    await writing
    return await takeStock(stage, options)
  } finally {
    show.close()
    keeping.abort()
    await kept
  }
}

/** Services whose failure is told and ends nothing but themselves. */
async function background(stage: DemoStage, services: readonly Promise<void>[]): Promise<void> {
  await Promise.all(
    services.map((service) =>
      service.catch((error: unknown) => {
        stage.tell(messageOf(error))
      }),
    ),
  )
}

async function runTwins(stage: DemoStage, url: string, signal: AbortSignal): Promise<void> {
  const session = await openSession(url)
  // A refresh that runs is given up: ending its connection ends it with the server.
  const close = (): void => {
    void session.close()
  }
  signal.addEventListener('abort', close, { once: true })
  try {
    await stage.parts.twins.run(session, twinsEveryMs, signal)
  } finally {
    await session.close()
  }
}

/** What shows the demonstration while it runs. */
interface Show {
  readonly close: () => void
}

function openShow(demo: Demo): Show {
  const { stage, options, surroundings, end } = demo
  if (options.json || surroundings.openTerminal === null) return openLines(demo)
  const terminal = surroundings.openTerminal()
  const colour = wantsColours(surroundings)
  const screen = (keys: boolean): readonly string[] =>
    renderScreen(stage.model(), { width: terminal.width, colour, keys })
  const draw = (): void => {
    terminal.draw(screen(terminal.hasKeys))
  }
  const telling = (work: Promise<void>): void => {
    void work
      .catch((error: unknown) => {
        stage.tell(messageOf(error))
      })
      .finally(draw)
  }
  terminal.onKey((key) => {
    if (key === 'q') end.abort()
    if (key === 'k') stage.parts.engine.kill()
    if (key === 'p') telling(payAndSee(stage, end.signal))
    if (key === 'w') telling(askWhy(stage))
    draw()
  })
  draw()
  const timer = setInterval(draw, drawEveryMs)
  return {
    close: () => {
      clearInterval(timer)
      terminal.close()
      // What was on the other screen is gone: leave its last state here.
      surroundings.out(`${screen(false).join('\n')}\n\n`)
    },
  }
}

function openLines({ stage, say }: Demo): Show {
  let told: Date | undefined
  const timer = setInterval(() => {
    say(`${renderLine(stage.model())}\n`)
    const event = stage.lastEvent
    if (event === null || event.at === told) return
    told = event.at
    say(`       ${event.text}\n`)
  }, lineEveryMs)
  return {
    close: () => {
      clearInterval(timer)
    },
  }
}

/**
 * Waits until the engine looks and every view is within its target, but not for ever.
 * A commit before the engine's first look would be dated to the last look of an earlier engine.
 */
async function untilKept(
  stage: DemoStage,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const { database, watch, views } = stage.parts
  const attended = options.forMs === null
  const deadline = Date.now() + (attended ? shownWithinMs : keptWithinMs)
  const looksBefore = await lastLook(database)
  for (;;) {
    if (signal.aborted) return
    const kept = watch.freshness.filter(({ state }) => state === 'fresh')
    if (kept.length === views.length && (await lastLook(database)) !== looksBefore) return
    if (Date.now() > deadline) {
      // Somebody who looks sees the states and can ask why.
      if (attended) return
      const reasons = watch.freshness.map(({ view, reason }) => `${view}: ${reason ?? 'fresh'}`)
      const told = stage.lastEvent?.text ?? 'the engine said nothing'
      throw new Error(`The views were not kept within a minute. ${told}. ${reasons.join('; ')}`)
    }
    await pause(50, signal)
  }
}

async function lastLook(database: Queryable): Promise<string> {
  const [row] = await database.query<{ at: string }>(
    'select coalesce(max(at)::text, $1) as at from tidemark.sample',
    ['never'],
  )
  return row?.at ?? ''
}

/** Waits as long as was asked for, and a little longer where a view was not checked often enough. */
async function untilShown(stage: DemoStage, forMs: number, signal: AbortSignal): Promise<void> {
  const { views, watch } = stage.parts
  await pause(forMs, signal)
  const deadline = Date.now() + moreMsMax
  for (;;) {
    const checks = views.map(({ name }) => watch.recordOf(name)?.checks ?? 0)
    if (signal.aborted || Math.min(...checks) >= checksMin || Date.now() > deadline) return
    await pause(100, signal)
  }
}

/** Counts what was lost; in an unattended run the views are given the time to come to rest first. */
async function takeStock(stage: DemoStage, options: DemoOptions): Promise<DemoOutcome> {
  const { database, ledger, views, watch } = stage.parts
  const records = views.flatMap(({ name }) => watch.recordOf(name) ?? [])
  const unattended = options.forMs !== null
  if (unattended) await untilAtRest(stage)
  const differing = new Map<string, number>()
  if (unattended) {
    for (const view of views) differing.set(view.name, await countDiffering(database, view))
  }
  const lost = await countLost(database, ledger.writes, { inViews: unattended })
  return {
    writes: ledger.writes.length,
    lost,
    views: records.map((record) => ({
      record,
      differingAtEnd: differing.get(record.name) ?? null,
    })),
  }
}

/** The writers have ended: waits until every view reflects their last commit. Asks for no refresh. */
async function untilAtRest(stage: DemoStage): Promise<void> {
  const { watch } = stage.parts
  const patience = AbortSignal.timeout(restWithinMs)
  // The look that goes on may have begun before the last commit; the one after it has not.
  const looksWanted = watch.looks + 2
  for (;;) {
    const atRest = watch.freshness.every(({ stalenessMs }) => stalenessMs === 0)
    if ((atRest && watch.looks >= looksWanted) || patience.aborted) return
    await pause(50, patience)
  }
}

function conclude(outcome: DemoOutcome, { options, shopServer, surroundings, say }: Demo): number {
  const lines = [
    ...renderSummary(outcome),
    'Engine, writers and PostgreSQL have stopped. The same command goes on with the data in',
    `${shopServer.server.dataFolder}; --reset begins anew.`,
    '',
    'Look at your own database, changing nothing:',
    '  npx tidemark scan --database-url postgres://user@host/database',
  ]
  say(`${lines.join('\n')}\n`)
  if (options.json) surroundings.out(`${renderJson(outcome)}\n`)
  const right = outcome.lost === 0 && outcome.views.every(isExact)
  return right || options.forMs === null ? 0 : 1
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
  })
}
