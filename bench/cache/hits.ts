import { createCache } from '../../src/cache.ts'
import type { Contender } from '../measure/interleave.ts'
import { interleaved, loadMeter } from '../measure/interleave.ts'
import type { Peer } from '../peers/peers.ts'
import { peerModule } from '../peers/peers.ts'
import type { Line, Measured } from './measures.ts'
import { linesOf, sampleOf, tagNames } from './measures.ts'

const entries = 1_000
const ids = Array.from({ length: entries }, (_, id) => id)

/** What lru-cache is used for here. */
export interface LruModule {
  readonly LRUCache: new (options: { readonly max: number }) => {
    readonly get: (key: string) => unknown
    readonly set: (key: string, value: unknown) => unknown
  }
}

/** A hit in memory with 0, 2 and 10 tags: ours prepared and awaited, the peers', and a bare get of lru-cache. */
export async function measureHits(peers: readonly Peer[]): Promise<Measured> {
  const load = loadMeter()
  const lines: Line[] = []
  for (const tags of [0, 2, 10]) {
    const ours = await ourContenders(tags)
    const theirs = await Promise.all(peers.map((peer) => peerContender(peer, tags)))
    const contenders = [...ours.contenders, ...theirs, lruContender()]
    const costs = await interleaved(contenders, { rounds: 15, turnMs: 30 })
    lines.push(...linesOf(`hit in memory, ${tags} tags`, 'µs', costs, 'tidemark, awaited'))
    await ours.close()
  }
  return { lines, load: load() }
}

/** Each entry in turn. */
const each =
  (hit: (id: number) => unknown) =>
  (times: number): undefined => {
    for (let at = 0; at < times; at += 1) hit(at % entries)
  }
const eachAwaited =
  (hit: (id: number) => Promise<unknown>) =>
  async (times: number): Promise<void> => {
    for (let at = 0; at < times; at += 1) await hit(at % entries)
  }

async function ourContenders(
  tags: number,
): Promise<{ readonly contenders: readonly Contender[]; readonly close: () => Promise<void> }> {
  const cache = createCache({ namespace: 'bench', memory: { max: 2 * entries }, ttl: '1h' })
  const options = { tags: tagNames(tags), eagerness: 0 }
  const byId = cache.define('product', sampleOf, options)
  const byTenant = cache.define(
    'quotes:list',
    (tenant: number, page: object) => ({ tenant, ...page }),
    {
      ...options,
      tenant: (tenant) => tenant,
    },
  )
  const pages = ids.map((id) => ({ page: id, status: 'OPEN' }))
  const prepared = ids.map((id) => byId.prepare(id))
  for (const id of ids) {
    await byId.get(id)
    await byTenant.get(7, pages[id] ?? {})
  }
  return {
    close: () => cache.close(),
    contenders: [
      { name: 'tidemark, prepared', run: each((id) => prepared[id]?.hit()) },
      { name: 'tidemark, awaited', run: eachAwaited((id) => byId.get(id)) },
      {
        name: 'tidemark, awaited, tenant and an object',
        run: eachAwaited((id) => byTenant.get(7, pages[id] ?? {})),
      },
    ],
  }
}

async function peerContender(peer: Peer, tags: number): Promise<Contender> {
  const names = tagNames(tags)
  const cache = peer.inMemory(2 * entries, () => names)
  const keys = ids.map((id) => `product:${id}`)
  const hit = (id: number): Promise<unknown> =>
    cache.getOrSet(keys[id] ?? '', () => Promise.resolve(sampleOf(id)))
  for (const id of ids) await hit(id)
  return { name: peer.name, run: eachAwaited(hit) }
}

function lruContender(): Contender {
  const { LRUCache } = peerModule('lru-cache') as LruModule
  const cache = new LRUCache({ max: 2 * entries })
  const keys = ids.map((id) => `product:${id}`)
  for (const id of ids) cache.set(keys[id] ?? '', sampleOf(id))
  return { name: 'lru-cache, bare get', run: each((id) => cache.get(keys[id] ?? '')) }
}
