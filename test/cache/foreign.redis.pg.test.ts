import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import type { CacheEvent, CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

const keys = 'electro_isla:1:producto_{id}'
let server: TestRedis
let db: TestDatabase
let client: Awaited<ReturnType<typeof connected>>
let open: CacheManager[] = []
let events: CacheEvent[] = []

const connected = () => {
  const made = createClient({ url: server.url })
  made.on('error', () => undefined)
  return made.connect()
}

beforeAll(async () => {
  server = await startRedis()
  client = await connected()
  db = await createTestDatabase()
  await db.sql(`create table productos (id int primary key, marca text, precio int)`)
  await planAndApply(db.database, {
    views: { ventas: { sql: 'select id, sum(precio) as total from productos group by id' } },
    caches: { isla: { dependsOn: { productos: [['id'], []], ventas: ['id'] } } },
  })
})
afterAll(async () => {
  client.destroy()
  await db.drop()
  await server.stop()
})
beforeEach(async () => {
  events = []
  await client.flushAll()
  await db.sql(`delete from tidemark.foreign_cache; delete from productos;
    insert into productos select n, 'a', n from generate_series(1, 3) n`)
})
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
})

function node(on = 'productos', of: string | readonly string[] = keys) {
  const cache = createCache({
    namespace: 'isla',
    database: db.url,
    onEvent: (event) => void events.push(event),
  })
  open.push(cache)
  return { cache, foreign: cache.foreign({ redis: server.url, keys: of, on }) }
}

/** What Django keeps. */
const keep = async (...ids: readonly number[]): Promise<void> => {
  for (const id of ids) await client.set(`electro_isla:1:producto_${String(id)}`, 'pickle')
}
const kept = async (): Promise<readonly string[]> =>
  (await client.keys('*')).map((key) => key.replace('electro_isla:1:', '')).toSorted()

test('keys of rows that changed are deleted after the commit, of old and new values, and no others', async () => {
  const { foreign } = node('productos', [keys, 'electro_isla:1:lista'])
  await foreign.settle()
  await keep(1, 2, 3, 4)
  await client.set('electro_isla:1:lista', 'pickle')
  await client.set('electro_isla:1:usuario_1', 'pickle')
  await db.sql(`update productos set precio = 9 where id = 2`)
  await foreign.settle()
  expect(await kept()).toEqual(['producto_1', 'producto_3', 'producto_4', 'usuario_1'])
  await db.sql(`update productos set id = 4 where id = 3`)
  // Without anybody asking for it.
  await expect.poll(kept).toEqual(['producto_1', 'usuario_1'])
})

test('what cannot be told by row deletes all keys of the template', async () => {
  const { foreign } = node()
  await foreign.settle()
  await keep(1, 2)
  await client.set('electro_isla:1:usuario_1', 'pickle')
  await db.sql('truncate productos')
  await foreign.settle()
  expect(await kept()).toEqual(['usuario_1'])
})

test('at the first start all keys go, for nobody knows when they were read; later the cursor goes on', async () => {
  await keep(1, 2)
  const first = node()
  await first.foreign.settle()
  expect(await kept()).toEqual([])
  await first.cache.close()
  await keep(1, 2)
  await db.sql(`update productos set precio = 5 where id = 1`)
  const second = node()
  await second.foreign.settle()
  expect(await kept()).toEqual(['producto_2'])
})

test('law: while Redis is away no deletion is lost, and none is when the program ends meanwhile', async () => {
  const { cache, foreign } = node()
  await foreign.settle()
  await keep(1, 2, 3)
  server.freeze()
  try {
    await db.sql(`update productos set precio = 7 where id = 1`)
    await expect
      .poll(() => events.some((event) => event.event === 'unreachable'), { timeout: 10_000 })
      .toBe(true)
    await cache.close()
    await db.sql(`update productos set precio = 7 where id = 2`)
  } finally {
    server.thaw()
  }
  await node().foreign.settle()
  expect(await kept()).toEqual(['producto_3'])
})

test('keys of rows of a maintained view are deleted after its refresh', async () => {
  await db.sql(`call tidemark.run('ventas', 'manual', 'test')`)
  const { foreign } = node('ventas')
  await foreign.settle()
  await keep(1, 2)
  await db.sql(`update productos set precio = 8 where id = 1`)
  await foreign.settle()
  expect(await kept()).toEqual(['producto_1', 'producto_2'])
  await db.sql(`call tidemark.run('ventas', 'manual', 'test')`)
  await foreign.settle()
  expect(await kept()).toEqual(['producto_2'])
})

test('of several nodes each deletes what another one has not, and none stands in the way', async () => {
  const nodes = [node(), node(), node()]
  await Promise.all(nodes.map(({ foreign }) => foreign.settle()))
  for (let round = 0; round < 10; round += 1) {
    await keep(1, 2, 3)
    const id = (round % 3) + 1
    await db.sql(`update productos set precio = precio + 1 where id = ${String(id)}`)
    await expect.poll(kept).not.toContain(`producto_${String(id)}`)
  }
})

test('a column that is not told is named with the line to add', async () => {
  const { foreign } = node('productos', 'electro_isla:1:marca_{marca}')
  await expect(foreign.settle()).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_BLIND',
    mend: expect.stringContaining(`'public.productos': [['marca']]`) as unknown,
  })
})
