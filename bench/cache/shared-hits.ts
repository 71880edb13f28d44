import { createClient, RESP_TYPES } from 'redis'
import { createCache, redis } from '../../src/cache.ts'
import { startRedis } from '../../test/support/redis.ts'
import type { Peer } from '../peers/peers.ts'
import type { Cost } from '../measure/interleave.ts'
import { costOf, loadMeter } from '../measure/interleave.ts'
import { median } from '../measure/compare.ts'
import type { Measured } from './measures.ts'
import { linesOf, sampleOf, tagNames } from './measures.ts'

const entries = 500
const rounds = 15
const ids = Array.from({ length: entries }, (_, id) => id)

/**
 * A hit in the shared store, awaited one after the other: ours with two tags and a memory too small to help, against a GET
 * through the same client of what the store keeps, and the peers' reads that find their memory empty. Each figure is
 * the p50 of a turn over all entries.
 */
export async function measureSharedHits(peers: readonly Peer[]): Promise<Measured> {
  const server = await startRedis()
  const load = loadMeter()
  const client = await createClient({ url: server.url, disableOfflineQueue: true }).connect()
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const cache = createCache({
    namespace: 'bench',
    memory: { max: 1 },
    store: redis(client),
    ttl: '1h',
  })
  const kind = cache.define('product', sampleOf, { tags: tagNames(2), eagerness: 0 })
  for (const id of ids) await kind.get(id)
  const keys = ids.map((id) => kind.key(id))
  while ((await client.exists(keys)) < entries) continue
  const subjects: (readonly [string, (id: number) => Promise<unknown>])[] = [
    ['bare GET', (id) => bytes.sendCommand(['get', keys[id] ?? ''])],
    ['tidemark', (id) => kind.get(id)],
  ]
  const theirs = peers.map((peer) => ({
    peer,
    cache: peer.onRedis({ redisUrl: server.url, entriesMax: 1, store: same, bus: null }, () => []),
  }))
  for (const { peer, cache: their } of theirs) {
    const hit = (id: number): Promise<unknown> =>
      their.getOrSet(`${peer.name}:${id}`, () => Promise.resolve(sampleOf(id)))
    for (const id of ids) await hit(id)
    subjects.push([peer.name, hit])
  }
  const turns = new Map<string, number[]>(subjects.map(([name]) => [name, []]))
  for (let round = 0; round < rounds; round += 1)
    for (const [name, hit] of round % 2 === 0 ? subjects : subjects.toReversed())
      turns.get(name)?.push(await p50(hit))
  for (const one of [cache, ...theirs.map((each) => each.cache)]) await one.close()
  client.destroy()
  await server.stop()
  const costs = new Map<string, Cost>([...turns].map(([name, each]) => [name, costOf(each)]))
  return { lines: linesOf('hit in Redis, 2 tags, p50', 'µs', costs, 'bare GET'), load: load() }
}

async function p50(hit: (id: number) => Promise<unknown>): Promise<number> {
  const took: number[] = []
  for (const id of ids) {
    const begun = performance.now()
    await hit(id)
    took.push((performance.now() - begun) * 1_000)
  }
  return median(took)
}

const same = <Store>(own: Store): Store => own
