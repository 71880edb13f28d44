import { Kysely, PostgresDialect, sql } from 'kysely'
import type { ControlledTransaction, Generated } from 'kysely'
import type { CacheManager } from '../../src/cache.ts'
import { cacheDialect } from '../../src/adapters/kysely.ts'
import type { NewProducto, Orm } from './orm.ts'
import { openPool } from './pool.ts'
import { promisesOf } from './promises.ts'

interface Tables {
  productos: { id: Generated<number>; tienda_id: number; nombre: string; precio: number }
  pedidos: { id: Generated<number>; estado: Generated<string> }
  lineas: { id: Generated<number>; pedido_id: number; producto_id: number; cantidad: number }
}

const row = ({ nombre, tienda, precio }: NewProducto) => ({
  nombre,
  tienda_id: tienda,
  precio,
})

function ormOf(db: Kysely<Tables>): Orm {
  return {
    create: (nuevo) => db.insertInto('productos').values(row(nuevo)).returningAll().execute(),
    setPrecio: (id, precio) =>
      db.updateTable('productos').set({ precio }).where('id', '=', id).returningAll().execute(),
    setTienda: (id, tienda) =>
      db.updateTable('productos').set({ tienda_id: tienda }).where('id', '=', id).execute(),
    upsert: (nuevo) =>
      db
        .insertInto('productos')
        .values(row(nuevo))
        .onConflict((conflict) => conflict.column('nombre').doUpdateSet({ precio: nuevo.precio }))
        .execute(),
    remove: (id) => db.deleteFrom('productos').where('id', '=', id).returningAll().execute(),
    setAllPrecios: (precio) => db.updateTable('productos').set({ precio }).execute(),
    removeAllOf: async (tienda) => {
      await db.deleteFrom('lineas').execute()
      await db.deleteFrom('productos').where('tienda_id', '=', tienda).execute()
    },
    async transaction(work) {
      const tx = await db.startTransaction().execute()
      try {
        await work(ormOf(tx))
        await tx.commit().execute()
      } catch (error) {
        await tx
          .rollback()
          .execute()
          .catch(() => undefined)
        throw error
      }
    },
    async nested(work) {
      const tx = await (db as ControlledTransaction<Tables>).savepoint('uno').execute()
      try {
        await work(ormOf(tx))
        await tx.releaseSavepoint('uno').execute()
      } catch (error) {
        await tx.rollbackToSavepoint('uno').execute()
        throw error
      }
    },
    raw: (text) => sql.raw(text).execute(db),
    close: () => db.destroy(),
  }
}

const open = (url: string, cache: CacheManager): Promise<Orm> => {
  const pool = openPool(url)
  const dialect = cacheDialect(cache, new PostgresDialect({ pool }))
  return Promise.resolve(ormOf(new Kysely<Tables>({ dialect })))
}

promisesOf('Kysely', open, { one: true, before: false, upsert: false })
