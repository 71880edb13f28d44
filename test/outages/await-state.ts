import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Queryable } from '../../src/postgres/connection.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { differing } from '../support/hand-made.ts'

const withinMs = 45_000

/** Waits until a look says yes; a look that fails says no. Throws what it waited for after a minute. */
export async function eventually(
  what: string,
  look: () => Promise<boolean> | boolean,
  ms: number = withinMs,
): Promise<void> {
  const deadline = Date.now() + ms
  let lastError: unknown
  for (;;) {
    try {
      if (await look()) return
    } catch (error) {
      lastError = error
    }
    if (Date.now() > deadline) throw new Error(`never met: ${what}`, { cause: lastError })
    await sleep(20)
  }
}

/** Waits until a condition in SQL holds. */
export function until(
  database: Queryable,
  condition: string,
  ms: number = withinMs,
): Promise<void> {
  return eventually(
    condition,
    async () => {
      const [row] = await database.query<{ met: boolean }>(`select (${condition}) as met`)
      return row?.met === true
    },
    ms,
  )
}

/** Nothing asked for, and every view reflects every commit. */
const allFresh = `not exists (select from tidemark.request)
  and not exists (select from tidemark.freshness f where f.staleness_ms is distinct from 0)`

/** Law 8: every view is fresh and equal to its query, and no run is without an end. */
export async function expectWhole(
  database: Queryable,
  views: readonly string[] = ['by_region', 'total'],
): Promise<void> {
  await until(database, allFresh)
  for (const view of views) expect(await differing(database.query, view)).toBe(0)
  expect(await database.query(`select * from tidemark.run where status = 'running'`)).toEqual([])
}

/** Ticks and works as an engine would, until nothing is left to do. */
export async function workUntilWhole(
  database: Queryable,
  views: readonly string[] = ['by_region', 'total'],
): Promise<void> {
  await eventually('nothing left to do', async () => {
    await tick(database)
    await work(database, { worker: 'test', groupsMax: 10, laneMax: 'background' })
    const [row] = await database.query<{ met: boolean }>(`select (${allFresh}) as met`)
    if (row?.met === true) return true
    const left = await database.query('select view, state, reason from tidemark.freshness_of()')
    throw new Error(JSON.stringify(left))
  })
  await expectWhole(database, views)
}
