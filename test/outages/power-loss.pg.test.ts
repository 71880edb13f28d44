import { setTimeout as sleep } from 'node:timers/promises'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest'
import { migrate } from '../../src/define/migrate.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { tick } from '../../src/queue/tick.ts'
import { installHandMade } from '../support/hand-made.ts'
import { long, seed, seeded } from '../support/random.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { eventually, expectWhole, until, workUntilWhole } from './await-state.ts'
import type { OwnServer } from './own-server.ts'
import { ownEmbeddedServer } from './own-server.ts'

let server: OwnServer
let database: Database
let name: string

beforeAll(async () => {
  server = await ownEmbeddedServer({ max_connections: 60 })
})
afterAll(() => server.remove())

beforeEach(async () => {
  name = `power_${String(Date.now())}`
  const admin = await openSession(server.url())
  await admin.query(`create database ${name}`)
  await admin.close()
  database = openDatabase(server.url(name))
  await migrate(database)
  await installHandMade(database.query, 300)
})
afterEach(() => database.close())

/** Writes orders until told to stop; what the server acknowledged is kept, what it did not may be there or not. */
function writeOrders(url: string): { readonly stop: () => Promise<ReadonlySet<number>> } {
  const acknowledged = new Set<number>()
  const stopping = new AbortController()
  const write = async (): Promise<void> => {
    const pool = openDatabase(url, { connectionsMax: 1, connectTimeoutMs: 1000 })
    for (let id = 10_000; !stopping.signal.aborted; id += 1) {
      try {
        await pool.query(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [id])
        acknowledged.add(id)
      } catch {
        // The server is down.
      }
      await sleep(3)
    }
    await pool.close()
  }
  const writing = write()
  const stop = async (): Promise<ReadonlySet<number>> => {
    stopping.abort()
    await writing
    return acknowledged
  }
  onTestFinished(async () => {
    await stop()
  })
  return { stop }
}

describe('PostgreSQL killed in the middle of a refresh', () => {
  const steps = [
    ['before it writes rows', 4711],
    ['after it wrote rows, before its tidemark', 4712],
  ] as const
  test.each(steps)('%s: the run is lost, the change is not', async (_, gateKey) => {
    await workUntilWhole(database)
    await database.query(`insert into public.orders values (1000, 'r1', 5)`)
    const gate = await openSession(server.url(name))
    onTestFinished(() => gate.close())
    await gate.query('select pg_advisory_lock($1)', [gateKey])
    await database.query(`select tidemark.enqueue('public.total', 'manual', 'test')`)
    const working = database.query(`call tidemark.work('doomed', 1)`).catch(() => undefined)
    await until(database, `exists (select from pg_locks where objid = ${gateKey} and not granted)`)

    await server.kill()
    await Promise.all([working, gate.close()])
    await server.start()

    await until(database, `(select count(*) = 1 from tidemark.run where status = 'running')`)
    await tick(database)
    const ended = await database.query(
      `select view, status, error from tidemark.run order by run_id desc limit 1`,
    )
    expect(ended).toEqual([
      { view: 'public.total', status: 'lost', error: 'the backend that worked on it ended' },
    ])
    await workUntilWhole(database)
    expect(await database.query('select n from public.total')).toEqual([{ n: 11 }])
  })
})

test('PostgreSQL killed at random while writers write: the engine recovers by itself and loses no acknowledged write', async () => {
  const rng = seeded(seed)
  const kills = long ? 60 : 3
  const engine = await spawnEngine(server.url(name), 'survivor')
  onTestFinished(() => engine.kill())
  const writers = writeOrders(server.url(name))
  await until(database, `(select count(*) > 2 from tidemark.run where status = 'completed')`)
  for (let kill = 0; kill < kills; kill += 1) {
    await sleep(rng() * 600)
    await server.kill()
    await server.start()
    await eventually('the server answers', async () => {
      await database.query('select 1')
      return true
    })
  }
  const acknowledged = await writers.stop()
  expect(acknowledged.size).toBeGreaterThan(20)
  await expectWhole(database)
  const kept = await database.query<{ id: number }>('select id from public.orders')
  const ids = new Set(kept.map(({ id }) => id))
  expect([...acknowledged].filter((id) => !ids.has(id))).toEqual([])
  const [total] = await database.query<{ n: number }>('select n from public.total')
  expect(total?.n).toBe(kept.length)
  expect(await engine.stop()).toBe(0)
}, 600_000)
