import { Kysely, PostgresDialect, sql } from 'kysely'
import type { ControlledTransaction, Generated } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { cacheDialect } from '../../src/adapters/kysely.ts'
import type { NewProducto, Orm } from './orm.ts'
import { openPool } from './pool.ts'
import type { Bench } from './promises.ts'
import { closeBench, openBench, promisesOf } from './promises.ts'

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

const connect = (url: string, cache: CacheManager): Kysely<Tables> =>
  new Kysely({ dialect: cacheDialect(cache, new PostgresDialect({ pool: openPool(url) })) })

const open = (url: string, cache: CacheManager): Promise<Orm> =>
  Promise.resolve(ormOf(connect(url, cache)))

promisesOf('Kysely', open, { one: true, before: false, upsert: false })

describe('what Kysely writes in other ways', () => {
  let bench: Bench
  let db: Kysely<Tables>

  beforeEach(async () => {
    bench = await openBench((url, cache) => {
      db = connect(url, cache)
      return Promise.resolve(ormOf(db))
    })
  })
  afterEach(() => closeBench(bench))

  const outdatedBy = (work: () => Promise<unknown>): Promise<string[]> => bench.outdatedBy(work)
  const whole = ['lista', 'producto 1', 'producto 2', 'tienda 7', 'tienda 8']
  const of1 = ['lista', 'producto 1', 'tienda 7']

  test('within WITH, from a query, by MERGE, in a stream', async () => {
    const cheaper = db.updateTable('productos').set({ precio: 1 })
    const ways = [
      () =>
        db
          .with('menos', () => cheaper.where('id', '=', 1))
          .selectFrom('pedidos')
          .selectAll()
          .execute(),
      () =>
        db
          .insertInto('productos')
          .columns(['nombre', 'tienda_id', 'precio'])
          .expression((of) =>
            of
              .selectFrom('pedidos')
              .select([sql<string>`'de pedido'`.as('nombre'), 'id as tienda_id', 'id as precio']),
          )
          .execute(),
      () =>
        db
          .mergeInto('productos')
          .using('pedidos', 'pedidos.id', 'productos.id')
          .whenMatched()
          .thenUpdateSet({ precio: 2 })
          .execute(),
      () => cheaper.from('pedidos').whereRef('pedidos.id', '=', 'productos.id').execute(),
    ]
    for (const way of ways) expect(await outdatedBy(way), String(way)).toEqual(whole)
  })

  test('by conditions is told apart where they say which rows; in whatever spelling', async () => {
    const bySpelling = () =>
      db
        .updateTable('productos as p')
        .set({ precio: 3 })
        .where((of) =>
          of.and([of('p.id', '=', '01' as unknown as number), of('tienda_id', '=', 7)]),
        )
        .execute()
    expect(await outdatedBy(bySpelling)).toEqual(of1)
    const either = () =>
      db
        .updateTable('productos')
        .set({ precio: 4 })
        .where((of) => of.or([of('id', '=', 1), of('id', '=', 2)]))
        .execute()
    expect(await outdatedBy(either)).toEqual(whole)
    const none = () => db.deleteFrom('productos').where('id', '=', 99).execute()
    expect(await outdatedBy(none)).toEqual([])
  })

  test('what is returned under another name is not taken for a column', async () => {
    const renamed = () =>
      db
        .updateTable('productos')
        .set({ precio: 5 })
        .where('nombre', '=', 'foco')
        .returning(['tienda_id as id', 'id as tienda_id'])
        .execute()
    expect(await outdatedBy(renamed)).toEqual(whole)
    const plain = () =>
      db
        .updateTable('productos')
        .set({ precio: 6 })
        .where('nombre', '=', 'foco')
        .returning(['id', 'tienda_id'])
        .execute()
    expect(await outdatedBy(plain)).toEqual(of1)
  })
})
