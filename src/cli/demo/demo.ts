import { pause } from '../../base/clock.ts'
import { openSession } from '../../engine/demo-support.ts'
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
import { Terminal } from './terminal.ts'

const batchOrders = 4_000
const twinsEveryMs = 60_000
const drawEveryMs = 1_000
const lineEveryMs = 3_000
const restWithinMs = 45_000
const filledWithinMs = 60_000

/**
 * Runs the demonstration: an embedded PostgreSQL, a shop that is filled and lives, five views that are
 * kept, and their twins. Ends after `--for`, on `q` or on a signal, with everything that it began; the
 * data stays. Returns the exit status: 1 when a write was lost or a view was not equal to its query.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const say = options.json ? process.stderr : process.stdout
  const step: Step = async (text, work) => {
    const began = performance.now()
    say.write(`${text} … `)
    try {
      const result = await work()
      say.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`)
      return result
    } catch (error) {
      say.write('failed\n')
      throw error
    }
  }
  const end = new AbortController()
  const stop = (): void => {
    end.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  let shopServer: ShopServer | undefined
  try {
    shopServer = await startShopServer(options, step)
    for (const note of shopServer.server.notes) say.write(`${note}\n`)
    void shopServer.server.ended.then(stop)
    const stage = await prepareStage(shopServer, options, step)
    const outcome = await perform(stage, shopServer, options, end)
    await finish(shopServer)
    return conclude(outcome, options, shopServer)
  } finally {
    if (shopServer !== undefined) await finish(shopServer)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop)
  }
}

async function finish({ database, server }: ShopServer): Promise<void> {
  await database.close()
  await server.stop()
}

/** Everything runs, until the end is asked for; then the writers end first and the engine last. */
async function perform(
  stage: DemoStage,
  shopServer: ShopServer,
  options: DemoOptions,
  end: AbortController,
): Promise<DemoOutcome> {
  const { watch, writer, engine, database, shop } = stage.parts
  const keeping = new AbortController()
  const kept = background(stage, [
    engine.run(keeping.signal),
    watch.run((error) => {
      if (!keeping.signal.aborted) stage.tell(`a look failed: ${messageOf(error)}`)
    }, keeping.signal),
    runTwins(stage, shopServer.databaseUrl, keeping.signal),
  ])
  const show = openShow(stage, options, end)
  try {
    await untilFilled(stage, options, end.signal)
    await watch.startOver()
    const load = { batch: batchOrders, onProgress: stage.noteLoad.bind(stage) }
    const writing = background(stage, [
      writer.run(end.signal),
      loadShop(database, shop, load, end.signal),
    ])
    if (options.forMs === null) await aborted(end.signal)
    else await pause(options.forMs, end.signal)
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

function openShow(stage: DemoStage, options: DemoOptions, end: AbortController): Show {
  if (options.json || !process.stdout.isTTY) return openLines(stage, options)
  const input = process.stdin.isTTY ? process.stdin : null
  const terminal = new Terminal(process.stdout, input)
  const colour = process.env['NO_COLOR'] === undefined || process.env['NO_COLOR'] === ''
  const draw = (): void => {
    const style = { width: terminal.width, colour, keys: terminal.hasKeys }
    terminal.draw(renderScreen(stage.model(), style))
  }
  const failing = (work: Promise<void>): void => {
    void work
      .catch((error: unknown) => {
        stage.tell(messageOf(error))
      })
      .finally(draw)
  }
  terminal.onKey((key) => {
    if (key === 'q') end.abort()
    if (key === 'k') stage.parts.engine.kill()
    if (key === 'p') failing(payAndSee(stage, end.signal))
    if (key === 'w') failing(askWhy(stage))
    draw()
  })
  draw()
  const timer = setInterval(draw, drawEveryMs)
  return {
    close: () => {
      clearInterval(timer)
      terminal.close()
      // What was on the other screen is gone: leave its last state here.
      const style = { width: terminal.width, colour, keys: false }
      process.stdout.write(`${renderScreen(stage.model(), style).join('\n')}\n\n`)
    },
  }
}

function openLines(stage: DemoStage, options: DemoOptions): Show {
  const out = options.json ? process.stderr : process.stdout
  let told: Date | undefined
  const timer = setInterval(() => {
    out.write(`${renderLine(stage.model())}\n`)
    const event = stage.lastEvent
    if (event === null || event.at === told) return
    told = event.at
    out.write(`       ${event.text}\n`)
  }, lineEveryMs)
  return {
    close: () => {
      clearInterval(timer)
    },
  }
}

/** Waits until every view has been filled and its state is known; an unattended run not for ever. */
async function untilFilled(
  stage: DemoStage,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const { watch, views } = stage.parts
  const deadline = options.forMs === null ? Infinity : Date.now() + filledWithinMs
  for (;;) {
    const known = watch.freshness.filter(({ stalenessMs }) => stalenessMs !== null)
    if (signal.aborted || known.length === views.length) return
    if (Date.now() > deadline) {
      const reasons = watch.freshness.map(({ view, reason }) => `${view}: ${reason ?? 'filled'}`)
      const told = stage.lastEvent?.text ?? 'the engine said nothing'
      throw new Error(`The views were not filled within a minute. ${told}. ${reasons.join('; ')}`)
    }
    await pause(50, signal)
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
  for (;;) {
    await watch.look()
    const atRest = watch.freshness.every(({ stalenessMs }) => stalenessMs === 0)
    if (atRest || patience.aborted) return
    await pause(100, patience)
  }
}

function conclude(outcome: DemoOutcome, options: DemoOptions, { server }: ShopServer): number {
  const say = options.json ? process.stderr : process.stdout
  say.write(
    [
      ...renderSummary(outcome),
      `Engine, writers and PostgreSQL have stopped. The data stays in ${server.dataFolder};`,
      'the same command goes on with it, --reset begins anew.',
      '',
      'Look at your own database, changing nothing:',
      '  npx tidemark scan --database-url postgres://user@host/database',
      '',
    ].join('\n'),
  )
  if (options.json) process.stdout.write(`${renderJson(outcome)}\n`)
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
