import { eq, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import type { CacheManager } from '../../src/cache.ts'
import { drizzleCache } from '../../src/adapters/drizzle.ts'
import type { Orm } from './orm.ts'
import { openPool } from './pool.ts'
import { promisesOf } from './promises.ts'

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
    create: (nuevo) => db.insert(productos).values(nuevo),
    setPrecio: (id, precio) => db.update(productos).set({ precio }).where(eq(productos.id, id)),
    setTienda: (id, tienda) => db.update(productos).set({ tienda }).where(eq(productos.id, id)),
    upsert: (nuevo) =>
      db
        .insert(productos)
        .values(nuevo)
        .onConflictDoUpdate({ target: productos.nombre, set: { precio: nuevo.precio } })
        .returning(),
    remove: (id) => db.delete(productos).where(eq(productos.id, id)),
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

const open = (url: string, cache: CacheManager): Promise<Orm> => {
  const pool = openPool(url)
  const queries = drizzleCache(cache)
  const db = queries.watch(drizzle({ client: pool, cache: queries }))
  return Promise.resolve(ormOf(db, () => pool.end()))
}

promisesOf('Drizzle', open, { one: false, before: false, upsert: false })
