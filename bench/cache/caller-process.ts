import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { createClient } from 'redis'
import { createCache, redis } from '../../src/cache.ts'
import type { PeerName } from '../peers/peers.ts'
import { peerOf } from '../peers/peers.ts'

// One of the processes of callers.ts: says that it is ready, waits for the word, and has all of its callers ask at once.
const [, , name = '', redisUrl = '', callers = '', source = ''] = process.argv
const client = await createClient({ url: redisUrl }).connect()

async function load(): Promise<number> {
  await client.incr('bench:loads')
  await pause(100)
  if (source === 'fails') throw new Error('the source fails')
  return 1
}

async function reader(): Promise<{ read: () => Promise<unknown>; close: () => Promise<unknown> }> {
  if (name === 'tidemark') {
    const cache = createCache({ namespace: 'bench', store: redis(redisUrl) })
    await cache.start()
    const kind = cache.define('missing', load)
    return { read: () => kind.get(), close: () => cache.close() }
  }
  const peer = await peerOf(name as PeerName)
  const surroundings = { redisUrl, entriesMax: 100, store: <Store>(own: Store) => own, bus: null }
  const cache = peer.onRedis(surroundings, () => [])
  await cache.getOrSet('warm', () => Promise.resolve(1))
  return { read: () => cache.getOrSet('missing', load), close: () => cache.close() }
}

const { read, close } = await reader()
process.send?.('ready')
await once(process, 'message')
await Promise.allSettled(Array.from({ length: Number(callers) }, read))
// What is stored behind the callers' backs is stored before the others give up waiting for it.
await close()
process.exit()
