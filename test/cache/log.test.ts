import { afterEach, expect, test } from 'vitest'
import type { CacheEvent, CacheManager, CacheOptions } from '../../src/cache.ts'
import { cached, createCache } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import { gate } from '../support/gate.ts'
import { handTiming, turn } from '../support/hand-timing.ts'
import { scriptedJournal } from './scripted-journal.ts'

let open: CacheManager[] = []
let lines: string[] = []
let events: CacheEvent[] = []
let now = 0

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  lines = []
  events = []
  now = 0
})

const write =
  (level: string) =>
  (line: string): void =>
    void lines.push(`${level} ${line}`)

function makeCache(options: Partial<CacheOptions> = {}): CacheManager {
  const cache = createCache({
    namespace: 'electro_isla',
    timing: { ...systemTiming, now: () => now },
    log: { info: write('INFO'), warn: write('WARNING'), error: write('ERROR') },
    onEvent: (event) => void events.push(event),
    ...options,
  })
  open.push(cache)
  return cache
}

test('the log has the lines of the systems: hits, misses, stores with their TTL, invalidated patterns and keys', async () => {
  const cache = makeCache({ ttls: { estadisticas_ventas: '300s' } })
  const sales = cache.define('estadisticas_ventas', () => 1)
  const quotes = cache.define('quotes:list', (id: number) => id, { tenant: (id) => id })
  await sales.get()
  await sales.get()
  await quotes.get(7)
  await cache.remove({ patterns: ['quotes:*'] })
  await cache.remove({ patterns: ['quotes:list:tenant_{id}:*'], with: { id: 7 } })
  await cache.remove({ patterns: ['*', 'estadisticas_ventas:*'], tags: ['a=b', 'c'] })
  await cache.expire({ tenants: [7] })
  await sales.remove()
  const [key, quote] = [sales.key(), quotes.key(7)]
  expect(lines).toEqual([
    `INFO Cache set: ${key} (TTL 300 s)`,
    `WARNING Cache miss: ${key}`,
    `INFO Cache hit: ${key}`,
    `INFO Cache set: ${quote} (TTL 300 s)`,
    `WARNING Cache miss: ${quote}`,
    'INFO Invalidated cache pattern: quotes:*',
    'INFO Invalidated cache pattern: quotes:list:tenant_7:*',
    'INFO Invalidated cache pattern: *',
    'INFO Invalidated cache pattern: estadisticas_ventas:*',
    'INFO Invalidated cache tag: a=b, c',
    'INFO Invalidated cache (expired) tenant: tenant_7',
    `INFO Invalidated cache ${key}`,
  ])
  expect(key).toMatch(/^electro_isla:estadisticas_ventas:/)
})

test('statistics say of each kind and tenant what was counted, and when it was last updated', async () => {
  const cache = makeCache()
  const kpis = cache.define('kpis', (id: number) => id, { tenant: (id) => id })
  await kpis.get(7)
  await kpis.get(7)
  await kpis.get(8)
  await kpis.remove(8)
  const { invalidations, kinds } = cache.getStats()
  const iso = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string
  expect(invalidations).toBe(1)
  expect(kinds['kpis']).toMatchObject({
    hits: 1,
    misses: 2,
    loads: 2,
    lastUpdated: iso,
    loadP50Ms: expect.any(Number) as number,
    loadP99Ms: expect.any(Number) as number,
    tenants: {
      tenant_7: { hits: 1, misses: 1, hitRate: 0.5, lastUpdated: iso },
      tenant_8: { hits: 0, misses: 1, hitRate: 0, lastUpdated: iso },
    },
  })
})

test('a value that is not stored is told with its reason, and only what something outdated counts as refused', async () => {
  const journal = scriptedJournal()
  const time = handTiming()
  const cache = makeCache({ ...journal.options, timing: time })
  const skipped = cache.define('skipped', () => cached(1, { skip: true }))
  const nothing = cache.define('nothing', () => null, { negativeTtl: 0 })
  let loading = gate<number>()
  const thing = cache.define('thing', () => loading.passed, { tags: ['things'] })
  await skipped.get()
  await nothing.get()
  const early = thing.get()
  await turn()
  loading.open(1)
  expect(await early).toMatchObject({ value: 1 })
  await thing.remove()
  loading = gate<number>()
  const first = thing.get()
  await turn()
  await thing.remove()
  loading.open(2)
  await first
  journal.freeze(true)
  await time.pass(150)
  const blind = thing.get()
  await time.pass(5_000)
  await blind
  const sets = lines.filter((line) => line.includes('set:')).map((line) => /\(.*\)/.exec(line)?.[0])
  expect(sets).toEqual([
    '(its load or its kind does not keep it)',
    '(its load or its kind does not keep it)',
    '(TTL 300 s)',
    '(invalidated while it was loaded)',
    '(loaded while the journal tells nothing)',
  ])
  const why = events.flatMap((event) => (event.event === 'loaded' ? [event.notStored] : []))
  expect(why).toEqual(['skipped', 'skipped', null, 'invalidated', 'undated'])
  expect(cache.getStats()).toMatchObject({ loads: 5, loadsRefused: 1 })
})

test('what is loaded before the journal has ever told anything is not said to be set, and set it is not', async () => {
  const journal = scriptedJournal()
  const { database, journalThrough } = journal.options
  let installed = false
  const cache = makeCache({
    ...(database === undefined ? {} : { database }),
    journalThrough(own) {
      const told = journalThrough?.(own) ?? own
      const look: typeof told.look = (since) =>
        installed ? told.look(since) : Promise.reject(new Error('not installed'))
      return { ...told, look }
    },
  })
  let loads = 0
  const thing = cache.define('thing', () => {
    loads += 1
    return loads === 4 ? Promise.reject(new Error('no more')) : Promise.resolve(loads)
  })
  const sets = () => lines.filter((line) => line.includes('set:')).map((line) => line.split(' ')[2])
  for (const value of [1, 2, 3]) expect(await thing.get()).toMatchObject({ value, state: 'miss' })
  await expect(thing.get()).rejects.toThrow('no more')
  expect(sets()).toEqual(['not', 'not', 'not'])
  expect(cache.getStats().entries).toBe(0)
  installed = true
  now = 2_000
  await expect.poll(async () => (await thing.get()).state).toBe('hit')
  expect(sets().at(-1)).toBe('set:')
})

test('statistics count of each kind and tenant what was invalidated that it has entries of', async () => {
  const cache = makeCache()
  const depends = { dependsOn: { quotes: 'tenant_id', rates: 'currency', vat: {} } } as const
  const kpis = cache.define('dashboard:kpis', (id: number) => id, { ...depends, tags: ['shown'] })
  const reports = cache.define('dashboard:reports', () => 1, { dependsOn: ['quotes'] })
  for (const tenant of [7, 8]) await kpis.get(tenant)
  await reports.get()
  const read = (): number[] => {
    const { invalidations, kinds } = cache.getStats()
    const [of, other] = [kinds['dashboard:kpis'], kinds['dashboard:reports']]
    const tenants = [of?.tenants['tenant_7'], of?.tenants['tenant_8']]
    return [invalidations, ...[of, ...tenants, other].map((each) => each?.invalidations ?? -1)]
  }
  const counted = async (invalidate: () => Promise<void>) => {
    const before = read()
    await invalidate()
    return read().map((count, at) => count - (before[at] ?? 0))
  }
  const wrote = (table: string, row: object) => () =>
    cache.wrote([{ table, rows: [{ ...row }], columns: null }])
  expect(await counted(() => kpis.remove(7))).toEqual([1, 1, 1, 0, 0])
  expect(await counted(() => cache.remove({ tenants: [7] }))).toEqual([1, 1, 1, 0, 0])
  expect(await counted(() => cache.remove({ patterns: ['*'] }))).toEqual([1, 1, 0, 0, 1])
  expect(await counted(() => cache.remove({ patterns: ['dashboard:*'] }))).toEqual([1, 1, 0, 0, 1])
  const ofTenant = { patterns: ['dashboard:kpis:tenant_8:*'], tags: ['shown', 'unknown'] }
  expect(await counted(() => cache.expire(ofTenant))).toEqual([3, 2, 0, 1, 0])
  expect(await counted(wrote('quotes', { tenant_id: 8 }))).toEqual([2, 1, 0, 1, 1])
  expect(await counted(wrote('rates', { currency: 'EUR' }))).toEqual([1, 1, 0, 0, 0])
  expect(await counted(wrote('clients', { id: 1 }))).toEqual([0, 0, 0, 0, 0])
})

test('a kind that any change of a table invalidates says so at start', async () => {
  const cache = makeCache()
  const dependsOn = { quotes: 'tenant_id', vat: true } as const
  cache.define('kpis', (id: number) => id, { dependsOn })
  cache.define('reports', () => 1, { dependsOn: ['quotes'] })
  await cache.start()
  expect(lines).toEqual([
    'INFO Cache kind kpis: any change of public.vat invalidates it all',
    'INFO Cache kind reports: any change of public.quotes invalidates it all',
  ])
})

test('a journal that does not answer is a line each five seconds, and one more when it says something else', async () => {
  const journal = scriptedJournal()
  const { database, journalThrough } = journal.options
  let fault = 'away'
  const cache = makeCache({
    ...(database === undefined ? {} : { database }),
    maxLag: 0,
    journalThrough: (own) => ({
      ...(journalThrough?.(own) ?? own),
      look: () => Promise.reject(new Error(fault)),
    }),
  })
  const thing = cache.define('thing', () => 1)
  const told = () => lines.filter((line) => line.includes('does not answer'))
  for (let reads = 0; reads < 3; reads += 1) await thing.get()
  expect(events.filter(({ event }) => event === 'unreachable').length).toBeGreaterThan(2)
  expect(told()).toEqual(['ERROR Cache journal does not answer: away'])
  fault = 'gone'
  now = 1_000
  await thing.get()
  await expect.poll(() => told().length).toBe(2)
  now = 6_000
  await thing.get()
  await expect
    .poll(told)
    .toEqual([
      'ERROR Cache journal does not answer: away',
      'ERROR Cache journal does not answer: gone',
      'ERROR Cache journal does not answer: gone',
    ])
})

const rates = () =>
  events.flatMap((event) =>
    event.event === 'hit_rate' ? [{ kind: event.kind, low: event.low, rate: event.rate }] : [],
  )

test('a hit rate that falls below its bound is told once, and again when it is back', async () => {
  const cache = makeCache({ hitRate: { min: 0.5, over: '1m', answersMin: 4 } })
  const thing = cache.define('thing', (id: number) => id)
  const minute = async (hits: number, misses: number): Promise<void> => {
    for (let at = 0; at < misses; at += 1) {
      await thing.remove(1)
      await thing.get(1)
    }
    for (let at = 0; at < hits; at += 1) await thing.get(1)
    now += 60_000
  }
  await minute(3, 1)
  await minute(1, 3)
  await minute(1, 3)
  await minute(3, 1)
  await minute(0, 1)
  await thing.get(1)
  expect(rates()).toEqual([
    { kind: 'thing', low: true, rate: 0.25 },
    { kind: 'thing', low: false, rate: 0.75 },
  ])
  expect(lines.filter((line) => line.includes('rate'))).toEqual([
    'WARNING Cache hit rate low: thing (25 % of 4 answers, bound 50 %)',
    'INFO Cache hit rate back: thing (75 % of 4 answers, bound 50 %)',
  ])
})

test('kinds have bounds of their own, and of few answers nothing is told', async () => {
  const cache = makeCache({ hitRate: { min: { strict: 1 }, over: '1s', answersMin: 2 } })
  const strict = cache.define('strict', (id: number) => id)
  const lax = cache.define('lax', (id: number) => id)
  for (const kind of [strict, lax]) await kind.get(1)
  now += 1_000
  for (const kind of [strict, lax]) for (const id of [2, 3]) await kind.get(id)
  now += 1_000
  for (const kind of [strict, lax]) await kind.get(1)
  expect(rates()).toEqual([{ kind: 'strict', low: true, rate: 0 }])
})
