import { and, eq, gt, inArray, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DrizzleCacheOptions } from '../../src/adapters/drizzle.ts'
import { drizzleCache } from '../../src/adapters/drizzle.ts'
import type { CacheEvent, CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { gate } from '../support/gate.ts'
import type { Orm } from './orm.ts'
import { openPool } from './pool.ts'
import type { Bench } from './promises.ts'
import { closeBench, openBench, promisesOf } from './promises.ts'
import { thisDatabase } from '../support/waiting-at.ts'

export const productos = pgTable('productos', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  tienda: integer('tienda_id').notNull(),
  nombre: text().notNull(),
  precio: integer().notNull(),
})
const lineas = pgTable('lineas', { id: integer().primaryKey() })

type Db = Pick<NodePgDatabase, 'insert' | 'update' | 'delete' | 'transaction' | 'execute'>

function ormOf(db: Db, close: () => Promise<void>): Orm {
  const within = (work: (tx: Orm) => Promise<void>): Promise<void> =>
    db.transaction((tx) => work(ormOf(tx, close)))
  return {
    create: (nuevo) => db.insert(productos).values(nuevo).returning({ id: productos.id }),
    setPrecio: (id, precio) =>
      db.update(productos).set({ precio }).where(eq(productos.id, id)).returning(),
    setTienda: (id, tienda) => db.update(productos).set({ tienda }).where(eq(productos.id, id)),
    upsert: (nuevo) =>
      db
        .insert(productos)
        .values(nuevo)
        .onConflictDoUpdate({ target: productos.nombre, set: { precio: nuevo.precio } })
        .returning(),
    remove: (id) => db.delete(productos).where(eq(productos.id, id)).returning(),
    setAllPrecios: (precio) => db.update(productos).set({ precio }),
    async removeAllOf(tienda) {
      await db.delete(lineas)
      await db.delete(productos).where(eq(productos.tienda, tienda))
    },
    transaction: within,
    nested: within,
    raw: (statement) => db.execute(sql.raw(statement)),
    close,
  }
}

function connect(url: string, cache: CacheManager, options: DrizzleCacheOptions = {}) {
  const pool = openPool(url)
  const queries = drizzleCache(cache, options)
  const db = queries.watch(drizzle({ client: pool, cache: queries }))
  return { pool, db, orm: ormOf(db, () => pool.end()) }
}

const open = (url: string, cache: CacheManager): Promise<Orm> =>
  Promise.resolve(connect(url, cache).orm)

promisesOf('Drizzle', open, { one: true, before: false, upsert: false })

describe('what Drizzle writes in other ways', () => {
  let bench: Bench
  let db: ReturnType<typeof connect>['db']
  const outdatedBy = (work: () => Promise<unknown>): Promise<string[]> => bench.outdatedBy(work)
  const whole = ['lista', 'producto 1', 'producto 2', 'tienda 7', 'tienda 8']
  const of1 = ['lista', 'producto 1', 'tienda 7']

  beforeEach(async () => {
    bench = await openBench((url, cache) => {
      const opened = connect(url, cache)
      db = opened.db
      return Promise.resolve(opened.orm)
    })
  })
  afterEach(() => closeBench(bench))

  const cheaper = () => db.update(productos).set({ precio: 1 })

  test('is told by row where its conditions say which', async () => {
    const { id, tienda, precio } = productos
    const conditions = [
      and(eq(id, 1), eq(tienda, 7)),
      and(eq(id, 1), and(gt(precio, 0), eq(tienda, 7)), inArray(id, [1, 2])),
      and(or(gt(precio, 0), eq(id, 2)), eq(id, 1), eq(tienda, 7)),
      sql`${and(eq(id, 1), eq(tienda, 7))}`,
    ]
    for (const [at, condition] of conditions.entries()) {
      expect(await outdatedBy(() => cheaper().where(condition)), String(at)).toEqual(of1)
    }
    expect(await outdatedBy(() => cheaper().where(eq(id, 99)))).toEqual([])
    expect(await outdatedBy(() => db.delete(productos).where(eq(id, 99)))).toEqual([])
  })

  test('law: is not told by row where they may say something else', async () => {
    const { id, tienda, precio } = productos
    const one = [eq(id, 1), eq(tienda, 7)]
    const conditions = [
      or(and(...one), gt(precio, 0)),
      and(sql`${precio} > 0 or false`, ...one),
      and(eq(precio, sql`1 or true`), ...one),
      sql`${and(...one)} or true`,
      sql`not ${and(...one)}`,
    ]
    for (const [at, condition] of conditions.entries()) {
      expect(await outdatedBy(() => cheaper().where(condition)), String(at)).toEqual(whole)
    }
  })

  test('by what it returns, by the values of rows that come, and by a value that is set', async () => {
    const { id, nombre, tienda } = productos
    const named = () => cheaper().where(eq(nombre, 'foco'))
    expect(await outdatedBy(named)).toEqual(whole)
    expect(await outdatedBy(() => named().returning({ uno: id, dos: tienda }))).toEqual(of1)
    expect(await outdatedBy(() => named().returning({ tienda: id, id: tienda }))).toEqual(of1)
    const rows = ['a', 'b'].map((each) => ({ nombre: each, tienda: 8, precio: 1 }))
    expect(await outdatedBy(() => db.insert(productos).values(rows).returning())).toEqual([
      'lista',
      'tienda 8',
    ])
    const known = { id: 1, tienda: 7, nombre: 'foco', precio: 1 }
    const skipped = () => db.insert(productos).values(known).onConflictDoNothing()
    expect(await outdatedBy(skipped)).toEqual([])
  })

  test('within WITH, and by a statement that was prepared', async () => {
    const menos = db.$with('menos').as(cheaper().where(eq(productos.id, 1)).returning())
    expect(await outdatedBy(() => db.with(menos).select().from(menos))).toEqual(whole)
    const { id, tienda, precio } = productos
    const dearer = gt(precio, sql.placeholder('precio'))
    const prepared = cheaper()
      .where(and(eq(id, 1), eq(tienda, 7), dearer))
      .prepare('cheaper')
    expect(await outdatedBy(() => prepared.execute({ precio: 0 }))).toEqual(of1)
  })
})

describe('queries that Drizzle keeps', () => {
  let bench: Bench
  let db: ReturnType<typeof connect>['db']
  let asked: number
  let ttls: number[]

  beforeEach(async () => {
    asked = 0
    ttls = []
    const onEvent = (event: CacheEvent): void => {
      if (event.event === 'loaded') ttls.push(event.ttlMs)
    }
    const open = (url: string, cache: CacheManager): Promise<Orm> => {
      const { pool, orm, ...opened } = connect(url, cache, { queries: ['productos'] })
      db = opened.db
      pool.on('acquire', () => (asked += 1))
      return Promise.resolve(orm)
    }
    bench = await openBench(open, { onEvent })
  })
  afterEach(() => closeBench(bench))

  const nombres = async (by: Pick<typeof db, 'select'> = db): Promise<string[]> => {
    const found = await by.select().from(productos).orderBy(productos.id).$withCache()
    return found.map(({ nombre }) => nombre)
  }
  /** What a query answers, asked twice, and whether the second answer was kept. */
  const twice = async <Value>(ask: () => Promise<Value>): Promise<[Value, boolean]> => {
    const { hits } = bench.cache.getStats()
    await ask()
    return [await ask(), bench.cache.getStats().hits > hits]
  }

  test('are kept until a write of anybody to their tables is committed', async () => {
    expect(await twice(() => nombres())).toEqual([['foco', 'cable'], true])
    await db.transaction(async (tx) => {
      await tx.update(productos).set({ nombre: 'lámpara' }).where(eq(productos.id, 1))
      expect(await nombres()).toEqual(['foco', 'cable'])
    })
    expect(await twice(() => nombres())).toEqual([['lámpara', 'cable'], true])
    expect(bench.cache.getStats().kinds['drizzle:productos']).toMatchObject({ loads: 2, misses: 2 })
  })

  test('are neither kept nor taken from the cache within a transaction', async () => {
    const caros = async (by: Pick<typeof db, 'select'>): Promise<string[]> => {
      const found = await by.select().from(productos).where(gt(productos.precio, 15)).$withCache()
      return found.map(({ nombre }) => nombre)
    }
    expect(await nombres()).toEqual(['foco', 'cable'])
    const undone = db.transaction(async (tx) => {
      await tx.update(productos).set({ nombre: 'lámpara' }).where(eq(productos.id, 2))
      expect(await nombres(tx)).toEqual(['foco', 'lámpara'])
      expect(await caros(tx)).toEqual(['lámpara'])
      throw new Error('no')
    })
    await expect(undone).rejects.toThrow(/^no$/)
    expect(await nombres()).toEqual(['foco', 'cable'])
    expect(await caros(db)).toEqual(['cable'])
  })

  test('law: an answer that was read before a commit is not kept after it', async () => {
    const held = gate()
    const lock = await bench.db.session()
    await lock.query('begin; lock table productos')
    const slow = nombres().finally(() => held.open())
    await expect
      .poll(() =>
        bench.db.sql(`select from pg_locks where not granted and database = ${thisDatabase}`),
      )
      .toHaveLength(1)
    await bench.cache.wrote([{ table: 'productos', rows: null, columns: null }])
    await lock.query('commit')
    await held.passed
    expect(await slow).toEqual(['foco', 'cable'])
    expect(bench.cache.getStats().kinds['drizzle:productos']).toMatchObject({ loadsRefused: 1 })
  })

  test('are not kept where they read another table, in a subquery as well', async () => {
    const inSubquery = () =>
      db
        .select()
        .from(productos)
        .where(sql`exists (select 1 from pedidos where pedidos.id = ${productos.id})`)
        .$withCache()
    expect((await twice(inSubquery))[1]).toBe(false)
    expect((await twice(() => db.select().from(lineas).$withCache()))[1]).toBe(false)
    expect((await twice(() => db.select().from(productos)))[1]).toBe(false)
  })

  test('are invalidated by tag, by table and by hand; and asked together once', async () => {
    const tagged = () =>
      db.select().from(productos).$withCache({ tag: 'todos', autoInvalidate: false })
    await Promise.all([tagged(), tagged(), tagged()])
    expect(asked).toBe(1)
    await db.update(productos).set({ precio: 1 })
    expect((await tagged())[0]?.precio).toBe(10)
    await db.$cache.invalidate({ tags: 'todos' })
    expect((await tagged())[0]?.precio).toBe(1)
    await nombres()
    await bench.db.sql(`update productos set nombre = nombre || '!'`)
    expect(await nombres()).toEqual(['foco', 'cable'])
    await db.$cache.invalidate({ tables: [productos] })
    expect(await nombres()).toEqual(['foco!', 'cable!'])
  })

  test('live for as long as Drizzle is told, and a query that fails leaves nothing behind', async () => {
    const short = () =>
      db
        .select()
        .from(productos)
        .$withCache({ config: { ex: 5 } })
    await short()
    expect(ttls).toEqual([5_000])
    const failing = () =>
      db
        .select({ x: sql`1 / ${productos.precio} - 1 / 0` })
        .from(productos)
        .$withCache()
    for (let time = 0; time < 2; time += 1) await expect(failing()).rejects.toThrow()
    expect(bench.cache.getStats()).toMatchObject({ entries: 1, loadFailures: 2 })
  })
})

test('a database that is not watched is refused before it is asked anything', async () => {
  const cache = createCache({ namespace: 'electro' })
  const pool = openPool('postgres://nobody@127.0.0.1:1/nothing')
  const db = drizzle({ client: pool, cache: drizzleCache(cache) })
  expect(() =>
    db.insert(productos).values({ nombre: 'x', tienda: 1, precio: 1 }).toSQL(),
  ).not.toThrow()
  await expect(
    (async () => db.insert(productos).values({ nombre: 'x', tienda: 1, precio: 1 }))(),
  ).rejects.toMatchObject({ code: 'TIDEMARK_CACHE_INVALID' })
  await pool.end()
  await cache.close()
})
