/** npm run oracle: random cases in some processes until the time is over. */
import type { ChildProcess } from 'node:child_process'
import { fork, spawnSync } from 'node:child_process'
import { appendFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { ServerName } from '../support/servers.ts'
import { Servers, serverNames, sweepServers } from '../support/servers.ts'
import { constructs } from './constructs.ts'
import type { HuntMessage, HuntOrder } from './hunt-messages.ts'
import { Tally } from './tally.ts'

const usage = `npm run oracle -- --minutes N --seed S [--queries N] [--histories N] [--construct NAME] [--skip REGEXP]
  [--server ${serverNames.join('|')}] [--workers N] [--maintain incremental|full] [--through plan|programs]
  [--shrinks N] [--log FILE] [--json]`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '20261122' },
    queries: { type: 'string', default: '40' },
    histories: { type: 'string', default: '8' },
    construct: { type: 'string' },
    skip: { type: 'string' },
    server: { type: 'string', default: '18' },
    url: { type: 'string' },
    workers: { type: 'string', default: '2' },
    maintain: { type: 'string', default: 'incremental' },
    through: { type: 'string', default: 'programs' },
    shrinks: { type: 'string', default: '5' },
    log: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const say = (text: string): void => {
  if (!values.json) process.stdout.write(`${text}\n`)
}

const number = (text: string, name: string): number => {
  const found = Number(text)
  if (Number.isFinite(found) && found > 0) return found
  throw new Error(`--${name} takes a number above 0, not ${text}.\n${usage}`)
}

async function main(): Promise<number> {
  if (values.help) {
    say(usage)
    return 0
  }
  const minutes = number(values.minutes, 'minutes')
  const workers = number(values.workers, 'workers')
  const server = serverNames.find((name) => name === values.server)
  if (server === undefined) throw new Error(usage)
  if (values.construct !== undefined && !constructs.includes(values.construct)) {
    throw new Error(`--construct is one of: ${constructs.join(', ')}`)
  }
  const maintain = values.maintain === 'full' ? 'full' : 'incremental'
  const { url, stop } = await provideServer(server)
  const tally = new Tally(maintain)
  const until = Date.now() + minutes * 60_000
  try {
    const started = Date.now()
    const progress = setInterval(() => {
      say(`${((Date.now() - started) / 60_000).toFixed(1)} min: ${tally.line()}`)
    }, 30_000)
    const orders = Array.from({ length: workers }, (_, at): HuntOrder => ({
      adminUrl: url,
      database: `oracle_${process.pid}_${at}`,
      maintain,
      through: values.through === 'plan' ? 'plan' : 'programs',
      seed: number(values.seed, 'seed') + at,
      stride: workers,
      until,
      queries: number(values.queries, 'queries'),
      histories: number(values.histories, 'histories'),
      ...(values.construct === undefined ? {} : { construct: values.construct }),
      ...(values.skip === undefined ? {} : { skip: values.skip }),
      shrinksMax: Number(values.shrinks),
      shrinkMs: 90_000,
    }))
    const ended = await Promise.all(orders.map((order) => run(order, tally)))
    clearInterval(progress)
    const took = (Date.now() - started) / 60_000
    report(tally, took)
    if (values.log !== undefined) await appendFile(values.log, `${logLine(tally, took)}\n`)
    const held = tally.mismatches === 0 && tally.wrongFallbacks === 0
    return ended.every((code) => code === 0) && held ? 0 : 1
  } finally {
    await stop()
  }
}

/** A server of our own, or one that is there. */
async function provideServer(
  name: ServerName,
): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  if (values.url !== undefined) return { url: values.url, stop: () => Promise.resolve() }
  await sweepServers()
  const servers = new Servers()
  return { url: await servers.url(name), stop: () => servers.stop() }
}

function run(order: HuntOrder, tally: Tally): Promise<number> {
  const worker: ChildProcess = fork(fileURLToPath(new URL('./hunt-worker.ts', import.meta.url)), {
    execArgv: ['--import', 'jiti/register'],
  })
  worker.on('message', (message: HuntMessage) => hear(message, tally))
  worker.send(order)
  return new Promise((resolve) => worker.once('exit', (code) => resolve(code ?? 1)))
}

function hear(message: HuntMessage, tally: Tally): void {
  switch (message.kind) {
    case 'batch':
      tally.add(message)
      return
    case 'failure':
      tally.failures.push(message)
      say(
        `\n! seed ${message.seed}, ${message.view}: ${message.sort}\n  ${message.sql}\n  ${message.detail.replaceAll('\n', '\n  ')}`,
      )
      if (message.path !== null) say(`  kept as ${message.path}`)
      return
    case 'broken':
      process.stderr.write(`${message.error}\n`)
  }
}

/** A row of the table of runs in docs/oracle.md. */
function logLine(tally: Tally, minutes: number): string {
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' })
  const through = values.through === 'plan' ? 'plan' : 'programs'
  const cells = [
    new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit.stdout.trim(),
    values.seed,
    through,
    minutes.toFixed(1),
    tally.views,
    tally.cases,
    tally.compared,
    tally.mismatches,
    tally.wrongFallbacks,
    tally.rare.length,
  ]
  return `| ${cells.join(' | ')} |`
}

function report(tally: Tally, minutes: number): void {
  if (values.json) {
    process.stdout.write(`${tally.json(minutes)}\n`)
    return
  }
  const { rare } = tally
  say(`\n${'construct'.padEnd(36)}   cases     share with rows\n${tally.table()}`)
  if (tally.fallenBack > 0) {
    say(
      `\nFallbacks, by reason and construct (! where none is meant to be):\n${tally.fallbackTable()}`,
    )
  }
  say(
    `\n${tally.historyLine()}\n${minutes.toFixed(1)} min, seed ${values.seed}: ${tally.line()}; ${tally.discarded} views discarded, ${tally.rejected} queries not taken by the server, ${tally.choices} cases compared with a determinised query.`,
  )
  say(
    rare.length === 0
      ? 'Every construct occurs, with rows, in at least 1 % of the cases.'
      : `Below 1 % with rows: ${rare.join(', ')}`,
  )
}

process.exitCode = await main()
