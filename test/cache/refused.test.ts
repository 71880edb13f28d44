import { expect, test } from 'vitest'
import type {
  CacheEvent,
  CacheManager,
  CacheOptions,
  InvalidationOf,
  KindOptions,
} from '../../src/cache.ts'
import { createCache, redis } from '../../src/cache.ts'
import { handTiming, turn } from '../support/hand-timing.ts'
import { cachesOfTests } from './caches-of-tests.ts'
import { scriptedJournal } from './scripted-journal.ts'

const openCache = cachesOfTests()

const made = (options: Partial<CacheOptions> = {}): CacheManager =>
  openCache({ namespace: 'test', ...options })

/** A fault of the caller, with these words. */
const refused = (words: string): Error =>
  expect.objectContaining({
    code: 'TIDEMARK_CACHE_INVALID',
    message: expect.stringContaining(words) as string,
  }) as Error

/** As it comes from JavaScript. */
const untyped = (value: unknown): InvalidationOf => value as InvalidationOf

test('an invalidation that names nothing of this cache is refused by its promise, and nothing is invalidated', async () => {
  const cache = made()
  const thing = cache.define('thing', (id: number) => ({ id }))
  await thing.get(1)
  const wrong: readonly [InvalidationOf, string][] = [
    [{ patterns: ['thimg:*'] }, "'thing:*'"],
    [{ keys: ['thing:1'] }, "'thing:1' is no key of the cache test"],
    [{}, 'told nothing'],
    [untyped({ tags: undefined, with: {} }), 'told nothing'],
    [untyped({ tag: ['things'], tags: [] }), "'tag'"],
    [untyped({ tags: 'things' }), "'tags' of"],
  ]
  for (const [of, words] of wrong) {
    // Thrown at once, it would end a process that catches rejections alone.
    await expect(cache.remove(of)).rejects.toEqual(refused(words))
    await expect(cache.expire(of)).rejects.toEqual(refused(words))
  }
  expect(thing.prepare(1).hit()).toBeDefined()
  await cache.remove({ keys: [], tags: [] })
  await cache.remove({ keys: [thing.key(1)] })
  expect(thing.prepare(1).hit()).toBeUndefined()
})

test('an invalidation of empty lists is done at once: nobody is told, and nobody is waited for', async () => {
  const { options, freeze } = scriptedJournal()
  const events: string[] = []
  const onEvent = ({ event }: CacheEvent): void => void events.push(event)
  const cache = made({ ...options, timing: handTiming(), onEvent })
  freeze(true)
  const ended: string[] = []
  void cache.remove({ keys: [] }).then(() => ended.push('removed'))
  void cache.expire({ tags: [], patterns: [] }).then(() => ended.push('expired'))
  await turn()
  expect(ended).toEqual(['removed', 'expired'])
  expect(events).toEqual([])
})

/** As it comes from JavaScript: whatever is asked for. */
const alien = (value: unknown): never => value as never

test.each([
  ['no namespace', () => made(alien({ namespace: undefined })), "'undefined' cannot be"],
  ['a URL of something else', () => made({ store: redis('localhost:6379') }), 'redis://'],
  ['a URL that is none', () => made({ store: redis('cache.internal') }), 'redis://'],
  ['no load', () => made().define('thing', alien(undefined)), "'thing' has no load"],
  [
    'a table as a text',
    () => made().define('thing', () => 1, { dependsOn: alien('quotes') }),
    "['quotes']",
  ],
  [
    'columns as the configuration lists them',
    () => made().define('thing', (id: number) => id, { dependsOn: { quotes: alien(['id']) } }),
    "{ 'quotes': 'id' }",
  ],
  [
    'a column with a value',
    () => made().define('thing', () => 1, { dependsOn: { quotes: { status: alien('OPEN') } } }),
    "() => 'OPEN'",
  ],
])('what a cache cannot work with is refused with a code: %s', (_, make, words) => {
  expect(make).toThrow(refused(words))
})

test('what is asked of a cache in another form is refused by its promise, with a code', async () => {
  const cache = made({ ...scriptedJournal().options })
  const ways: readonly (readonly [Promise<unknown>, string])[] = [
    [cache.remove(alien('thing:*')), 'remove() was given a text'],
    [cache.expire(alien(undefined)), 'expire() was told nothing'],
    [cache.query(alien(undefined)), 'no text'],
    [cache.query('select $1::int', alien(7)), 'no list'],
    [cache.query('select $1::int', alien({ ttl: '1m' })), 'no list'],
    [cache.query('select $1::int', [1], alien('1m')), 'no object'],
    [cache.dependenciesOf(alien(null)), 'no text'],
  ]
  for (const [way, words] of ways) await expect(way).rejects.toEqual(refused(words))
})

test('an option that nobody knows is refused, with what may have been meant', () => {
  const cache = made()
  const options = (of: object): KindOptions<[number]> => of
  expect(() => cache.define('thing', (id: number) => id, options({ tll: '1m' }))).toThrow(
    expect.objectContaining({
      code: 'TIDEMARK_CACHE_INVALID',
      message: expect.stringMatching(
        /no option 'tll' at define\('thing'\)\.tll.*Write 'ttl'/,
      ) as string,
    }),
  )
  cache.define('thing', (id: number) => id, { ttl: '1m' })
})

test.each([
  [new Map(), 'class Map'],
  [() => 1, 'A function'],
  [Symbol('one'), 'A symbol'],
  [new Date(NaN), 'A date'],
  [{ in: { it: new Set() } }, 'class Set'],
])('an argument that no key can be made of is refused with a code: %s', async (arg, words) => {
  const kind = made().define('thing', (of: unknown) => Promise.resolve(of !== 1))
  const ways = [
    kind.get(arg),
    kind.getMany([[arg]]),
    kind.renew(arg),
    kind.set([arg], () => true),
    kind.explain(arg),
    kind.remove(arg),
    kind.expire(arg),
  ]
  for (const way of ways) await expect(way).rejects.toEqual(refused(words))
  expect(() => kind.key(arg)).toThrow(refused(words))
})

test('a kind that nobody defines is refused where a bound of its hits names it, and where it is to be warmed', async () => {
  const cache = made({ hitRate: { min: { 'typo:kind': 0.9 } } })
  cache.define('thing', () => 1, { warm: { entries: () => [[]] } })
  cache.define('cold', () => 1)
  await expect(cache.start()).rejects.toEqual(refused("createCache.hitRate.min names 'typo:kind'"))
  await expect(cache.warm(['nope'])).rejects.toEqual(refused("'nope'"))
  await expect(cache.warm(['thing', 'cold'])).rejects.toEqual(refused("'cold'"))
  expect(Object.keys(await cache.warm(['thing']))).toEqual(['thing'])
})

test.each<[Partial<CacheOptions>, string]>([
  [{ memory: { max: 0 } }, '0 is no whole number from 1 on at createCache.memory.max'],
  [{ memory: { max: -5 } }, 'createCache.memory.max'],
  [{ memory: { max: 1.5 } }, 'createCache.memory.max'],
  [{ ttl: '0s' }, "'0s' is no time at all at createCache.ttl"],
  [{ ttls: { thing: '0ms' } }, "createCache.ttls['thing']"],
  [{ hitRate: { min: 80 } }, '80 is no share at createCache.hitRate.min'],
  [{ hitRate: { min: { thing: -1 } } }, 'createCache.hitRate.min'],
  [{ hitRate: { min: 0.8, over: '0s' } }, 'createCache.hitRate.over'],
  [{ hitRate: { min: 0.8, answersMin: 0 } }, 'createCache.hitRate.answersMin'],
])('options that cannot work are refused when a cache is made: %j', (options, words) => {
  expect(() => createCache({ namespace: 'test', ...options })).toThrow(refused(words))
})

test.each<[KindOptions<[]>, string]>([
  [{ ttl: '0s' }, "define('thing').ttl"],
  [{ hardTimeout: '0s' }, "define('thing').hardTimeout"],
  [{ softTimeout: '30s' }, "define('thing').softTimeout"],
  [{ softTimeout: '2s', hardTimeout: '1s' }, '2000 ms for a renewal, and waits 1000 ms'],
  [{ eagerness: -1 }, "-1 is no eagerness at define('thing').eagerness"],
  [{ eagerness: NaN }, 'NaN is no eagerness'],
  [{ warm: { within: '0s' } }, "define('thing').warm.within"],
])('options that cannot work are refused when a kind is defined: %j', (options, words) => {
  expect(() => made().define('thing', () => 1, options)).toThrow(refused(words))
})

test('what invalidates() cannot read is refused, not taken for options or left out', () => {
  const { invalidates } = made()
  const wrong = [[['quotes:*']], [{}], [], [null], ['quotes:*', 7], [{ tags: ['a'] }, 'quotes:*']]
  for (const of of wrong) {
    expect(() => (invalidates as (...given: unknown[]) => unknown)(...of)).toThrow(
      refused('invalidates('),
    )
  }
  expect(() => invalidates({ tags: ['a'] })).not.toThrow()
})
