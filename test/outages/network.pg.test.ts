import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { EngineEvent } from '../../src/engine/engine.ts'
import { runEngine } from '../../src/engine/engine.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { thisDatabase } from '../support/waiting-at.ts'
import { eventually, expectWhole, until } from './await-state.ts'
import type { CuttableNetwork } from './cuttable-network.ts'
import { cuttableNetwork } from './cuttable-network.ts'

let db: TestDatabase
let network: CuttableNetwork

beforeEach(async () => {
  db = await createInstalledDatabase()
  onTestFinished(() => db.drop())
  await installHandMade(db.sql, 300)
  network = await cuttableNetwork(db.url)
  onTestFinished(() => network.close())
})

/** An engine in this process, by way of the network; it is told to stop when the test has ended, if not before. */
function startEngine(idleAfterMs: number | null = null): {
  readonly events: readonly EngineEvent[]
  readonly stop: () => Promise<void>
} {
  const stopping = new AbortController()
  const events: EngineEvent[] = []
  const running = runEngine(
    {
      databaseUrl: network.url,
      name: 'cut off',
      workers: 2,
      pollMs: 50,
      idleAfterMs,
      silenceMsMax: 400,
      onEvent: (event) => events.push(event),
    },
    stopping.signal,
  )
  const stop = (): Promise<void> => {
    stopping.abort()
    return running
  }
  onTestFinished(stop)
  return { events, stop }
}

const ways = [
  ['is cut', (): void => network.cut()],
  ['freezes, and its connections never answer again', (): void => network.freeze()],
] as const

describe.each(ways)('an engine whose network %s', (_, breakIt) => {
  test('comes back by itself, and what was committed meanwhile is reflected', async () => {
    const { events, stop } = startEngine()
    await expectWhole(db.database)
    breakIt()
    await db.sql(`insert into public.orders values (100, 'r1', 1)`)
    await eventually('the engine has noticed', () => events.some(({ kind }) => kind === 'lost'))
    network.mend()
    await expectWhole(db.database)
    expect(await db.sql('select n from public.total')).toEqual([{ n: 11 }])
    await stop()
    expect(events.at(-1)).toEqual({ kind: 'stopped' })
  })

  test('in the middle of a refresh comes back, and the refresh has been made once', async () => {
    const { events, stop } = startEngine()
    await expectWhole(db.database)
    const gate = await db.session()
    await gate.query('select pg_advisory_lock(4712)')
    await db.sql(`insert into public.orders values (100, 'r1', 1)`)
    await until(
      db.database,
      `(select count(*) = 2 from pg_locks where objid = 4712 and not granted and database = ${thisDatabase})`,
    )
    breakIt()
    await eventually('the engine has noticed', () => events.some(({ kind }) => kind === 'lost'))
    await gate.query('select pg_advisory_unlock(4712)')
    network.mend()
    await expectWhole(db.database)
    await db.sql(`insert into public.orders values (101, 'r1', 1)`)
    await expectWhole(db.database)
    expect(await db.sql('select n from public.total')).toEqual([{ n: 12 }])
    await stop()
    const overlapping = await db.sql(
      `select from tidemark.run a join tidemark.run b on a.view = b.view and a.run_id < b.run_id
        and a.status = 'completed' and b.status = 'completed' and a.finished_at > b.started_at`,
    )
    expect(overlapping).toEqual([])
  })

  test('can be stopped while nothing gets through', async () => {
    const { events, stop } = startEngine()
    await expectWhole(db.database)
    breakIt()
    await stop()
    expect(events.at(-1)).toEqual({ kind: 'stopped' })
  })
})

test('a call of which it is known that it is short does not hang in a frozen network', async () => {
  const database = openDatabase(network.url, { answerWithinMs: 300, connectTimeoutMs: 300 })
  onTestFinished(() => database.close())
  await database.query('select 1')
  network.freeze()
  await expect(database.query('select 1')).rejects.toThrow('TIDEMARK_DATABASE_UNREACHABLE')
  await expect(database.query('select 1')).rejects.toThrow('TIDEMARK_DATABASE_UNREACHABLE')
  network.mend()
  await expect(database.query('select 1 as one')).resolves.toEqual([{ one: 1 }])
})
