import { afterEach, describe, expect, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { cached, createCache } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'
import { scriptedJournal } from './scripted-journal.ts'

let open: CacheManager[] = []

function makeCache(options: Partial<CacheOptions> = {}): CacheManager {
  const cache = createCache({ namespace: 'test', ...options })
  open.push(cache)
  return cache
}

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
})

/** A source with one value, and a load of it that takes until the test lets it end; it reads when it begins. */
function source() {
  let value = 1
  const loads: Gate<void>[] = []
  return {
    loads,
    write: (next: number): void => {
      value = next
    },
    read: async (): Promise<number> => {
      const seen = value
      const held = gate()
      loads.push(held)
      await held.passed
      return seen
    },
  }
}

/** Lets what is ready happen. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('law: what was read before an invalidation is not served after it', () => {
  const ways = {
    'its key': (cache: CacheManager, key: string) => cache.remove({ keys: [key] }),
    'a tag': (cache: CacheManager) => cache.remove({ tags: ['things'] }),
    'a tag that the load found': (cache: CacheManager) => cache.remove({ tags: ['found'] }),
    'its kind': (cache: CacheManager) => cache.remove({ patterns: ['thing:*'] }),
    everything: (cache: CacheManager) => cache.remove({ patterns: ['*'] }),
  }
  for (const [name, invalidate] of Object.entries(ways)) {
    test(`a load under way when ${name} is invalidated`, async () => {
      const cache = makeCache()
      const { loads, write, read } = source()
      const load = async () => cached(await read(), { tags: ['found'] })
      const thing = cache.define('thing', load, { tags: ['things'] })
      const before = thing.get()
      await turn()
      write(2)
      await invalidate(cache, thing.key())
      const after = thing.get()
      await turn()
      loads[0]?.open()
      expect((await before).value).toBe(1)
      await turn()
      loads[1]?.open()
      expect((await after).value).toBe(2)
      expect(await thing.get()).toMatchObject({ value: 2, state: 'hit' })
      expect(loads).toHaveLength(2)
    })
  }

  test('a renewal in the background', async () => {
    let now = 0
    const cache = makeCache({ timing: { ...systemTiming, now: () => now } })
    const { loads, write, read } = source()
    const thing = cache.define('thing', read, { ttl: '1s', stale: '1h', eagerness: 0 })
    const first = thing.get()
    await turn()
    loads[0]?.open()
    await first
    now = 2_000
    expect(await thing.get()).toMatchObject({ value: 1, state: 'stale' })
    await turn()
    write(2)
    await thing.remove()
    loads[1]?.open()
    await turn()
    const last = thing.get()
    await turn()
    loads[2]?.open()
    expect(await last).toMatchObject({ value: 2, state: 'miss' })
  })
})

describe('law: readers do not go back, with two loads of one key under way', () => {
  /** A source whose loads wait before they read, and again before they end. */
  function slowSource() {
    let value = 1
    const loads: { readonly read: Gate<void>; readonly end: Gate<void> }[] = []
    return {
      loads,
      write: (next: number): void => {
        value = next
      },
      load: async (): Promise<number> => {
        const load = { read: gate(), end: gate() }
        loads.push(load)
        await load.read.passed
        const seen = value
        await load.end.passed
        return seen
      },
    }
  }

  /** Two loads of one key: the second is a renewal, which joins nobody. */
  async function twoLoads() {
    let now = 0
    const cache = makeCache({ timing: { ...systemTiming, now: () => now } })
    const slow = slowSource()
    const thing = cache.define('thing', slow.load)
    const first = thing.get()
    await turn()
    now = 1
    const renewal = thing.renew()
    await turn()
    const pass = async (load: number, ...gates: readonly ('read' | 'end')[]): Promise<void> => {
      for (const name of gates) slow.loads[load]?.[name].open()
      await turn()
    }
    /** What a reader is given who comes last. */
    const last = async (): Promise<number> => {
      const answer = thing.get()
      await turn()
      await pass(2, 'read', 'end')
      return (await answer).value
    }
    return { thing, first, renewal, pass, last, write: slow.write }
  }

  test('what the earlier one has read before the key was removed is not stored', async () => {
    const { thing, first, pass, last, write } = await twoLoads()
    await pass(0, 'read')
    write(2)
    await thing.remove()
    await pass(0, 'end')
    expect((await first).value).toBe(1)
    expect(await last()).toBe(2)
    await pass(1, 'read', 'end')
  })

  test('what the later one has stored is over when the earlier one brings more', async () => {
    const { first, renewal, pass, last, write } = await twoLoads()
    await pass(1, 'read', 'end')
    await renewal
    write(2)
    await pass(0, 'read', 'end')
    expect((await first).value).toBe(2)
    expect(await last()).toBe(2)
  })

  test('what the later one has read before the earlier one brought more is neither stored nor joined', async () => {
    const { first, renewal, pass, last, write } = await twoLoads()
    await pass(1, 'read')
    write(2)
    await pass(0, 'read', 'end')
    expect((await first).value).toBe(2)
    const joined = last()
    await pass(1, 'end')
    await renewal
    expect(await joined).toBe(2)
    expect(await last()).toBe(2)
  })

  test('what began after an invalidation of the earlier one is asked after again, when that one has brought more', async () => {
    const journal = scriptedJournal()
    const cache = makeCache({ ...journal.options, maxLag: '1h' })
    const slow = slowSource()
    const thing = cache.define('thing', slow.load)
    const commit = (value: number): void => {
      slow.write(value)
      journal.commit('all')
    }
    const pass = async (load: number, ...gates: readonly ('read' | 'end')[]): Promise<void> => {
      for (const name of gates) slow.loads[load]?.[name].open()
      await turn()
    }
    const first = thing.get()
    await turn()
    commit(2)
    journal.hint()
    await turn()
    const second = thing.get()
    await turn()
    await pass(1, 'read')
    commit(3)
    await pass(0, 'read', 'end')
    expect((await first).value).toBe(3)
    const third = thing.get()
    await pass(1, 'end')
    await turn()
    await pass(2, 'read', 'end')
    expect((await third).value).toBe(3)
    expect((await thing.get()).value).toBe(3)
    // Who asked before anybody was given more may be given less.
    expect((await second).value).toBe(2)
    expect(slow.loads).toHaveLength(3)
  })

  test('and is stored, without another load, when nothing of it has changed', async () => {
    const journal = scriptedJournal()
    const cache = makeCache({ ...journal.options, maxLag: '1h' })
    const { loads, write, read } = source()
    const thing = cache.define('thing', read)
    const first = thing.get()
    await turn()
    write(2)
    journal.commit('all')
    journal.hint()
    await turn()
    const second = thing.get()
    await turn()
    loads[0]?.open()
    expect((await first).value).toBe(1)
    const looks = journal.looks()
    loads[1]?.open()
    expect((await second).value).toBe(2)
    expect(journal.looks()).toBe(looks + 1)
    expect(await thing.get()).toMatchObject({ value: 2, state: 'hit' })
    expect(loads).toHaveLength(2)
  })
})

test('an entry that was expired by its key is no hit', async () => {
  const cache = makeCache()
  const { loads, read } = source()
  const thing = cache.define('thing', read, { stale: '1h' })
  const first = thing.get()
  await turn()
  loads[0]?.open()
  await first
  await thing.expire()
  expect(thing.prepare().hit()).toBeUndefined()
  expect(await thing.get()).toMatchObject({ value: 1, state: 'stale' })
  loads[1]?.open()
})
