import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import type { TestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { createShop } from './shop.ts'

let server: TestRedis
let db: TestDatabase

beforeAll(async () => {
  server = await startRedis()
  db = await createShop()
  await db.sql('insert into quotes values (1, 7, 1)')
})
afterAll(async () => {
  await db.drop()
  await server.stop()
})

const frozenMs = process.env['TIDEMARK_LONG'] === '1' ? 30_000 : 1_500
const hardMs = 3_000
/** Longer than `maxLag`: who has heard nothing for so long, has looked again or answers from the source. */
const stepMs = 200

function cacheOf(options: Partial<CacheOptions>): CacheManager {
  const cache = createCache({ namespace: 'shop', store: redis(server.url), ...options })
  onTestFinished(() => cache.close())
  return cache
}

/** What a question brings; it is an error of the test when that takes longer than a question may. */
async function inTime<Result>(asked: Promise<Result>): Promise<Result> {
  const begun = performance.now()
  return asked.finally(() => {
    // The machine may be busy with others.
    expect(performance.now() - begun).toBeLessThan(hardMs + 1_000)
  })
}

test(
  `law: while a Redis is frozen, for ${frozenMs} ms, questions are answered in time and truly, and after it nothing older is`,
  { timeout: frozenMs + 60_000 },
  async () => {
    let source = 1
    const options = { version: '1', hardTimeout: `${hardMs}ms` } as const
    const things = () => {
      const cache = cacheOf({})
      return { cache, thing: cache.define('thing', () => source, options) }
    }
    const [a, b] = [things(), things()]
    const amountOf = async (tenant: number): Promise<number> => {
      const [row] = await db.sql<{ amount: number }>(
        `select amount from quotes where tenant_id = ${String(tenant)}`,
      )
      return row?.amount ?? -1
    }
    const byDatabase = cacheOf({ database: db.url })
    const total = byDatabase.define('total', amountOf, {
      ...options,
      dependsOn: { quotes: 'tenant_id' },
    })
    const told = (): Promise<number[]> =>
      Promise.all(
        [a.thing.get(), b.thing.get(), total.get(7)].map(async (asked) => {
          const { value } = await inTime<{ readonly value: number }>(asked)
          return value
        }),
      )
    expect(await told()).toEqual([1, 1, 1])
    server.freeze()
    const thawAt = performance.now() + frozenMs
    const removed: Promise<unknown>[] = []
    while (performance.now() < thawAt) {
      source += 1
      removed.push(inTime(a.thing.remove()).catch((error: unknown) => error))
      await db.sql(`update quotes set amount = ${source}`)
      await pause(stepMs)
      expect(await told()).toEqual([source, source, source])
    }
    for (const outcome of await Promise.all(removed))
      expect(outcome).toMatchObject({ code: 'TIDEMARK_CACHE_UNREACHABLE' })
    server.thaw()
    const since: number[] = []
    const states = async (): Promise<unknown[]> => {
      since.push(...(await told()))
      const answers = await Promise.all([a.thing.get(), b.thing.get(), total.get(7)])
      return answers.map(({ state }) => state)
    }
    await expect.poll(states, { timeout: 20_000 }).toEqual(['hit', 'hit', 'hit'])
    expect(new Set(since)).toEqual(new Set([source]))
    source += 1
    await db.sql(`update quotes set amount = ${source}`)
    await a.thing.remove()
    await pause(stepMs)
    expect(await told()).toEqual([source, source, source])
  },
)

test('start() while a Redis is frozen is refused with a code', async () => {
  const cache = cacheOf({})
  server.freeze()
  try {
    await expect(inTime(cache.start())).rejects.toMatchObject({
      code: 'TIDEMARK_CACHE_UNREACHABLE',
    })
  } finally {
    server.thaw()
  }
  await expect.poll(() => cache.start().then(() => 'started')).toBe('started')
})
