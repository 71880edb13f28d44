import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createClient } from 'redis'
import { systemTiming } from '../../src/base/timing.ts'
import type { CacheOptions } from '../../src/cache.ts'
import { cached, postgres, redis } from '../../src/cache.ts'
import { postgresStore } from '../../src/cache/postgres-store.ts'
import { redisLink } from '../../src/cache/redis-link.ts'
import { redisStore } from '../../src/cache/redis-store.ts'
import type { Journal } from '../../src/cache/journal.ts'
import type { SharedAnswer, SharedRead, SharedStore } from '../../src/cache/shared-store.ts'
import type { KindOptions } from '../../src/engine/caches/cache-options.ts'
import type { EntryKey, Position, Tag } from '../../src/model/invalidation.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { gate } from '../support/gate.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { createShop } from './shop.ts'

let server: TestRedis
let db: TestDatabase

beforeAll(async () => {
  server = await startRedis()
  db = await createShop()
})
afterAll(async () => {
  await server.stop()
  await db.drop()
})
beforeEach(async () => {
  await (await client()).flushAll()
  for (const table of ['shared_entry', 'shared_lease', 'shared_failure'])
    await db.sql(`delete from tidemark.${table}`)
})

async function client() {
  const made = await createClient({ url: server.url }).connect()
  onTestFinished(() => {
    made.destroy()
  })
  return made
}

const makeCache = cachesOfTests()

const heardAtOnce: (answer: SharedAnswer) => Promise<void> = () => Promise.resolve()

/** What the error of a source has that is not for other processes to know. */
const secret = 'hunter2'

class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code = 'E_AWAY'
}

const failure = (): SourceError => new SourceError(`no answer for the password ${secret}`)

/** What a node is told of a load that failed in another one. */
const elsewhere = {
  code: 'TIDEMARK_CACHE_LOAD_FAILED',
  cause: { name: 'SourceError', code: 'E_AWAY' },
}

const stores: Readonly<Record<string, () => Partial<CacheOptions>>> = {
  Redis: () => ({ store: redis(server.url) }),
  'a table': () => ({ store: postgres(), database: db.url }),
}

/** The source that nodes read, and how often each has. */
function sourceOfTest() {
  const source = { begun: 0, next: gate<unknown>() }
  const load = (): Promise<unknown> => {
    source.begun += 1
    return source.next.passed
  }
  return { source, load }
}

describe.each(Object.entries(stores))('nodes that share %s', (_, options) => {
  /** A node; `asked` is how often it has asked what is shared, `answered` what it hears of the answers before it has them. */
  function node(
    load: (id: number) => unknown,
    of: KindOptions<readonly [id: number]> = {},
    through: Partial<CacheOptions> = {},
  ) {
    const seen = { asked: 0, answered: heardAtOnce }
    const storeThrough = (store: SharedStore): SharedStore => ({
      ...store,
      async read(question: SharedRead) {
        const answer = await store.read(question)
        seen.asked += 1
        await seen.answered(answer)
        return answer
      },
    })
    const cache = makeCache({ namespace: 'shop', ...options(), storeThrough, ...through })
    const kind = { version: '1', tags: ['things'], hardTimeout: '10s', ...of } as const
    return { seen, cache, thing: cache.define('thing', load, kind) }
  }

  /** Resolves when a node that waits for another one's load has waited for some time. */
  const waiting = ({ seen }: ReturnType<typeof node>): Promise<void> =>
    expect.poll(() => seen.asked, { interval: 5 }).toBeGreaterThan(3)

  test('a load that fails has failed for all callers of all nodes, once; others are told name and code, and nothing else', async () => {
    const { source, load } = sourceOfTest()
    const nodes = [1, 2, 3, 4].map(() => node(load))
    const calls = nodes.flatMap(({ thing }) => Array.from({ length: 25 }, () => thing.get(7)))
    const settled = Promise.allSettled(calls)
    await expect.poll(() => source.begun).toBe(1)
    await expect
      .poll(() => nodes.filter(({ seen }) => seen.asked > 3).length, { interval: 5 })
      .toBe(3)
    source.next.fail(failure())
    const errors = (await settled).flatMap((each) =>
      each.status === 'rejected' ? [each.reason as SourceError] : [],
    )
    expect(source.begun).toBe(1)
    const own = errors.filter(({ message }) => message.includes(secret))
    expect([errors.length, own.length]).toEqual([100, 25])
    for (const error of errors) {
      if (!own.includes(error)) expect(error).toMatchObject(elsewhere)
    }
    const known = await (await client()).keys('*')
    const kept = await Promise.all(
      known.filter((key) => key.includes('~failure')).map(async (key) => (await client()).get(key)),
    )
    const rows = await db.sql<{ failure: string }>('select failure from tidemark.shared_failure')
    expect([...kept, ...rows.map((row) => row.failure)].join()).toMatch(/SourceError E_AWAY$/)
  })

  test('who asks after it loads anew, also while others are still to be told', async () => {
    const { source, load } = sourceOfTest()
    const [a, b] = [node(load), node(load)]
    const [heard, goOn] = [gate(), gate()]
    b.seen.answered = (answer) => {
      if (answer.failure !== null) heard.open()
      return answer.failure === null ? Promise.resolve() : goOn.passed
    }
    const first = expect(a.thing.get(7)).rejects.toThrow(secret)
    await expect.poll(() => source.begun).toBe(1)
    const waits = expect(b.thing.get(7)).rejects.toMatchObject(elsewhere)
    await waiting(b)
    const { fail } = source.next
    source.next = gate()
    fail(failure())
    await first
    await heard.passed
    // The flight that it joins has failed elsewhere before.
    const later = b.thing.get(7)
    goOn.open()
    await waits
    source.next.open(1)
    expect(await later).toMatchObject({ value: 1, state: 'miss' })
    expect((await a.thing.get(7)).value).toBe(1)
    expect(source.begun).toBe(2)
  })

  test('who has an older entry is given that, as when its own load had failed', async () => {
    const { source, load } = sourceOfTest()
    const of = { stale: '1h', softTimeout: '5s' } as const
    const [a, b] = [node(load, of), node(load, of)]
    source.next.open(1)
    await b.thing.get(7)
    source.next = gate()
    await a.thing.expire(7)
    await (await client()).del(a.thing.key(7))
    await db.sql('delete from tidemark.shared_entry')
    const first = expect(a.thing.get(7)).rejects.toThrow(secret)
    await expect.poll(() => source.begun).toBe(2)
    const waits = b.thing.get(7)
    await waiting(b)
    source.next.fail(failure())
    await first
    expect(await waits).toMatchObject({ value: 1, state: 'fallback', tier: 'memory' })
    expect(source.begun).toBe(2)
  })

  test('law: what was invalidated while it was loaded has not failed for who asks afterwards', async () => {
    for (const [at, verb] of (['tag', 'key'] as const).entries()) {
      const { source, load } = sourceOfTest()
      const [a, b] = [node(load), node(load)]
      const id = 100 + at
      const first = expect(a.thing.get(id)).rejects.toThrow(secret)
      await expect.poll(() => source.begun).toBe(1)
      await (verb === 'tag' ? b.cache.remove({ tags: ['things'] }) : b.thing.remove(id))
      const { fail } = source.next
      source.next = gate()
      source.next.open(2)
      const after = b.thing.get(id)
      if (verb === 'tag') await waiting(b)
      fail(failure())
      await first
      expect((await after).value).toBe(2)
    }
  })

  test('a load that ended with its process, or was given up, has failed for nobody', async () => {
    const { source, load } = sourceOfTest()
    const of = { hardTimeout: '1s' } as const
    const [a, b] = [node(load, of), node(load, of)]
    const first = a.thing.get(7).catch(() => undefined)
    await expect.poll(() => source.begun).toBe(1)
    const waits = b.thing.get(7)
    await waiting(b)
    await a.cache.close()
    const { fail } = source.next
    source.next = gate()
    source.next.open(1)
    fail(failure())
    await first
    expect((await waits).value).toBe(1)
    expect(source.begun).toBe(2)
  })

  test('law: nor for who has invalidated it himself, though nobody could be told yet, nor for who asks for a load of his own', async () => {
    for (const ask of ['remove', 'renew'] as const) {
      const { source, load } = sourceOfTest()
      const held = gate()
      const journalThrough = (journal: Journal): Journal => ({
        ...journal,
        append: (request) => held.passed.then(() => journal.append(request)),
      })
      const [a, b] = [node(load), node(load, {}, { journalThrough })]
      const first = expect(a.thing.get(7)).rejects.toThrow(secret)
      await expect.poll(() => source.begun).toBe(1)
      const asked = b.thing[ask](7)
      const after = ask === 'remove' ? b.thing.get(7) : asked.then(() => b.thing.get(7))
      await waiting(b)
      const { fail } = source.next
      source.next = gate()
      source.next.open(2)
      fail(failure())
      await first
      expect((await after).value).toBe(2)
      held.open()
      await asked
    }
  })

  test('what is not kept is loaded by each, null is given to all, and a kind may have failures of its own', async () => {
    const { source, load } = sourceOfTest()
    const both = async (
      of: KindOptions<readonly [id: number]>,
      end: (held: typeof source.next) => void,
    ): Promise<PromiseSettledResult<unknown>[]> => {
      const [a, b] = [node(load, of), node(load, of)]
      source.begun = 0
      source.next = gate()
      const first = a.thing.get(7)
      await expect.poll(() => source.begun).toBe(1)
      const answers = Promise.allSettled([first, b.thing.get(7)])
      await waiting(b)
      end(source.next)
      return answers
    }
    const none = await both({ version: 'null', negativeTtl: '1m' }, ({ open }) => open(null))
    expect([none.length, source.begun]).toEqual([2, 1])
    await both({ version: 'skip' }, ({ open }) => open(cached(1, { skip: true })))
    expect(source.begun).toBe(2)
    const own = await both({ version: 'own', shareFailures: false }, ({ fail }) => fail(failure()))
    const reasons = own.flatMap((each) =>
      each.status === 'rejected' ? [each.reason as Error] : [],
    )
    expect(reasons.map(({ name }) => name)).toEqual(['SourceError', 'SourceError'])
    expect(source.begun).toBe(2)
  })
})

/** A store by itself, and what invalidates in it. */
interface Bare {
  readonly store: SharedStore
  readonly invalidate: (of: { readonly tags?: Tag[]; readonly keys?: EntryKey[] }) => Promise<void>
}

async function bareRedis(): Promise<Bare> {
  const link = redisLink(await client(), false)
  const store = redisStore(link, 'bare', systemTiming)
  return {
    store,
    async invalidate({ tags = [], keys = [] }) {
      const since = await store.read(question('place', 'nobody'))
      const position = (since.position + 1) as Position
      const named = [
        ...tags.map((tag) => ({ kind: 'tag', tag }) as const),
        ...keys.map((key) => ({ kind: 'key', key }) as const),
      ]
      const invalidations = named.map(
        (of) => ({ position, verb: 'remove', of, xids: null }) as const,
      )
      const to = { epoch: since.epoch, position }
      await store.follow({ since, to, everything: false, invalidations })
    },
  }
}

function bareTable(): Bare {
  const store = postgresStore(openDatabase(db.url), 'shop')
  onTestFinished(() => store.close())
  return {
    store,
    async invalidate({ tags = [], keys = [] }) {
      const list = (words: readonly string[]): string =>
        `array[${words.map((word) => `'${word}'`).join()}]::text[]`
      await db.sql(`select tidemark.invalidate('shop', ${list(tags)}, 'remove', ${list(keys)})`)
      await db.sql(`select position from tidemark.poll_invalidations('shop')`)
    },
  }
}

const key = 'bare:thing' as EntryKey
const tag = 'tag:bare' as Tag

const question = (of: string, holder: string, waitedMs = 0): SharedRead => ({
  key: of as EntryKey,
  tags: [tag],
  holder,
  leaseMs: 10_000,
  renew: false,
  waitedMs,
})

const long = 5_000
const told = { name: 'SourceError', code: null }
const failing = { key, failure: told, loadMs: 0, keepMs: 10_000 }

describe.each([
  ['Redis', bareRedis],
  ['a table', bareTable],
] as const)('failures in %s', (_, bare) => {
  test('are told to who waited, before anybody is given the lease; to who came later the lease is given', async () => {
    const { store } = await bare()
    expect(await store.read(question(key, 'a'))).toMatchObject({ leased: true })
    expect(await store.read(question(key, 'b', long))).toMatchObject({
      leased: false,
      failure: null,
    })
    await store.fail({ ...failing, holder: 'a' })
    for (const name of ['b', 'c']) {
      const answer = await store.read(question(key, name, long))
      expect(answer).toMatchObject({ leased: false, entry: null, failure: told })
      expect(answer.failure?.ageMs).toBeLessThan(long)
    }
    expect(await store.read(question(key, 'd'))).toMatchObject({ leased: true, failure: null })
    // Also while the next one loads.
    expect(await store.read(question(key, 'b', long))).toMatchObject({ failure: told })
  })

  test('law: are not told to who began to wait after them, nor after their time', async () => {
    const { store } = await bare()
    await store.read(question(key, 'a'))
    await store.fail({ ...failing, holder: 'a' })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await store.read(question(key, 'b', 15))).toMatchObject({ leased: true, failure: null })
    await store.fail({ ...failing, holder: 'b', keepMs: 1 })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await store.read(question(key, 'c', long))).toMatchObject({
      leased: true,
      failure: null,
    })
  })

  test('law: are left by the holder of the lease alone', async () => {
    const { store } = await bare()
    await store.read(question(key, 'a'))
    await store.fail({ ...failing, holder: 'z' })
    expect(await store.read(question(key, 'b', long))).toMatchObject({
      leased: false,
      failure: null,
    })
    await store.release(key, 'a')
    await store.fail({ ...failing, holder: 'a' })
    expect(await store.read(question(key, 'b', long))).toMatchObject({
      leased: true,
      failure: null,
    })
  })

  test('law: stand until something invalidates what was loaded, before or after they are told', async () => {
    const { store, invalidate } = await bare()
    for (const of of [{ tags: [tag] }, { keys: [key] }]) {
      await store.read(question(key, 'a'))
      await invalidate(of)
      await store.fail({ ...failing, holder: 'a' })
      expect(await store.read(question(key, 'b', long))).toMatchObject({
        leased: true,
        failure: null,
      })
      await store.fail({ ...failing, holder: 'b' })
      await invalidate(of)
      expect(await store.read(question(key, 'c', long))).toMatchObject({
        leased: true,
        failure: null,
      })
      await store.release(key, 'c')
    }
  })
})
