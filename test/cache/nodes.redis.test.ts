import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createClient, RESP_TYPES } from 'redis'
import { Redis as Ioredis } from 'ioredis'
import { Redis as Iovalkey } from 'iovalkey'
import type { CacheManager, CacheOptions, StoreOption } from '../../src/cache.ts'
import { cached, createCache, redis } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import { redisLink } from '../../src/cache/redis-link.ts'
import { redisJournal } from '../../src/cache/redis-store.ts'
import type { Tag } from '../../src/model/invalidation.ts'
import { gate } from '../support/gate.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

let server: TestRedis
let open: CacheManager[] = []
let source = 1
let loads = 0

beforeAll(async () => {
  server = await startRedis()
})
afterAll(async () => {
  await server.stop()
})
beforeEach(async () => {
  source = 1
  loads = 0
  const client = await connected()
  await client.flushAll()
  await client.close()
})
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
})

function node(store: StoreOption = redis(server.url), options: Partial<CacheOptions> = {}) {
  const cache = createCache({ namespace: 'test', store, ...options })
  open.push(cache)
  const thing = cache.define(
    'thing',
    async (id: number) => {
      loads += 1
      return Promise.resolve(cached({ id, source }, { tags: [`thing_${id}`] }))
    },
    { version: '1', tags: ['things'], hardTimeout: '3s' },
  )
  return { cache, thing }
}

type Client = Awaited<ReturnType<typeof connected>>

const connected = () => createClient({ url: server.url }).connect()

/** A node that hears of nothing that it does not look for. */
async function deafNode(options: Partial<CacheOptions> = {}) {
  const client = await connected()
  const rights = ['on', 'nopass', '~*', '&*', '+@all', '-subscribe']
  await client.aclSetUser('deaf', rights)
  await client.close()
  const url = new URL(server.url)
  url.username = 'deaf'
  url.password = 'any'
  return node(redis(url.href), options)
}

/** What a Redis holds. */
async function dumped(client: Client): Promise<[string, Buffer][]> {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const keys = await client.keys('*')
  return Promise.all(
    keys.map(async (key): Promise<[string, Buffer]> => [key, await bytes.dump(key)]),
  )
}

/** Lets a Redis hold this and nothing else. */
async function restored(client: Client, kept: readonly [string, Buffer][]): Promise<void> {
  const transaction = client.multi().flushAll()
  for (const [key, content] of kept) transaction.addCommand(['RESTORE', key, '0', content])
  await transaction.exec()
}

const clients: Readonly<Record<string, () => { store: StoreOption; end: () => void }>> = {
  'redis by url': () => ({ store: redis(server.url), end: () => undefined }),
  redis: () => {
    const client = createClient({ url: server.url })
    return { store: redis(client), end: () => client.destroy() }
  },
  ioredis: () => {
    const client = new Ioredis(server.url)
    return { store: redis(client), end: () => client.disconnect() }
  },
  iovalkey: () => {
    const client = new Iovalkey(server.url)
    return { store: redis(client), end: () => client.disconnect() }
  },
}

describe.each(Object.entries(clients))('nodes that share a Redis through %s', (_, client) => {
  test('load once, and none serves what another one has removed', async () => {
    const mine = client()
    const [a, b] = [node(mine.store), node()]
    expect(await a.thing.get(7)).toMatchObject({ value: { source: 1 }, state: 'miss' })
    await expect.poll(async () => (await b.thing.get(7)).tier).toBe('memory')
    expect(loads).toBe(1)
    for (const remove of [
      () => a.thing.remove(7),
      () => a.cache.remove({ tags: ['things'] }),
      () => a.cache.remove({ tags: ['thing_7'] }),
      () => a.cache.remove({ patterns: ['thing:*'] }),
      () => b.cache.remove({ patterns: ['*'] }),
    ]) {
      source += 1
      await remove()
      const answers = await Promise.all([a.thing.get(7), b.thing.get(7)])
      expect(answers.map(({ value }) => value.source)).toEqual([source, source])
    }
    expect(loads).toBe(6)
    mine.end()
  })
})

test('an invalidation is told and counted once by each node: by whom it came from, and as news by the others', async () => {
  const told: string[] = []
  const listening = (name: string) =>
    node(undefined, {
      onEvent: (event) => {
        if (event.event === 'invalidated') told.push(`${name} ${event.by} ${event.tags.join()}`)
      },
    })
  const [a, b] = [listening('a'), listening('b')]
  // A node that nobody reads rests: it hears again with the next read.
  const heard = ({ cache, thing }: ReturnType<typeof node>, count: number) =>
    expect
      .poll(
        async () => {
          await thing.get(7)
          return cache.getStats().invalidations
        },
        { timeout: 10_000 },
      )
      .toBe(count)
  for (const { thing } of [a, b]) await thing.get(7)
  for (const [at, tag] of ['things', 'thing_7'].entries()) {
    await a.cache.remove({ tags: [tag] })
    await heard(b, at + 1)
  }
  await b.cache.remove({ tags: ['things'] })
  await heard(a, 3)
  expect(told.filter((line) => line.startsWith('a'))).toEqual([
    'a here tag:things',
    'a here tag:thing_7',
    'a journal tag:things',
  ])
  expect(told.filter((line) => line.startsWith('b'))).toEqual([
    'b journal tag:things',
    'b journal tag:thing_7',
    'b here tag:things',
  ])
})

test('what one node sets all give, and none what was there before', async () => {
  const [a, b] = [node(), node()]
  await a.thing.get(7)
  await b.thing.get(7)
  for (const set of [10, 11]) {
    expect(await a.thing.set([7], () => ({ id: 7, source: set }))).toBe(true)
    await expect.poll(async () => (await b.thing.get(7)).value.source).toBe(set)
  }
  expect(loads).toBe(1)
})

test('a thousand callers on four nodes make one load', async () => {
  const held = gate()
  const nodes = [1, 2, 3, 4].map(() => {
    const cache = createCache({ namespace: 'test', store: redis(server.url) })
    open.push(cache)
    const load = async (): Promise<number> => {
      loads += 1
      await held.passed
      return source
    }
    return cache.define('slow', load, { version: '1', hardTimeout: '50s' })
  })
  const answers = nodes.flatMap((slow) => Array.from({ length: 250 }, () => slow.get()))
  await expect.poll(() => loads, { timeout: 5_000 }).toBe(1)
  held.open()
  const values = await Promise.all(answers)
  expect(new Set(values.map(({ value }) => value))).toEqual(new Set([1]))
  expect(loads).toBe(1)
})

test('law: a load that an invalidation on another node outdates is stored nowhere', async () => {
  const [a, b] = [node(), node()]
  const held = gate()
  const begun = gate()
  const load = async () => {
    const seen = source
    begun.open()
    await held.passed
    return seen
  }
  const slow = a.cache.define('slow', load, { version: '1', tags: ['slow'] })
  const other = b.cache.define('slow', () => source, { version: '1', tags: ['slow'] })
  const first = slow.get()
  await begun.passed
  source = 2
  await b.cache.remove({ tags: ['slow'] })
  held.open()
  expect((await first).value).toBe(1)
  expect((await slow.get()).value).toBe(2)
  expect((await other.get()).value).toBe(2)
})

test('law: a value that is set while another node invalidates it is stored nowhere', async () => {
  const [a, b] = [node(), node()]
  const [begun, making] = [gate(), gate<number>()]
  const set = a.thing.set([7], async () => {
    begun.open()
    return { id: 7, source: await making.passed }
  })
  await begun.passed
  await b.cache.remove({ tags: ['things'] })
  making.open(10)
  expect(await set).toBe(false)
  for (const { thing } of [a, b]) expect((await thing.get(7)).value.source).toBe(1)
})

test('law: an entry is not taken from Redis when its tags are forgotten there', async () => {
  const [a, b] = [node(), node()]
  await a.thing.get(7)
  const client = await connected()
  await expect.poll(() => client.exists(a.thing.key(7))).toBe(1)
  source = 2
  await a.cache.remove({ tags: ['things'] })
  const forgotten = (await client.keys('test:~tag:*')).filter((key) => key.includes('things'))
  expect(await client.del(forgotten)).toBe(1)
  await client.close()
  expect((await b.thing.get(7)).value.source).toBe(2)
})

test('law: a Redis that came back empty makes nobody serve what was removed meanwhile', async () => {
  const [a, b] = [node(), node()]
  await Promise.all([a.thing.get(7), b.thing.get(7)])
  source = 2
  await server.restart()
  await expect(a.thing.remove(7).catch(() => a.thing.remove(7))).resolves.toBeUndefined()
  expect((await b.thing.get(7)).value.source).toBe(2)
})

test('law: a Redis that forgets who reads makes nobody serve what was removed meanwhile', async () => {
  const [a, b] = [node(), await deafNode()]
  await Promise.all([a.thing.get(7), b.thing.get(7)])
  const client = await connected()
  for (source = 2; source < 6; source += 1) {
    await client.del('test:~seen')
    await a.thing.remove(7)
    expect((await b.thing.get(7)).value.source).toBe(source)
  }
  await client.close()
})

test('law: a Redis that has lost its last commands makes nobody serve what was removed by them', async () => {
  const [a, b] = [node(), node()]
  const client = await connected()
  await Promise.all([a.thing.get(7), b.thing.get(7)])
  const kept = await dumped(client)
  source = 2
  await a.cache.remove({ tags: ['things'] })
  expect((await a.thing.get(7)).value.source).toBe(2)
  // As a failover to a replica that lagged behind: the last invalidation has never been.
  await restored(client, kept)
  source = 3
  await b.cache.remove({ tags: ['things'] })
  const answers = await Promise.all([a.thing.get(7), b.thing.get(7)])
  await client.close()
  expect(answers.map(({ value }) => value.source)).toEqual([3, 3])
})

test('law: a node that has looked goes on being waited for, whatever place it is noted with; who has not for so long does not', async () => {
  const client = await connected()
  const link = redisLink(client, false)
  const noted = async () => (await client.zCard('test:~seen')) - 1
  // So much time passes for this one with each look at its clock: it waits for nobody.
  let now = 0
  const timing = { ...systemTiming, now: () => (now += 100_000) }
  const journalOf = (maxLagMs: number) => redisJournal(link, 'test', { maxLagMs, timing })
  const looker = journalOf(60_000)
  const { position } = await looker.look(null)
  const told = await journalOf(60_000).append({ verb: 'remove', tags: ['things' as Tag], keys: [] })
  // It answers with this until it looks again, though it is noted with what it had taken in before.
  await looker.look(position)
  await journalOf(60_000).settled(told)
  expect(await noted()).toBe(1)
  const letGo = async () => {
    await journalOf(0).settled(told)
    return noted()
  }
  await expect.poll(letGo).toBe(0)
  await client.close()
})

test('who removes waits for each node to have heard of it, and for no more', async () => {
  // Time stands still, and waits of its length are dropped: only what is heard can end the wait for the other node.
  const maxLag = '200ms'
  const timing = {
    now: () => 1_000,
    after: (ms: number, callback: () => void, background = false) =>
      ms < 100 ? systemTiming.after(ms, callback, background) : () => undefined,
  }
  const a = node(redis(server.url), { maxLag })
  const b = await deafNode({ maxLag, timing })
  await Promise.all([a.thing.get(7), b.thing.get(7)])
  const client = await connected()
  const knownMs = async () => {
    const since = (await client.zScore('test:~seen', '~since')) ?? Infinity
    return Date.now() - since
  }
  await expect.poll(knownMs).toBeGreaterThan(200)
  await client.close()
  source = 2
  await b.thing.remove(7)
  await b.cache.remove({ tags: ['things'] })
  expect((await b.thing.get(7)).value.source).toBe(2)
  expect((await a.thing.get(7)).value.source).toBe(2)
})

test('a Redis that stands still keeps nobody waiting beyond the bound, and the source answers', async () => {
  const a = node()
  await a.thing.get(7)
  server.freeze()
  try {
    source = 2
    await expect.poll(async () => (await a.thing.get(8)).value.source, { timeout: 5_000 }).toBe(2)
    expect((await a.thing.get(7)).value.source).toBe(2)
    await expect(a.thing.remove(7)).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_UNREACHABLE' })
  } finally {
    server.thaw()
  }
})

test('an invalidation that Redis did not take reaches the other nodes when it is back', async () => {
  const [a, b] = [node(), node()]
  await Promise.all([a.thing.get(7), b.thing.get(7)])
  server.freeze()
  source = 2
  await expect(a.thing.remove(7)).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_UNREACHABLE' })
  server.thaw()
  await expect.poll(async () => (await b.thing.get(7)).value.source, { timeout: 5_000 }).toBe(2)
})

test('keys can be read by a person with redis-cli', async () => {
  const a = node()
  await a.thing.get(7)
  const client = await connected()
  await expect.poll(() => client.keys('test:thing:*')).toEqual([`test:thing:7:6b86b273`])
  await client.close()
})
