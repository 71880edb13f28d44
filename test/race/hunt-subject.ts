import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PeerName } from '../../bench/peers/peers.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { startEmbedded } from '../../src/postgres/embedded.ts'
import type { RaceStore } from '../../src/testing/index.ts'
import { databaseSubject, tidemarkSubject } from '../../src/testing/index.ts'
import { startRedis } from '../support/redis.ts'
import { peerSubject } from './peer-subject.ts'
import { prepareRaceDatabase } from './race-database.ts'

/** Which cache a hunt plays over. */
export interface SubjectChoice {
  /** Over a database too: what is committed there is what counts. */
  readonly database: boolean
  /** What nodes share then; null: each history has its own. */
  readonly store: RaceStore | null
  /** Another cache, or null. */
  readonly peer: PeerName | null
  /** Of another cache: without faults. */
  readonly calm: boolean
}

/** The cache that was chosen, over servers of its own, which end with it. */
export async function huntSubject({
  database,
  store,
  peer,
  calm,
}: SubjectChoice): ReturnType<typeof tidemarkSubject> {
  const redis = await startRedis()
  const { subject, close } = await (peer !== null
    ? peerSubject(peer, { redisUrl: redis.url, calm })
    : database
      ? overDatabase(redis.url, store)
      : tidemarkSubject(redis.url))
  return {
    subject,
    async close() {
      await close()
      await redis.stop()
    },
  }
}

/** Over a PostgreSQL of its own, which is gone with it. */
async function overDatabase(
  redis: string,
  store: RaceStore | null,
): ReturnType<typeof tidemarkSubject> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-race-'))
  const postgres = await startEmbedded({ dataFolder: join(folder, 'data') })
  const database = openDatabase(postgres.url)
  await prepareRaceDatabase(database)
  await database.close()
  const own = await databaseSubject({ redis, database: postgres.url }, store ?? undefined)
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
