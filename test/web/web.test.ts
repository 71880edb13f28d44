import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'
import { installPackages } from '../support/private-packages.ts'
import type { Served } from './shop.ts'
import { Shop } from './shop.ts'

installPackages(new URL('.', import.meta.url), 'Hono, Express, Fastify and NestJS')
const { servers } = await import('./servers.ts')

type Write = (...args: readonly unknown[]) => Promise<unknown>

/** Asks with an entity tag and nothing else: fetch adds `Cache-Control: no-cache`, which frameworks heed. */
async function asBrowsersDo(url: string, etag: string) {
  const asked = request(url, { headers: { 'if-none-match': etag, 'x-tenant': '7' } }).end()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk)
  return { status: answer.statusCode, etag: answer.headers.etag, text }
}

describe.each(Object.entries(servers))('%s', (name, serve) => {
  let cache: CacheManager
  let shop: Shop
  let server: Served
  /** Invalidations wait for it. */
  let held: Gate<void> | undefined
  let invalidations = 0

  beforeAll(async () => {
    cache = createCache({ namespace: 'shop' })
    shop = new Shop()
    server = await serve({ ...cache, invalidates: heldBack }, shop)
  })
  afterAll(async () => {
    await server.stop()
    await cache.close()
  })
  beforeEach(async () => {
    shop.runs = 0
    await cache.remove({ patterns: ['*'] })
  })
  afterEach(() => {
    shop.gate?.open()
    shop.gate = undefined
  })

  const heldBack = ((...of: readonly string[]) => {
    const invalidating = cache.invalidates(...of)
    return (write: Write) => {
      const invalidated = invalidating(write)
      return async (...args: readonly unknown[]) => {
        const result = await invalidated(...args)
        invalidations += 1
        await held?.passed
        return result
      }
    }
  }) as CacheManager['invalidates']
  const ask = (path: string, init: RequestInit = {}) => fetch(`${server.url}${path}`, init)
  const of = (tenant: number, headers: Record<string, string> = {}) => ({
    headers: { 'x-tenant': String(tenant), ...headers },
  })

  test('keeps what a tenant was answered, with its tag, its age, and for nobody else', async () => {
    const [first, again, other] = [
      await ask('/mine?what=marked', of(7, { authorization: 'Bearer 7' })),
      await ask('/mine?what=marked', of(7, { cookie: 'session=7' })),
      await ask('/mine?what=marked', of(8)),
    ]
    expect(await first.json()).toEqual({ run: 1, what: 'marked' })
    expect(await again.json()).toEqual({ run: 1, what: 'marked' })
    expect(await other.json()).toEqual({ run: 2, what: 'marked' })
    expect(first.headers.get('cache-status')).toBe('tidemark; fwd=miss')
    expect(again.headers.get('cache-status')).toBe('tidemark; hit')
    expect(again.headers.get('age')).toBe('0')
    expect(again.headers.get('x-mark')).toBe('of the handler')
    for (const header of ['etag', 'cache-control', 'content-type']) {
      expect(again.headers.get(header)).toBe(first.headers.get(header))
    }
    expect(again.headers.get('etag')).toMatch(/^W\/"/)
    expect(again.headers.get('cache-control')).toBe('private, no-cache')
  })

  test('keeps no header that the application sets before the route', async () => {
    const [first, again] = [await ask('/mine', of(7)), await ask('/mine', of(7))]
    const outer = name.startsWith('NestJS') ? ['nest', 'nest'] : ['0', '1']
    if (name.startsWith('a Next')) return
    expect([first, again].map(({ headers }) => headers.get('x-outer'))).toEqual(outer)
  })

  test('says 304 to whom has it, whether it was kept or is made again', async () => {
    const { headers } = await ask('/mine?what=same', of(7))
    const etag = headers.get('etag') ?? ''
    const kept = await ask('/mine?what=same', of(7, { 'if-none-match': `"x", ${etag}` }))
    await cache.remove({ patterns: ['*'] })
    const made = await asBrowsersDo(`${server.url}/mine?what=same`, etag)
    const known = await ask('/mine?what=same', of(7))
    expect(kept.status).toBe(304)
    expect(await kept.text()).toBe('')
    expect(kept.headers.get('etag')).toBe(etag)
    expect(made).toEqual({ status: 304, etag, text: '' })
    expect(known.status).toBe(200)
    expect(known.headers.get('cache-status')).toBe('tidemark; hit')
    expect(shop.runs).toBe(2)
    const changed = await ask('/mine?what=same', of(7, { 'if-none-match': 'W/"other"' }))
    expect(changed.status).toBe(200)
  })

  const unkept: readonly [what: string, path: string, init: RequestInit][] = [
    ['an answer that is not 200', '/open?what=missing', {}],
    ['an answer that sets a cookie', '/open?what=cookie', {}],
    ['an answer that is private', '/open?what=private', {}],
    ['an answer that is not to be stored', '/open?what=no-store', {}],
    ['an answer that varies by what is not in the key', '/open?what=varying', {}],
    ['an answer that is too long', `/open?what=${'x'.repeat(1_000)}`, {}],
    ['a request with Authorization and no tenant', '/open', { headers: { authorization: 'x' } }],
    ['a request with a cookie and no tenant', '/open', { headers: { cookie: 'session=1' } }],
    ['a request with credentials of its own', '/open', { headers: { 'x-api-key': '1' } }],
    ['a request whose tenant is not known', '/mine', { headers: { authorization: 'x' } }],
    ['a request for a part', '/open', { headers: { range: 'bytes=0-1' } }],
  ]
  test.each(unkept)('law: does not keep %s', async (_, path, init) => {
    for (const run of [1, 2]) {
      const answer = await ask(path, init)
      expect(answer.headers.get('age')).toBeNull()
      await answer.text()
      expect(shop.runs).toBe(run)
    }
  })

  test('keeps answers in each language apart, and says by what they vary', async () => {
    const inLanguage = (language: string) =>
      ask('/open?what=language', { headers: { 'accept-language': language } })
    for (const language of ['es', 'en', 'es']) {
      const answer = await inLanguage(language)
      expect(answer.headers.get('vary')).toContain('accept-language')
      expect(answer.headers.get('cache-control')).toBe('public, no-cache')
      await answer.text()
    }
    expect(shop.runs).toBe(2)
  })

  test.runIf(['Hono', 'Express', 'Fastify'].includes(name))(
    'law: does not keep what varies by what the application has said before the route',
    async () => {
      for (const run of [1, 2]) {
        const answer = await ask('/open?outer=1')
        expect(answer.headers.get('vary')?.toLowerCase()).toContain('origin')
        await answer.text()
        expect(shop.runs).toBe(run)
      }
    },
  )

  test('answers HEAD from what was kept of a HEAD', async () => {
    const answers = [
      await ask('/open', { method: 'HEAD' }),
      await ask('/open', { method: 'HEAD' }),
      await ask('/open'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(await answers[1]?.text()).toBe('')
    expect(await answers[2]?.json()).toEqual({ run: 2, what: '' })
  })

  test('invalidates what a write names, before its response is out', async () => {
    const runs = async () => {
      const answers = [await ask('/mine', of(7)), await ask('/mine', of(8)), await ask('/open')]
      return Promise.all(answers.map(async (each) => ((await each.json()) as { run: number }).run))
    }
    expect(await runs()).toEqual([1, 2, 3])
    await ask('/write/7?status=201', { method: 'POST' })
    expect(await runs()).toEqual([4, 2, 5])
    await ask('/write/7?status=303', { method: 'POST', redirect: 'manual' })
    expect(await runs()).toEqual([6, 2, 7])
  })

  test('a response of a write is not out before what it names is invalidated', async () => {
    held = gate()
    invalidations = 0
    let isOut = false
    const writing = ask('/write/7', { method: 'POST' })
    void writing.then(async (answer) => answer.text()).then(() => (isOut = true))
    await expect.poll(() => invalidations).toBe(1)
    await ask('/open')
    await ask('/open')
    expect(isOut).toBe(false)
    held.open()
    held = undefined
    expect((await writing).status).toBe(200)
  })

  test('law: a write that failed invalidates nothing, and neither does a GET', async () => {
    await ask('/mine', of(7))
    for (const status of [400, 404, 409, 500]) {
      const answer = await ask(`/write/7?status=${status}`, { method: 'POST' })
      expect(answer.status).toBe(status)
    }
    expect((await ask('/write/7')).status).toBe(200)
    await ask('/mine', of(7))
    expect(shop.runs).toBe(1)
  })

  test.runIf(name === 'Express')('keeps what is written to the response of Node', async () => {
    const [first, again] = [await ask('/raw'), await ask('/raw')]
    expect(await first.text()).toBe('run 1')
    expect(await again.text()).toBe('run 1')
    expect(again.headers.get('content-type')).toBe('text/plain')
    expect(again.headers.get('cache-status')).toBe('tidemark; hit')
    await (await ask('/raw?cookie=1')).text()
    expect(await (await ask('/raw?cookie=1')).text()).toBe('run 3')
  })

  test.runIf(name === 'Express' || name === 'Fastify')(
    'makes its own for who waits for the response of a client that leaves',
    async () => {
      const held = gate()
      shop.gate = held
      const leaving = new AbortController()
      const left = ask('/open', { signal: leaving.signal }).catch(() => 'left')
      await expect.poll(() => shop.runs).toBe(1)
      const waiting = ask('/open')
      shop.gate = undefined
      leaving.abort()
      expect(await left).toBe('left')
      expect(await (await waiting).json()).toEqual({ run: 2, what: '' })
      held.open()
    },
    // Well before the hard limit, at which it would be made as well.
    5_000,
  )

  test('runs one handler for many requests at once, and each its own where the answer may not be shared', async () => {
    for (const [path, runs] of [
      ['/open', 1],
      ['/open?what=cookie', 5],
    ] as const) {
      shop.runs = 0
      shop.gate = gate()
      const asked = Array.from({ length: 5 }, () => ask(path))
      await expect.poll(() => shop.runs).toBe(1)
      shop.gate.open()
      const answers = await Promise.all(asked)
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
      expect(shop.runs).toBe(runs)
    }
  })
})
