import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

let server: TestRedis

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

/** A source with one value, and nodes that cache it over Redis. */
function nodesOver(namespace: string, options: Partial<CacheOptions> = {}) {
  let value = 1
  const node = () => {
    const cache: CacheManager = createCache({ namespace, store: redis(server.url), ...options })
    onTestFinished(() => cache.close())
    const lista = cache.define('lista', () => value, { dependsOn: ['productos'], version: '1' })
    return { cache, read: async () => (await lista.get()).value }
  }
  const write = async (by: CacheManager, next: number): Promise<void> => {
    value = next
    await by.wrote([{ table: 'productos', rows: null, columns: null }])
  }
  return { one: node(), two: node(), write }
}

test('law: who has written is answered with it at once, not with what Redis had; the others hear of it', async () => {
  const { one, two, write } = nodesOver('uno')
  for (let round = 2; round < 30; round += 1) {
    await Promise.all([one.read(), two.read()])
    await write(one.cache, round)
    expect(await one.read()).toBe(round)
    await expect.poll(two.read).toBe(round)
  }
})

test('a write is no failure because Redis is away, and is in every answer of who wrote', async () => {
  const { one, write } = nodesOver('dos')
  expect(await one.read()).toBe(1)
  await server.kill()
  await write(one.cache, 2)
  expect(await one.read()).toBe(2)
  await server.restart()
  await expect.poll(one.read).toBe(2)
})
