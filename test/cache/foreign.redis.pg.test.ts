import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createClient } from 'redis'
import type { CacheEvent, CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import type { ForeignCacheParts } from '../../src/cache/foreign-cache.ts'
import { ForeignCache } from '../../src/cache/foreign-cache.ts'
import { postgresJournal } from '../../src/cache/postgres-journal.ts'
import type { RedisLink } from '../../src/cache/redis-link.ts'
import { redisLink } from '../../src/cache/redis-link.ts'
import { keyTemplate } from '../../src/invalidate/foreign-keys.ts'
import { relationOf } from '../../src/model/ids.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { gate } from '../support/gate.ts'
import { handTiming } from '../support/hand-timing.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'

const keys = 'electro_isla:1:producto_{id}'
/** What the place is called up to which these are deleted. */
const cursor = `public.productos: ${keys}`
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
  await db.sql(`create table productos (id int primary key, marca text, precio int);
    create table producto_fills (id int primary key)`)
  await planAndApply(db.database, {
    views: { ventas: { sql: 'select id, sum(precio) as total from productos group by id' } },
    caches: { isla: { dependsOn: { productos: [['id'], []], ventas: ['id'] } } },
    cacheTables: {
      producto_fills: { key: ['id'], rules: [{ on: 'productos', key: { id: 'id' } }] },
    },
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

/** A node whose limits and whose way to Redis are a test's own. */
const inHand = (parts: Pick<ForeignCacheParts, 'link'> & Partial<ForeignCacheParts>) => {
  const { timing = systemTiming } = parts
  return new ForeignCache({
    namespace: 'isla',
    name: cursor,
    templates: [keyTemplate(keys, relationOf('productos'))],
    journal: postgresJournal('isla', { url: db.url, maxLagMs: 100, timing, wanted: () => [] }),
    database: openDatabase(db.url, { connectionsMax: 2 }),
    everyMs: 100,
    standsMsMax: 10_000,
    timing,
    random: Math.random,
    listener: (event) => void events.push(event),
    ...parts,
  })
}
/** A way to Redis on which something happens before each call. */
const through = (before: () => Promise<unknown>): RedisLink => {
  const own = redisLink(client, false)
  return { ...own, send: async (words) => before().then(() => own.send(words)) }
}
const told = (what: CacheEvent['event']) => events.filter(({ event }) => event === what)

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

test('law: a node that stands still while it deletes keeps nobody from it, and goes on when it can', async () => {
  const [asked, stands] = [gate<undefined>(), gate<undefined>()]
  const link = through(() => {
    asked.open(undefined)
    return stands.passed
  })
  const still = inHand({ link, standsMsMax: 300, timing: handTiming() })
  try {
    await asked.passed
    await keep(1, 2)
    await node().foreign.settle()
    expect(await kept()).toEqual([])
    stands.open(undefined)
    await expect.poll(() => told('unreachable').length).toBe(1)
    await keep(1, 2)
    await db.sql(`update productos set precio = 9 where id = 2`)
    await still.settle(10_000)
    expect(await kept()).toEqual(['producto_1'])
  } finally {
    stands.open(undefined)
    await still.close()
  }
})

test('a deletion that takes longer than a node may stand still is not broken off while Redis answers', async () => {
  const link = through(() => new Promise((resolve) => setTimeout(resolve, 150)))
  const templates = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    keyTemplate(`${name}_{id}`, relationOf('productos')),
  )
  const slow = inHand({ link, templates, standsMsMax: 500 })
  await client.set('e_1', 'pickle')
  await slow.settle(20_000).finally(() => slow.close())
  expect(await kept()).toEqual([])
  expect(told('unreachable')).toEqual([])
})

test('while another node has been at work for seconds that is said, and settle() is refused in time', async () => {
  await node().foreign.settle()
  const timing = handTiming()
  const lines: string[] = []
  const log = (line: string): void => void lines.push(line)
  const cache = createCache({
    namespace: 'isla',
    database: db.url,
    timing,
    log: { info: log, warn: log, error: log },
  })
  open.push(cache)
  const other = await db.session()
  await other.transaction(async (holding) => {
    await holding.query(`select tidemark.follow_foreign('isla', $1)`, [cursor])
    const foreign = cache.foreign({ redis: server.url, keys, on: 'productos' })
    const refused = expect(foreign.settle({ within: '20s' })).rejects.toMatchObject({
      code: 'TIDEMARK_CACHE_TIMEOUT',
      message: expect.stringContaining(cursor) as string,
    })
    await expect
      .poll(async () => {
        await timing.pass(1_000)
        return lines
      })
      .toContainEqual(expect.stringMatching(/another node has been at work for \d+ s.*productos/))
    await timing.pass(20_000)
    await refused
  })
  await other.close()
})

test('law: a program that fills within the barrier of a cache table keeps nothing from before a commit', async () => {
  const { foreign } = node()
  await foreign.settle()
  const [program, writer] = [await db.session(), await db.session()]
  const begin = async (): Promise<string | null> => {
    const [row] = await program.query<{ token: string | null }>(
      `select tidemark.fill_begin('producto_fills', '1') as token`,
    )
    return row?.token ?? null
  }
  const end = async (token: string | null): Promise<boolean> => {
    const [row] = await program.query<{ allowed: boolean }>(
      'select tidemark.fill_end($1) as allowed',
      [token],
    )
    return row?.allowed === true
  }
  // Read before the commit, asked after it.
  const early = await begin()
  await writer.query('update productos set precio = 10 where id = 1')
  expect(await end(early)).toBe(false)
  // Stored before the commit: the writer waits for it, and the deletion comes after both.
  const token = await begin()
  await program.query('begin')
  expect(await end(token)).toBe(true)
  const written = writer.query('update productos set precio = 11 where id = 1')
  await expect
    .poll(() => db.sql(`select from pg_locks where pid = $1 and not granted`, [writer.pid]))
    .toHaveLength(1)
  await keep(1, 2)
  await program.query('commit')
  await written
  await foreign.settle()
  expect(await kept()).toEqual(['producto_2'])
  await Promise.all([program.close(), writer.close()])
})

test('a column that is not told is named with the line to add', async () => {
  const { foreign } = node('productos', 'electro_isla:1:marca_{marca}')
  await expect(foreign.settle()).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_BLIND',
    mend: expect.stringContaining(`'public.productos': [['marca']]`) as unknown,
  })
  const { cache } = node('productos', 'electro_isla:1:marca_{marca}')
  await expect(cache.start()).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_BLIND' })
  await node().cache.start()
})
