import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cacheResponse, invalidatesRoute } from '../../src/adapters/next.ts'
import { systemTiming } from '../../src/base/timing.ts'
import type { CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'

let cache: CacheManager
let now: number
let runs: number

beforeEach(() => {
  now = 0
  runs = 0
  cache = createCache({ namespace: 'test', timing: { ...systemTiming, now: () => now } })
})
afterEach(() => cache.close())

const get = (path = '/', headers: Readonly<Record<string, string>> = {}): Request =>
  new Request(`http://onquota.test${path}`, { headers })

/** A handler that answers with how often it ran. */
const counting =
  (init: ResponseInit = {}) =>
  () =>
    new Response(`run ${(runs += 1)}`, init)
/** A handler whose answers wait for a gate; the first one fails where that is said. */
const waiting =
  (making: Gate<void>, { firstFails = false } = {}) =>
  async () => {
    const run = (runs += 1)
    await making.passed
    if (firstFails && run === 1) throw new Error('broken')
    return new Response(`run ${run}`)
  }
/** What a request leaves behind is stored when it has its response. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const textOf = async (response: Promise<Response>): Promise<string> => (await response).text()

describe('a response', () => {
  test('has the age that it has, and is made again when its time is over', async () => {
    const route = cacheResponse(cache, 'page', { ttl: '1m' })(counting())
    await route(get())
    await turn()
    now = 59_999
    expect((await route(get())).headers.get('age')).toBe('59')
    now = 60_000
    expect(await textOf(route(get()))).toBe('run 2')
  })

  test.each([
    ['max-age=30', 30_000],
    ['public, max-age=30, s-maxage=90', 90_000],
  ])('is fresh for as long as its handler says in %s', async (header, ms) => {
    const handler = counting({ headers: { 'cache-control': header } })
    const route = cacheResponse(cache, 'page', { ttl: '1m' })(handler)
    expect((await route(get())).headers.get('cache-control')).toBe(header)
    await turn()
    now = ms - 1
    expect(await textOf(route(get()))).toBe('run 1')
    now = ms
    expect(await textOf(route(get()))).toBe('run 2')
  })

  test('may be used by browsers without asking where that is said', async () => {
    const route = cacheResponse(cache, 'page', { browserTtl: '30s' })(counting())
    expect((await route(get())).headers.get('cache-control')).toBe('public, max-age=30')
  })

  test('keeps the tag of its handler', async () => {
    const route = cacheResponse(cache, 'page')(counting({ headers: { etag: '"v1"' } }))
    expect((await route(get())).headers.get('etag')).toBe('"v1"')
    expect((await route(get('/', { 'if-none-match': 'W/"v1"' }))).status).toBe(304)
    expect(runs).toBe(1)
  })

  test('is told apart by host, path and query, or by what is said', async () => {
    const route = cacheResponse(cache, 'page')(counting())
    for (const url of ['http://a.test/x?a=1', 'http://a.test/x?a=2', 'http://b.test/x?a=1']) {
      await route(new Request(url))
      await route(new Request(url))
    }
    expect(runs).toBe(3)
    const byPath = cacheResponse(cache, 'path', { key: (request) => new URL(request.url).pathname })
    await byPath(counting())(get('/x?a=1'))
    expect(await textOf(byPath(counting())(get('/x?a=2')))).toBe('run 4')
  })

  test('is invalidated by its tags and its tenant', async () => {
    const route = cacheResponse(cache, 'page', {
      tenant: (request) => request.headers.get('x-tenant'),
      tags: (request) => [`of ${new URL(request.url).pathname}`],
    })(counting())
    const both = async () => [
      await textOf(route(get('/a', { 'x-tenant': '7' }))),
      await textOf(route(get('/b', { 'x-tenant': '8' }))),
    ]
    expect(await both()).toEqual(['run 1', 'run 2'])
    await cache.remove({ tags: ['of /b'] })
    expect(await both()).toEqual(['run 1', 'run 3'])
    await cache.remove({ patterns: ['page:tenant_7:*'] })
    expect(await both()).toEqual(['run 4', 'run 3'])
  })

  test('law: that was made before an invalidation is not kept after it', async () => {
    const making = gate()
    const route = cacheResponse(cache, 'page')(waiting(making))
    const before = route(get())
    await expect.poll(() => runs).toBe(1)
    await cache.remove({ patterns: ['page:*'] })
    making.open()
    expect(await textOf(before)).toBe('run 1')
    expect(await textOf(route(get()))).toBe('run 2')
    expect(await textOf(route(get()))).toBe('run 2')
  })
})

describe('a response that is not kept', () => {
  test('is passed on whole where it is longer than what may be kept', async () => {
    const long = 'x'.repeat(300_000)
    const route = cacheResponse(cache, 'page', { bodyBytesMax: 1_000 })(() => {
      runs += 1
      return new Response(long)
    })
    expect(await textOf(route(get()))).toBe(long)
    expect(await textOf(route(get()))).toBe(long)
    expect(runs).toBe(2)
  })

  test('is not waited for where it is a stream of events', async () => {
    const events = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('data: 1\n\n'))
      },
    })
    const headers = { 'content-type': 'text/event-stream' }
    const route = cacheResponse(cache, 'page')(() => new Response(events, { headers }))
    const { body } = await route(get())
    const first = await body?.pipeThrough(new TextDecoderStream()).getReader().read()
    expect(first?.value).toBe('data: 1\n\n')
  })

  test('of a handler that throws is nobody else’s', async () => {
    const making = gate()
    const route = cacheResponse(cache, 'page')(waiting(making, { firstFails: true }))
    const asked = [route(get()), route(get())]
    await expect.poll(() => runs).toBe(1)
    making.open()
    await expect(asked[0]).rejects.toThrow('broken')
    expect(await (await asked[1])?.text()).toBe('run 2')
  })

  test('is made for who has waited for another one’s until the hard limit', async () => {
    const route = cacheResponse(cache, 'page', { hardTimeout: '50ms' })(() => {
      runs += 1
      return runs === 1 ? new Promise<Response>(() => undefined) : new Response(`run ${runs}`)
    })
    void route(get())
    await expect.poll(() => runs).toBe(1)
    expect(await textOf(route(get()))).toBe('run 2')
  })
})

test('responses that depend on rows of a tenant need to know the tenant', () => {
  expect(() => cacheResponse(cache, 'page', { dependsOn: { quotes: 'tenant_id' } })).toThrow(
    'whose response it is is not said',
  )
})

test('a route with a pattern that can match no key is refused before its handler runs', async () => {
  const route = invalidatesRoute(cache, 'qoutes:*')(counting())
  await expect(route(new Request('http://onquota.test', { method: 'POST' }))).rejects.toThrow(
    "'qoutes:*' can match no key",
  )
  await expect(cache.start()).rejects.toThrow("'qoutes:*' can match no key")
  expect(runs).toBe(0)
})
