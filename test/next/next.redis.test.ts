import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import { installPackages } from '../support/private-packages.ts'
import type { Gate } from '../support/gate.ts'
import { gate } from '../support/gate.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))
const program = `${folder}node_modules/next/dist/bin/next`
const handler = new URL('../../dist/adapters/next-cache-handler.js', import.meta.url).href

let store: TestRedis
let servers: { url: string; process: ChildProcess }[] = []
let value = 0
let reads = 0
let held: Gate<void> | null = null

/** What the app reads: the value at the time when it asks. */
const source = createServer((_, response) => {
  reads += 1
  const seen = String(value)
  void (held?.passed ?? Promise.resolve()).then(() => response.end(seen))
})

const environment = () => ({
  ...process.env,
  NODE_ENV: 'production' as const,
  NEXT_TELEMETRY_DISABLED: '1',
  TIDEMARK_HANDLER: handler,
  REDIS_URL: store.url,
  SOURCE_URL: `http://127.0.0.1:${(source.address() as AddressInfo).port}`,
})

beforeAll(async () => {
  installPackages(new URL('.', import.meta.url), 'Next.js')
  store = await startRedis()
  await once(source.listen(0, '127.0.0.1'), 'listening')
  await build()
  servers = await Promise.all([started(), started()])
}, 400_000)

afterAll(async () => {
  for (const server of servers) server.process.kill()
  source.close()
  await store.stop()
})

beforeEach(async () => {
  await revalidated(0)
  held = null
  value += 1
  reads = 0
})

/** Builds the app, unless it was built from what it is. */
async function build(): Promise<void> {
  const digest = createHash('sha256')
  const names = ['app', 'pages'].flatMap((part) =>
    readdirSync(folder + part, { recursive: true, encoding: 'utf8' }).map(
      (one) => `${part}/${one}`,
    ),
  )
  for (const name of ['next.config.mjs', 'cache-handler.mjs', 'isr-handler.mjs', ...names.sort()]) {
    if (/\.m?js$/.test(name)) digest.update(name).update(readFileSync(folder + name))
  }
  const stamp = `${folder}node_modules/.app/built-from`
  const built = digest.digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === built) return
  const child = spawn(process.execPath, [program, 'build'], { cwd: folder, env: environment() })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => (said += text.toString()))
  }
  const [status] = (await once(child, 'close')) as [number]
  if (status !== 0) throw new Error(`next build ended with ${status}:\n${said}`)
  writeFileSync(stamp, built)
}

async function started(): Promise<{ url: string; process: ChildProcess }> {
  const words = [program, 'start', '--port', '0', '--hostname', '127.0.0.1']
  const child = spawn(process.execPath, words, { cwd: folder, env: environment() })
  let said = ''
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => {
        said += text.toString()
        const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? []
        if (url !== undefined && said.includes('Ready')) resolve({ url, process: child })
      })
    }
    child.on('close', () => {
      reject(new Error(`next start ended:\n${said}`))
    })
  })
}

const urlOf = (at: number, path: string): string => `${servers[at]?.url ?? ''}/${path}`

async function read(at: number, path = 'value'): Promise<number> {
  const response = await fetch(urlOf(at, path))
  expect(response.status).toBe(200)
  return Number(/^(?:.*<p>)?(\d+)/s.exec(await response.text())?.[1])
}

/** Revalidates through a server; resolves with the status of its answer. Next.js itself answers before it has revalidated. */
async function revalidated(at: number, what: object = { by: 'handler' }): Promise<number> {
  const body = JSON.stringify(what)
  return (await fetch(urlOf(at, 'revalidate'), { method: 'POST', body })).status
}

test('what one server has computed the other gives without computing it', async () => {
  expect(await read(0)).toBe(value)
  expect([await read(1), await read(0), await read(1, 'other')]).toEqual([value, value, value])
  expect(reads).toBe(1)
})

test('law: what is revalidated through one server, no server gives after that', async () => {
  for (let round = 0; round < 20; round += 1) {
    await Promise.all([read(0), read(1)])
    value += 1
    await revalidated(round % 2)
    expect(await Promise.all([read(0), read(1)])).toEqual([value, value])
  }
})

test.each(['value', 'page'])(
  'law: what was read before a revalidation is not kept, though it ends after it: %s',
  async (path) => {
    held = gate()
    const before = read(0, path)
    await expect.poll(() => reads).toBe(1)
    const old = value
    value += 1
    await revalidated(1)
    held.open()
    held = null
    expect(await before).toBe(old)
    expect([await read(1, path), await read(0, path)]).toEqual([value, value])
  },
)

test('revalidateTag on one server is seen by the other', async () => {
  await Promise.all([read(0), read(1)])
  value += 1
  await revalidated(0, {})
  await expect.poll(() => read(1)).toBe(value)
  expect(await read(0)).toBe(value)
})

test('a path that is revalidated gives nothing that was computed before, on any server', async () => {
  await read(0)
  await read(1, 'other')
  value += 1
  await revalidated(0, { path: '/other' })
  await expect.poll(() => read(1, 'other')).toBe(value)
})

test.each(['value', 'page'])(
  'with a profile, what was is given while it is computed anew: %s',
  async (path) => {
    await read(0, path)
    const old = value
    value += 1
    await revalidated(0, { profile: 'max' })
    expect(await read(1, path)).toBe(old)
    await expect.poll(() => read(1, path)).toBe(value)
    await expect.poll(() => read(0, path)).toBe(value)
  },
)

test('a revalidation that Redis has not taken is not acknowledged, and holds as soon as it has', async () => {
  await read(0)
  store.freeze()
  value += 1
  const status = await revalidated(0)
  store.thaw()
  expect(status).toBe(500)
  await expect.poll(() => read(1)).toBe(value)
})

test('law: a page that is rendered ahead is one for all servers, and what is revalidated through one, none gives', async () => {
  const both = () => Promise.all([read(0, 'page'), read(1, 'page')])
  expect(await read(0, 'page')).toBe(value)
  expect(await both()).toEqual([value, value])
  expect(reads).toBe(1)
  const client = await createClient({ url: store.url }).connect()
  expect(await client.keys('app:next:*/APP_PAGE/*/page')).toHaveLength(1)
  client.destroy()
  for (let round = 0; round < 5; round += 1) {
    value += 1
    await revalidated(round % 2)
    expect(await both()).toEqual([value, value])
  }
})

test('a page is given to the router of a browser as well, and comes back as it was', async () => {
  const flight = async (at: number, headers: Record<string, string>) => {
    const response = await fetch(urlOf(at, 'page'), { headers: { rsc: '1', ...headers } })
    return [response.status, response.headers.get('content-type'), await response.text()]
  }
  const prefetch = { 'next-router-prefetch': '1', 'next-router-segment-prefetch': '/_tree' }
  for (const headers of [{}, prefetch]) {
    const [first, second] = [await flight(0, headers), await flight(1, headers)]
    expect(first).toEqual([200, 'text/x-component', expect.stringMatching(/./)])
    expect(second).toEqual(first)
  }
})

test('a page with getStaticProps that one server makes anew, all give', async () => {
  const renewed = (at: number) => fetch(urlOf(at, 'api/renew')).then((answer) => answer.status)
  for (const at of [0, 1]) {
    value += 1
    expect(await renewed(at)).toBe(200)
    expect([await read(0, 'listing'), await read(1, 'listing')]).toEqual([value, value])
  }
  expect(reads).toBe(2)
})

test('law: who asks after an answer is not given it again unless Redis says that it stands: that it is still being kept is no reason', async () => {
  held = gate()
  const before = read(0)
  await expect.poll(() => reads).toBe(1)
  store.freeze()
  held.open()
  held = null
  expect(await before).toBe(value)
  value += 1
  expect(await read(0)).toBe(value)
  store.thaw()
})

test('while Redis is away the source answers; when it is back nothing old is given', async () => {
  await read(0)
  await store.kill()
  value += 1
  expect([await read(0), await read(1)]).toEqual([value, value])
  await store.restart()
  await expect.poll(() => revalidated(0)).toBe(200)
  value += 1
  await revalidated(1)
  expect([await read(0), await read(1)]).toEqual([value, value])
  const client = await createClient({ url: store.url }).connect()
  await expect
    .poll(async () => [await read(0), await client.keys('app:next:*')])
    .toEqual([value, [expect.any(String)]])
  client.destroy()
})
