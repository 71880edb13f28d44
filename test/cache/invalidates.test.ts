import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CacheEvent, CacheManager, Kind } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { gate } from '../support/gate.ts'
import { legacyQuotesOf } from './quotes.legacy.ts'
import type { Quote } from './quotes.ts'
import { quotesOf } from './quotes.ts'

let cache: CacheManager
let events: CacheEvent[]
let list: Kind<[tenantId: number], number>
let kpis: Kind<[tenantId: number], number>
let loads = 0

beforeEach(() => {
  events = []
  cache = createCache({ namespace: 'test', onEvent: (event) => void events.push(event) })
  const load = (tenantId: number): number => tenantId + (loads += 1)
  const options = { tenant: (tenantId: number) => tenantId }
  list = cache.define('quotes:list', load, options)
  kpis = cache.define('dashboard:kpis', load, options)
})
afterEach(() => cache.close())

/** Which of the entries of tenants 7 and 8 are held. */
async function held(): Promise<string[]> {
  const entries = {
    'list 7': list.prepare(7),
    'list 8': list.prepare(8),
    'kpis 7': kpis.prepare(7),
  }
  return Promise.resolve(
    Object.entries(entries).flatMap(([name, entry]) => (entry.hit() === undefined ? [] : [name])),
  )
}

async function filled(): Promise<void> {
  await Promise.all([list.get(7), list.get(8), kpis.get(7)])
}

const quote = (given: Partial<Quote> = {}): Quote => ({
  id: 1,
  tenantId: 7,
  status: 'DRAFT',
  ...given,
})
const failures = () => events.filter(({ event }) => event === 'invalidation_failed')

describe.each([
  ['standard decorators', quotesOf],
  ['decorators of experimentalDecorators', legacyQuotesOf],
])('%s', (_, serviceOf) => {
  test('invalidate what is named, of the tenant of the argument, where the condition holds', async () => {
    const quotes = serviceOf(cache)
    await filled()
    expect(await quotes.create(quote())).toEqual(quote())
    expect(await held()).toEqual(['list 8', 'kpis 7'])
    await filled()
    await quotes.create(quote({ status: 'ACCEPTED' }))
    expect(await held()).toEqual(['list 8'])
    expect(quotes.written).toHaveLength(2)
  })

  test('invalidate nothing where the method throws', async () => {
    const quotes = serviceOf(cache)
    await filled()
    await expect(quotes.create(quote({ id: -1 }))).rejects.toThrow('there is no such quote')
    expect(await held()).toEqual(['list 7', 'list 8', 'kpis 7'])
  })

  test('several on one method are one invalidation', async () => {
    await serviceOf(cache).create(quote({ status: 'ACCEPTED' }))
    expect(events.filter(({ event }) => event === 'invalidated')).toEqual([
      expect.objectContaining({ tags: ['key:dashboard', 'key:quotes:list:tenant_7'] }),
    ])
  })
})

describe('a wrapped function', () => {
  test('has its places filled by what `with` makes of the result and the arguments', async () => {
    const options = { with: (_: number, [tenantId]: [number]) => ({ tenantId }) }
    const write = cache.invalidates(
      'quotes:list:tenant_{tenantId}:*',
      options,
    )(async (tenantId: number) => Promise.resolve(tenantId))
    await filled()
    expect(await write(8)).toBe(8)
    expect(await held()).toEqual(['list 7', 'kpis 7'])
  })

  test.each([
    ['quotes:list:tenant_{0}:*', [8, { tenantId: 7 }]],
    ['quotes:list:tenant_{1.tenantId}:*', [{ tenantId: 7 }, { tenantId: 8 }]],
    ['quotes:list:tenant_{tenantId}:*', [7, { tenantId: 8 }]],
  ])('has the places of %s filled from the arguments %j', async (pattern, args) => {
    const write = cache.invalidates(pattern)(async (...given: readonly unknown[]) =>
      Promise.resolve(given.length),
    )
    await filled()
    await write(...args)
    expect(await held()).toEqual(['list 7', 'kpis 7'])
    expect(failures()).toEqual([])
  })

  test('returns when what it names cannot be served any more, and not before it has written', async () => {
    const writing = gate()
    const write = cache.invalidates('*')(async () => writing.passed)
    await filled()
    const written = write()
    expect(await held()).toHaveLength(3)
    writing.open()
    await written
    expect(await held()).toEqual([])
  })

  test('invalidates by tags, and only expires where that is asked for', async () => {
    const tagged = cache.define('tagged', () => (loads += 1), { tags: ['seven'], stale: '1h' })
    await filled()
    const { value } = await tagged.get()
    await cache.invalidates({ tags: () => ['seven'], verb: 'expire' })(() => Promise.resolve())()
    expect(await tagged.get()).toMatchObject({ value, state: 'stale' })
    expect(await held()).toHaveLength(3)
  })

  test('invalidates more, never less, where it cannot be decided what, and tells', async () => {
    const broken = (): never => {
      throw new Error('broken')
    }
    const ways = [
      cache.invalidates('quotes:list:tenant_{tenantId}:*'),
      cache.invalidates('quotes:*', { when: broken }),
      cache.invalidates('quotes:list:tenant_{tenantId}:*', { with: broken }),
    ]
    for (const [n, way] of ways.entries()) {
      await filled()
      expect(await way(() => Promise.resolve('written'))()).toBe('written')
      expect(await held()).toEqual(['kpis 7'])
      expect(failures()).toHaveLength(n + (n === 2 ? 2 : 1))
    }
    await filled()
    await cache.invalidates({ tags: broken })(() => Promise.resolve())()
    expect(await held()).toEqual([])
  })

  test('with a pattern that can match no key is refused at start, and before it writes', async () => {
    let writes = 0
    const write = cache.invalidates('qoutes:*')(() => Promise.resolve((writes += 1)))
    const error = { code: 'TIDEMARK_CACHE_INVALID' }
    await expect(cache.start()).rejects.toThrow("'qoutes:*' can match no key")
    await expect(write()).rejects.toMatchObject(error)
    expect(writes).toBe(0)
  })
})

describe('a function that writes in a transaction', () => {
  const nothing = (): Promise<void> => Promise.resolve()

  test('law: invalidates after the commit of the work that it is part of', async () => {
    const write = cache.invalidates('quotes:*')(nothing)
    const commit = gate()
    await filled()
    const work = cache.afterCommit(async () => {
      await write()
      expect(await held()).toContain('list 7')
      await commit.passed
      return 'committed'
    })
    commit.open()
    expect(await work).toBe('committed')
    expect(await held()).toEqual(['kpis 7'])
  })

  test('law: invalidates nothing when that was rolled back', async () => {
    const write = cache.invalidates('quotes:*')(nothing)
    await filled()
    const work = cache.afterCommit(async () => {
      await write()
      throw new Error('rolled back')
    })
    await expect(work).rejects.toThrow('rolled back')
    expect(await held()).toHaveLength(3)
  })

  test('waits for the outermost of nested works, and loses only what was rolled back', async () => {
    const write = cache.invalidates('quotes:*')(nothing)
    const other = cache.invalidates('dashboard:*')(nothing)
    await filled()
    await cache.afterCommit(async () => {
      await cache.afterCommit(write)
      const failing = cache.afterCommit(async () => {
        await other()
        throw new Error('back to the savepoint')
      })
      await expect(failing).rejects.toThrow('back to the savepoint')
      expect(await held()).toHaveLength(3)
    })
    expect(await held()).toEqual(['kpis 7'])
  })

  test('that ends after its work has committed invalidates at its own end', async () => {
    const writing = gate()
    const write = cache.invalidates('quotes:*')(async () => writing.passed)
    let late: Promise<void> | undefined
    await filled()
    await cache.afterCommit(() => {
      late = write()
      return Promise.resolve()
    })
    writing.open()
    await late
    expect(await held()).toEqual(['kpis 7'])
  })

  test('may be given the transaction, whose hook then does it', async () => {
    const hooks: (() => Promise<void>)[] = []
    const transaction = { afterCommit: (run: () => Promise<void>) => hooks.push(run) }
    const write = cache.invalidates('quotes:*', {
      transaction: (_: number, [given]: [typeof transaction]) => given,
    })((given: typeof transaction) => Promise.resolve(given.afterCommit.length))
    await filled()
    await write(transaction)
    expect(await held()).toHaveLength(3)
    await hooks[0]?.()
    expect(await held()).toEqual(['kpis 7'])
  })
})
