import type { CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import type { Peer } from '../peers/peers.ts'
import type { Cost } from '../measure/interleave.ts'
import { costOf, interleaved, loadMeter } from '../measure/interleave.ts'
import type { Line, Measured } from './measures.ts'
import { linesOf } from './measures.ts'

const tagged = 100_000
const keyed = 1_000_000
const rounds = 9

/**
 * Invalidating, awaited, in one process: a tag that 100,000 entries bear, and a pattern that names a million keys. The first read
 * after each is not counted; it loads.
 */
export async function measureInvalidations(peers: readonly Peer[]): Promise<Measured> {
  const load = loadMeter()
  const lines = [...(await tagLines(peers)), ...(await patternLines())]
  return { lines, load: load() }
}

async function tagLines(peers: readonly Peer[]): Promise<Line[]> {
  const cache = await filled(tagged)
  const remove = async (times: number): Promise<void> => {
    for (let at = 0; at < times; at += 1) await cache.remove({ tags: ['all'] })
  }
  const contenders = [{ name: 'tidemark', run: remove }]
  for (const peer of peers) {
    const theirs = peer.inMemory(tagged, () => ['all'])
    const { removeTag } = theirs
    if (removeTag === null) continue
    for (let id = 0; id < tagged; id += 1)
      await theirs.getOrSet(`product:${id}`, () => Promise.resolve(id))
    contenders.push({
      name: peer.name,
      async run(times) {
        for (let at = 0; at < times; at += 1) await removeTag('all')
      },
    })
  }
  const costs = await interleaved(contenders, { rounds, turnMs: 30 })
  await cache.close()
  return linesOf('a tag on 100,000 entries', 'µs', costs, 'tidemark')
}

async function patternLines(): Promise<Line[]> {
  const cache = await filled(keyed)
  const took: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const begun = performance.now()
    await cache.remove({ patterns: ['product:*'] })
    took.push((performance.now() - begun) * 1_000)
  }
  const costs = new Map<string, Cost>([['tidemark', costOf(took)]])
  await cache.close()
  return linesOf('a pattern on 1,000,000 keys', 'µs', costs, 'tidemark')
}

async function filled(count: number): Promise<CacheManager> {
  const cache = createCache({ namespace: 'bench', memory: { max: count }, ttl: '1h' })
  const kind = cache.define('product', (id: number) => id, { tags: ['all'] })
  for (let id = 0; id < count; id += 1) await kind.get(id)
  return cache
}
