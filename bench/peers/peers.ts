import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { installPackages } from '../../test/support/private-packages.ts'

/** The ways of a peer that benches and races use. */
export interface PeerCache {
  readonly getOrSet: (key: string, load: () => Promise<unknown>) => Promise<unknown>
  readonly remove: (key: string) => Promise<unknown>
  /** Null: it has no tags. */
  readonly removeTag: ((tag: string) => Promise<unknown>) | null
  readonly close: () => Promise<unknown>
}

/** What a peer is told of an entry beside its key; a peer without tags leaves them out. */
export type TagsOf = (key: string) => readonly string[]

/** A store in Redis as a peer's own adapter makes it, and its way of telling other nodes; replaceable for races. */
export interface PeerSurroundings {
  readonly redisUrl: string
  /** How many entries memory holds. */
  readonly entriesMax: number
  /** Gets the peer's own adapter of Redis; what it returns is used in its place. */
  readonly store: <Store extends object>(own: Store) => Store
  /** The bus in place of the peer's own; null: its own. */
  readonly bus: PeerBus | null
}

/** Messages between the nodes of a peer. */
export interface PeerBus {
  readonly publish: (topic: string, message: unknown) => Promise<void>
  readonly subscribe: (topic: string, handler: (message: unknown) => void) => void
  readonly close: () => void
}

/** A cache that Tidemark's is compared with, set up as its manual says. */
export interface Peer {
  /** With its version. */
  readonly name: string
  /** Memory alone. */
  readonly inMemory: (entriesMax: number, tagsOf: TagsOf) => PeerCache
  /** Memory before Redis, and a bus between nodes where the peer has one. */
  readonly onRedis: (surroundings: PeerSurroundings, tagsOf: TagsOf) => PeerCache
}

/** The names of the peers. */
export const peerNames = ['bentocache', 'cacheable', 'cache-manager'] as const

/** The name of a peer. */
export type PeerName = (typeof peerNames)[number]

/** Installs the peers, unless they are there. */
export function installPeers(): void {
  installPackages(new URL('.', import.meta.url), 'peers to compare with')
}

/** A module of a peer; its type is what is used of it, for the peers need not be installed to check types. */
export const peerModule = (name: string): unknown => createRequire(import.meta.url)(name)

/** A module that cannot be required. */
const esModule = (name: string): Promise<unknown> => import(name)

/** The version of a peer, with its name. */
function versionOf(name: PeerName): string {
  const manifest = readFileSync(new URL('package.json', import.meta.url), 'utf8')
  const { dependencies } = JSON.parse(manifest) as {
    readonly dependencies: Readonly<Record<string, string>>
  }
  return `${name} ${dependencies[name] ?? '?'}`
}

const ttlMs = 3_600_000

/** A peer by name; it has been installed. */
export async function peerOf(name: PeerName): Promise<Peer> {
  switch (name) {
    case 'bentocache':
      return bentocache()
    case 'cacheable':
      return cacheable()
    case 'cache-manager':
      return cacheManager()
  }
}

interface BentoCacheModule {
  readonly BentoCache: new (options: object) => {
    readonly getOrSet: (options: object) => Promise<unknown>
    readonly delete: (options: { readonly key: string }) => Promise<unknown>
    readonly deleteByTag: (options: { readonly tags: readonly string[] }) => Promise<unknown>
    readonly disconnectAll: () => Promise<unknown>
  }
  readonly bentostore: () => BentoStore
}
interface BentoStore {
  readonly useL1Layer: (driver: unknown) => BentoStore
  readonly useL2Layer: (driver: unknown) => BentoStore
  readonly useBus: (bus: unknown) => BentoStore
}
interface BentoDriver {
  readonly options: object
  readonly factory: (config: unknown) => object
}

async function bentocache(): Promise<Peer> {
  const { BentoCache, bentostore } = (await esModule('bentocache')) as BentoCacheModule
  const { memoryDriver } = (await esModule('bentocache/drivers/memory')) as {
    memoryDriver: (options: object) => unknown
  }
  const { redisDriver, redisBusDriver } = (await esModule('bentocache/drivers/redis')) as Record<
    'redisDriver' | 'redisBusDriver',
    (options: object) => BentoDriver
  >
  const { Redis } = peerModule('ioredis') as {
    Redis: new (url: string) => { disconnect: () => void }
  }
  const cacheOf = (store: BentoStore, tagsOf: TagsOf, end: () => void): PeerCache => {
    const cache = new BentoCache({ default: 'only', stores: { only: store }, ttl: ttlMs })
    return {
      getOrSet: (key, factory) => cache.getOrSet({ key, factory, tags: tagsOf(key) }),
      remove: (key) => cache.delete({ key }),
      removeTag: (tag) => cache.deleteByTag({ tags: [tag] }),
      async close() {
        await cache.disconnectAll()
        end()
      },
    }
  }
  return {
    name: versionOf('bentocache'),
    inMemory: (maxItems, tagsOf) =>
      cacheOf(
        bentostore().useL1Layer(memoryDriver({ maxItems, serialize: false })),
        tagsOf,
        nothing,
      ),
    onRedis({ redisUrl, entriesMax: maxItems, store, bus }, tagsOf) {
      const connection = new Redis(redisUrl)
      const l2 = redisDriver({ connection })
      const layers = bentostore()
        .useL1Layer(memoryDriver({ maxItems }))
        .useL2Layer({ ...l2, factory: (config: unknown) => store(l2.factory(config)) })
        .useBus(bus === null ? redisBusDriver({ connection }) : bentoBus(bus))
      return cacheOf(layers, tagsOf, () => connection.disconnect())
    },
  }
}

/** A bus as bentocache wants one. */
function bentoBus(bus: PeerBus): object {
  let id = ''
  const transport = {
    setId(given: string) {
      id = given
      return transport
    },
    onReconnect: nothing,
    publish: (topic: string, payload: unknown) => bus.publish(topic, { id, payload }),
    subscribe(topic: string, handler: (payload: unknown) => void) {
      bus.subscribe(topic, (message) => {
        const { id: from, payload } = message as { id: string; payload: unknown }
        if (from !== id) handler(payload)
      })
      return Promise.resolve()
    },
    unsubscribe: () => Promise.resolve(),
    disconnect() {
      bus.close()
      return Promise.resolve()
    },
  }
  return { options: {}, factory: () => transport }
}

interface CacheableModule {
  readonly Cacheable: new (options: object) => {
    readonly get: (key: string) => Promise<unknown>
    readonly set: (key: string, value: unknown, options: object) => Promise<unknown>
    readonly getOrSet: (
      key: string,
      load: () => Promise<unknown>,
      options: object,
    ) => Promise<unknown>
    readonly delete: (key: string) => Promise<unknown>
    readonly tags: { readonly invalidateTag: (tag: string) => Promise<unknown> }
    readonly disconnect: () => Promise<unknown>
  }
  readonly KeyvCacheableMemory: new (options: object) => object
}
type KeyvRedisModule = { readonly default: new (url: string) => object }
type KeyvModule = { readonly Keyv: new (options: object) => object }

function cacheable(): Peer {
  const { Cacheable, KeyvCacheableMemory } = peerModule('cacheable') as CacheableModule
  const { default: KeyvRedis } = peerModule('@keyv/redis') as KeyvRedisModule
  const cacheOf = (options: object, tagsOf: TagsOf): PeerCache => {
    const cache = new Cacheable({ ...options, tags: true, ttl: ttlMs })
    return {
      // Its getOrSet takes no tags: who wants them reads through by hand.
      async getOrSet(key, load) {
        const tags = tagsOf(key)
        if (tags.length === 0) return cache.getOrSet(key, load, { throwErrors: true })
        const known = await cache.get(key)
        if (known !== undefined) return known
        const value = await load()
        await cache.set(key, value, { tags })
        return value
      },
      remove: (key) => cache.delete(key),
      removeTag: (tag) => cache.tags.invalidateTag(tag),
      close: () => cache.disconnect(),
    }
  }
  return {
    name: versionOf('cacheable'),
    inMemory: (lruSize, tagsOf) =>
      cacheOf({ primary: new KeyvCacheableMemory({ lruSize }) }, tagsOf),
    onRedis({ redisUrl, entriesMax: lruSize, store, bus }, tagsOf) {
      const primary = new KeyvCacheableMemory({ lruSize })
      const layers = { primary, secondary: store(new KeyvRedis(redisUrl)) }
      return cacheOf(bus === null ? layers : { ...layers, sync: qifiedOn(bus) }, tagsOf)
    },
  }
}

/** A bus as cacheable wants one. */
function qifiedOn(bus: PeerBus): object {
  const provider = {
    id: 'race',
    subscriptions: new Map(),
    publish: (topic: string, message: unknown) => bus.publish(topic, message),
    subscribe(topic: string, { handler }: { handler: (message: unknown) => void }) {
      bus.subscribe(topic, handler)
      return Promise.resolve()
    },
    unsubscribe: () => Promise.resolve(),
    disconnect() {
      bus.close()
      return Promise.resolve()
    },
  }
  return { qified: provider }
}

interface CacheManagerModule {
  readonly createCache: (options: object) => {
    readonly wrap: (key: string, load: () => Promise<unknown>) => Promise<unknown>
    readonly del: (key: string) => Promise<unknown>
    readonly disconnect: () => Promise<unknown>
  }
}

function cacheManager(): Peer {
  const { createCache } = peerModule('cache-manager') as CacheManagerModule
  const { KeyvCacheableMemory } = peerModule('cacheable') as CacheableModule
  const { Keyv } = peerModule('keyv') as KeyvModule
  const { default: KeyvRedis } = peerModule('@keyv/redis') as KeyvRedisModule
  const memory = (lruSize: number): object =>
    new Keyv({ store: new KeyvCacheableMemory({ lruSize }) })
  const cacheOf = (stores: readonly object[]): PeerCache => {
    const cache = createCache({ stores, ttl: ttlMs })
    return {
      getOrSet: (key, load) => cache.wrap(key, load),
      remove: (key) => cache.del(key),
      removeTag: null,
      close: () => cache.disconnect(),
    }
  }
  return {
    name: versionOf('cache-manager'),
    // Its own default, a Map without a bound, is faster; this is what its manual offers with one.
    inMemory: (entriesMax) => cacheOf([memory(entriesMax)]),
    // It has no bus.
    onRedis: ({ redisUrl, entriesMax, store }) =>
      cacheOf([memory(entriesMax), new Keyv({ store: store(new KeyvRedis(redisUrl)) })]),
  }
}

const nothing = (): void => undefined
