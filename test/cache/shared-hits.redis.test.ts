import { createClient, RESP_TYPES } from 'redis'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { CacheEvent, CacheOptions } from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import { gate } from '../support/gate.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

let server: TestRedis
let client: Awaited<ReturnType<typeof connected>>
let source = 1

const connected = () => createClient({ url: server.url }).connect()

beforeAll(async () => {
  server = await startRedis()
  client = await connected()
})
afterAll(async () => {
  client.destroy()
  await server.stop()
})
beforeEach(async () => {
  source = 1
  await client.flushAll()
})

/** A node whose memory is of no help. */
function node(options: Partial<CacheOptions> = {}) {
  const store = redis(server.url)
  const cache = createCache({ namespace: 'test', store, memory: { max: 1 }, ...options })
  onTestFinished(() => cache.close())
  const terms = { version: '1', eagerness: 0, tags: ['things'] } as const
  const thing = cache.define('thing', (id: number) => [id, source], terms)
  const other = cache.define('other', () => source, { ...terms, tags: [] })
  return { cache, thing, other, read: async (id: number) => (await thing.get(id)).value[1] }
}

/** Has a node store things in Redis. */
async function stored({ thing }: ReturnType<typeof node>, ids: readonly number[]): Promise<void> {
  for (const id of ids) await thing.get(id)
  for (const id of ids)
    await expect.poll(async () => (await thing.get(id)).tier, { interval: 5 }).not.toBe('source')
}

/** A connection of a node's own, and what of entries is asked through it. */
async function overheard() {
  const own = await connected()
  onTestFinished(() => {
    own.destroy()
  })
  const words: string[] = []
  const send = own.sendCommand.bind(own)
  own.sendCommand = (command, options) => {
    const [name] = command
    if (name === 'get' || name === 'mget') words.push(name)
    return send(command, options)
  }
  return { store: redis(own), asked: () => words.splice(0) }
}

test('a hit in Redis is one GET', async () => {
  const { store, asked } = await overheard()
  const a = node({ store })
  await stored(a, [7, 8])
  asked()
  for (const id of [7, 8, 7, 8])
    expect(await a.thing.get(id)).toMatchObject({ tier: 'shared', state: 'hit' })
  expect(asked()).toEqual(['get', 'get', 'get', 'get'])
})

test('entries from before a node began are judged by Redis, in one question from the second on', async () => {
  const a = node()
  await stored(a, [7, 8, 9])
  await a.cache.remove({ tags: ['of nothing'] })
  const { store, asked } = await overheard()
  const b = node({ store })
  const hit = async (id: number): Promise<string[]> => {
    asked()
    expect(await b.thing.get(id)).toMatchObject({ tier: 'shared', state: 'hit' })
    return asked()
  }
  expect(await hit(7)).toEqual([])
  expect(await hit(8)).toEqual(['get', 'mget'])
  expect(await hit(9)).toEqual(['mget'])
  await a.thing.remove(7)
  await stored(a, [7, 10])
  expect(await hit(7)).toEqual(['mget'])
  expect(await hit(10)).toEqual(['get'])
})

test('law: an entry that is in Redis still is not given by who has heard that one of its tags was invalidated', async () => {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const [a, b] = [node(), node()]
  for (const remove of [
    () => a.cache.remove({ tags: ['things'] }),
    () => a.cache.remove({ patterns: ['thing:*'] }),
  ]) {
    await stored(a, [7, 8])
    await stored(b, [7, 8])
    const kept = await bytes.get(a.thing.key(7))
    source += 1
    await remove()
    await bytes.set(a.thing.key(7), kept ?? '')
    expect([await a.read(7), await b.read(7)]).toEqual([source, source])
  }
})

test('law: what a process has told the journal and not heard of itself is not judged by what it has heard', async () => {
  let away = false
  const a = node({
    maxLag: '10s',
    onWrite: { things: ['thing:*'] },
    journalThrough: (own) => ({
      ...own,
      look: (since) => (away ? Promise.reject(new Error('no answer')) : own.look(since)),
    }),
  })
  await stored(a, [7, 8])
  away = true
  source = 2
  await a.cache.wrote([{ table: 'things', rows: null, columns: null }])
  expect([await a.read(7), await a.read(8)]).toEqual([2, 2])
})

test('law: who was given an answer by Redis is given none by an earlier position after it', async () => {
  const heard = gate()
  const maxLag = '1s'
  const a = node({
    maxLag,
    journalThrough: (own) => ({
      ...own,
      look: async (since) => {
        if (since !== null) await heard.passed
        return own.look(since)
      },
    }),
  })
  const b = node({ maxLag })
  await stored(a, [7, 8])
  source = 2
  const removed = b.cache.remove({ tags: ['things'] })
  await expect.poll(() => client.get('test:~head')).toMatch(/^\S+ 1 /)
  // Nobody has removed it yet as far as `a` knows, until a question of something else is answered from after it.
  expect((await a.other.get()).value).toBe(2)
  expect(await a.read(7)).toBe(2)
  heard.open()
  await removed
})

class Money {
  readonly amount: number
  constructor(amount: number) {
    this.amount = amount
  }
}

test('a value that would come back from Redis as something else stays in the process that loaded it, and that is told once', async () => {
  const events: CacheEvent[] = []
  const lines: string[] = []
  const log = {
    info: () => undefined,
    error: () => undefined,
    warn: (line: string) => lines.push(line),
  }
  const readers = ['a', 'b'].map((name) => {
    const onEvent = (event: CacheEvent): void => {
      events.push(event)
    }
    const options = { node: name, log, memory: { max: 10 }, ...(name === 'a' ? { onEvent } : {}) }
    const { cache } = node(options)
    return cache.define('price', (id: number) => [new Money(id * source)], { version: '1' })
  })
  for (const reader of [...readers, ...readers]) {
    for (const id of [1, 2]) expect((await reader.get(id)).value).toEqual([new Money(id)])
  }
  const of = readers[0]?.key(1)
  expect(events.filter(({ event }) => event === 'not_shared')).toEqual([
    {
      event: 'not_shared',
      kind: 'price',
      tenant: null,
      key: of,
      part: 'an instance of Money at 0',
    },
  ])
  expect(lines).toContain(`Cache not shared: ${of ?? ''} (an instance of Money at 0)`)
  expect(await client.exists(of ?? '')).toBe(0)
})
