import { createCache } from '../../src/cache.ts'
import type { PeerName } from '../peers/peers.ts'
import { peerModule, peerOf } from '../peers/peers.ts'
import type { LruModule } from './hits.ts'
import { sampleOf, tagNames } from './measures.ts'

// A process of bytes.ts: fills a cache and prints what an entry takes.
const entries = 100_000
const subject = process.argv[2] ?? ''

/** Fills a cache; what it returns is kept until the memory has been measured. */
async function filled(): Promise<unknown> {
  if (subject.startsWith('tidemark')) {
    const cache = createCache({ namespace: 'bench', memory: { max: entries }, ttl: '1h' })
    const tags = tagNames(subject === 'tidemark' ? 0 : 2)
    const kind = cache.define('product', (id: number) => sampleOf(id), { tags, version: '1' })
    for (let id = 0; id < entries; id += 1) await kind.get(id)
    return cache
  }
  const keyOf = (id: number): string => ['bench', 'product', id, '6b86b273'].join(':')
  if (subject === 'lru-cache') {
    const { LRUCache } = peerModule('lru-cache') as LruModule
    const cache = new LRUCache({ max: entries })
    for (let id = 0; id < entries; id += 1) cache.set(keyOf(id), sampleOf(id))
    return cache
  }
  const cache = (await peerOf(subject as PeerName)).inMemory(entries, () => [])
  for (let id = 0; id < entries; id += 1)
    await cache.getOrSet(keyOf(id), () => Promise.resolve(sampleOf(id)))
  return cache
}

function heapBytes(): number {
  for (let again = 0; again < 3; again += 1) globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

// Loading the programs and compiling them is not what is measured.
const warm = await filled()
const before = heapBytes()
const measured = await filled()
console.log(Math.round((heapBytes() - before) / entries))
process.exitCode = warm === measured ? 1 : 0
process.exit()
