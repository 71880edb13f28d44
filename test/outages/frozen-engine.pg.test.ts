import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createInstalledDatabase } from '../support/database.ts'
import { installHandMade } from '../support/hand-made.ts'
import { long, seed, seeded } from '../support/random.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { expectWhole, until } from './await-state.ts'

test('two engines race, one is frozen and thawed again and again: nothing runs twice at once, nothing is lost', async () => {
  const rng = seeded(seed)
  const db = await createInstalledDatabase()
  onTestFinished(() => db.drop())
  await installHandMade(db.sql, 300)
  const steady = await spawnEngine(db.url, 'steady')
  onTestFinished(() => steady.kill())
  const sleepy = await spawnEngine(db.url, 'sleepy')
  onTestFinished(() => sleepy.kill())

  let written = 0
  const writing = new AbortController()
  const writer = (async (): Promise<void> => {
    while (!writing.signal.aborted) {
      written += 1
      await db.sql(`insert into public.orders values ($1, 'r' || ($1::int % 5), 1)`, [
        10_000 + written,
      ])
      await sleep(5)
    }
  })()
  for (let freeze = 0; freeze < (long ? 60 : 5); freeze += 1) {
    await sleep(rng() * 300)
    sleepy.signal('SIGSTOP')
    const runs = `(select count(*) from tidemark.run where status = 'completed' and worker like 'steady%')`
    const [before] = await db.sql<{ n: number }>(`select ${runs} as n`)
    // The other goes on alone.
    await until(db.database, `${runs} > ${String(before?.n)}`)
    await sleep(rng() * 600)
    sleepy.signal('SIGCONT')
  }
  // The steady one is frozen for good: the other has to do it all.
  steady.signal('SIGSTOP')
  writing.abort()
  await writer
  await expectWhole(db.database)
  expect(await db.sql('select n from public.total')).toEqual([{ n: 10 + written }])
  const overlapping = await db.sql(
    `select a.view, a.run_id, b.run_id from tidemark.run a join tidemark.run b
       on a.view = b.view and a.run_id < b.run_id and a.status = 'completed' and b.status = 'completed'
      and a.finished_at > b.started_at`,
  )
  expect(overlapping).toEqual([])
  expect(await sleepy.stop()).toBe(0)
}, 300_000)
