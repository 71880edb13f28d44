/** npm run race: random histories in some processes, each checked. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { peerNames } from '../../bench/peers/peers.ts'
import { raceStores } from '../../src/testing/index.ts'
import type { SubjectChoice } from './hunt-subject.ts'
import type { HuntMessage, HuntOrder } from './hunt-worker.ts'
import type { HuntReport } from './race-hunt.ts'
import { togetherOf } from './race-hunt.ts'

const usage = `npm run race -- --histories N --seed S [--workers N] [--database [--store NAME] | --peer NAME [--calm]] [--json]

  --histories N  how many (1000), from --seed S on; the seed of each violation is told, and plays it again
  --workers N    processes, each with servers of its own (2)
  --database     what writers commit to a real PostgreSQL is what counts
  --store NAME   what nodes share then, one and the other by turns if it is left out: ${raceStores.join(', ')}
  --peer NAME    another cache, without faults if --calm: ${peerNames.join(', ')}
  --json         one line

Exits with 1 if Tidemark's cache has returned what was no longer true; docs/race.md says what is checked.`

const values = valuesOf(process.argv.slice(2))
const histories = wholeNumber('histories', 1)
const seed = wholeNumber('seed', 0)
const workers = Math.min(wholeNumber('workers', 1), histories)
const choice: SubjectChoice = {
  database: values.database,
  store: storeNamed(values.store),
  peer: peerNamed(values.peer),
  calm: values.calm,
}
const beganAt = performance.now()
let played = 0
const seen = togetherOf(await Promise.all(sharesOf(workers).map(playShare)))
const minutes = (performance.now() - beganAt) / 60_000
const player = choice.peer ?? 'tidemark'
if (values.json) console.log(JSON.stringify({ subject: player, seed, ...seen }))
else tellOf(seen)
// What others do is told, and is no failure of ours.
process.exitCode = seen.violations.length === 0 || choice.peer !== null ? 0 : 1

function valuesOf(args: readonly string[]) {
  try {
    const { values: given } = parseArgs({
      args: [...args],
      options: {
        histories: { type: 'string', default: '1000' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        workers: { type: 'string', default: '2' },
        database: { type: 'boolean', default: false },
        store: { type: 'string' },
        peer: { type: 'string' },
        calm: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (!given.help) return given
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error))
  }
  console.log(usage)
  process.exit(0)
}

function refuse(why: string): never {
  console.error(`${why}\n\n${usage}`)
  process.exit(2)
}

function wholeNumber(name: 'histories' | 'seed' | 'workers', least: number): number {
  const found = Number(values[name])
  if (Number.isSafeInteger(found) && found >= least) return found
  return refuse(`--${name} takes a whole number from ${least} on, not ${values[name]}.`)
}

function peerNamed(wanted: string | undefined): SubjectChoice['peer'] {
  if (wanted === undefined) return null
  const found = peerNames.find((each) => each === wanted)
  return found ?? refuse(`--peer is one of ${peerNames.join(', ')}, not ${wanted}.`)
}

function storeNamed(wanted: string | undefined): SubjectChoice['store'] {
  if (wanted === undefined) return null
  if (!values.database) return refuse('--store goes with --database.')
  const found = raceStores.find((each) => each === wanted)
  return found ?? refuse(`--store is one of ${raceStores.join(', ')}, not ${wanted}.`)
}

/** Seeds that follow each other, for each worker about as many. */
function sharesOf(count: number): HuntOrder[] {
  const start = (worker: number): number => Math.floor((histories * worker) / count)
  return Array.from({ length: count }, (_, worker) => ({
    choice,
    seed: seed + start(worker),
    histories: start(worker + 1) - start(worker),
  }))
}

async function playShare(order: HuntOrder): Promise<HuntReport> {
  const worker = fork(fileURLToPath(new URL('./hunt-worker.ts', import.meta.url)), {
    execArgv: ['--import', 'jiti/register'],
  })
  const told: HuntReport[] = []
  worker.on('message', (message: HuntMessage) => {
    if (message !== 'played') {
      told.push(message)
      return
    }
    played += 1
    if (!values.json && played % 100 === 0) console.error(`${played} of ${histories} histories`)
  })
  worker.send(order)
  // By then what it has said has come.
  await once(worker, 'close')
  const [report] = told
  if (report === undefined) throw new Error(`the histories from seed ${order.seed} on broke off`)
  return report
}

function tellOf(report: HuntReport): void {
  const { reads, hits, marked, acknowledged, expires, sets, renewals, warmed } = report
  const { violations, byNodes } = report
  const stale = violations.filter(([, { kind }]) => kind === 'stale').length
  for (const [at, violation] of violations.slice(0, 10))
    console.log(`seed ${at}: ${JSON.stringify(violation)}`)
  for (const [nodes, of] of Object.entries(byNodes))
    console.log(`nodes ${nodes}: ${of.wrong} of ${of.histories} histories are wrong`)
  console.log(
    `${player}: ${histories} histories from seed ${seed}, ${minutes.toFixed(1)} min: ${reads} reads, ${hits} of them hits and ${marked} stale and said so, ` +
      `${acknowledged} invalidations and commits (${expires} expired, ${sets} set), ${renewals} renewals, ${warmed} warmed, ${violations.length} violations (${stale} stale, ${violations.length - stale} backwards).`,
  )
}
