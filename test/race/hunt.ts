import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openDatabase } from '../../src/postgres/connection.ts'
import { startEmbedded } from '../../src/postgres/embedded.ts'
import { startRedis } from '../support/redis.ts'
import { peerNames } from '../../bench/peers/peers.ts'
import { databaseSubject, tidemarkSubject } from '../../src/testing/index.ts'
import { peerSubject } from './peer-subject.ts'
import { prepareRaceDatabase } from './race-database.ts'
import { raceHunt } from './race-hunt.ts'

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    database: { type: 'boolean', default: false },
    peer: { type: 'string' },
    calm: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const histories = Number(values.histories)
const seed = Number(values.seed)
const server = await startRedis()
const { subject, close } = await subjectOf(values)
const beganAt = performance.now()
let played = 0
const report = await raceHunt(subject, {
  seed,
  histories,
  onHistory() {
    played += 1
    if (!values.json && played % 100 === 0) console.error(`${played} of ${histories} histories`)
  },
})
await close()
await server.stop()
const minutes = (performance.now() - beganAt) / 60_000
const { reads, hits, acknowledged, violations, byNodes } = report
const stale = violations.filter(([, { kind }]) => kind === 'stale').length
if (values.json) {
  console.log(
    JSON.stringify({
      subject: subject.name,
      seed,
      histories,
      reads,
      hits,
      acknowledged,
      violations,
      byNodes,
    }),
  )
} else {
  for (const [at, violation] of violations.slice(0, 10))
    console.log(`seed ${at}: ${JSON.stringify(violation)}`)
  for (const [nodes, of] of Object.entries(byNodes))
    console.log(`nodes ${nodes}: ${of.wrong} of ${of.histories} histories are wrong`)
  console.log(
    `${subject.name}: ${histories} histories from seed ${seed}, ${minutes.toFixed(1)} min: ${reads} reads, ${hits} of them hits, ` +
      `${acknowledged} invalidations acknowledged, ${violations.length} violations (${stale} stale, ${violations.length - stale} backwards).`,
  )
}

/** The cache that the words of the command name. */
async function subjectOf({
  database,
  peer,
  calm,
}: Pick<typeof values, 'database' | 'peer' | 'calm'>): ReturnType<typeof tidemarkSubject> {
  if (peer === undefined) return database ? overDatabase() : tidemarkSubject(server.url)
  const name = peerNames.find((each) => each === peer)
  if (name === undefined) throw new Error(`--peer is one of ${peerNames.join(', ')}`)
  return peerSubject(name, { redisUrl: server.url, calm })
}

/** The subject over a PostgreSQL of its own, which is gone with it. */
async function overDatabase(): ReturnType<typeof tidemarkSubject> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-race-'))
  const postgres = await startEmbedded({ dataFolder: join(folder, 'data') })
  const database = openDatabase(postgres.url)
  await prepareRaceDatabase(database)
  await database.close()
  const own = await databaseSubject({ redis: server.url, database: postgres.url })
  return {
    subject: own.subject,
    async close() {
      await own.close()
      await postgres.stop()
      // As root the data is elsewhere, where the account of the server can reach it.
      await rm(postgres.dataFolder, { recursive: true, force: true })
      await rm(folder, { recursive: true, force: true })
    },
  }
}

// What others do is told, and is no failure of ours.
process.exitCode = violations.length === 0 || values.peer !== undefined ? 0 : 1
