import { DataSource, EntitySchema } from 'typeorm'
import type { EntityManager } from 'typeorm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { cacheSubscriber } from '../../src/adapters/typeorm.ts'
import type { Orm } from './orm.ts'
import type { Bench } from './promises.ts'
import { closeBench, openBench, promisesOf } from './promises.ts'

interface Producto {
  id: number
  tienda: number
  nombre: string
  precio: number
}

const Producto = new EntitySchema<Producto>({
  name: 'Producto',
  tableName: 'productos',
  columns: {
    id: { type: Number, primary: true, generated: 'increment' },
    tienda: { type: Number, name: 'tienda_id' },
    nombre: { type: String },
    precio: { type: Number },
  },
  uniques: [{ columns: ['nombre'] }],
})

function ormOf(manager: EntityManager, close: () => Promise<void>): Orm {
  const productos = manager.getRepository(Producto)
  const within = (work: (tx: Orm) => Promise<void>): Promise<void> =>
    manager.transaction((inner) => work(ormOf(inner, close)))
  return {
    create: (nuevo) => productos.save({ ...nuevo }),
    async setPrecio(id, precio) {
      await productos.save({ ...(await productos.findOneByOrFail({ id })), precio })
    },
    async setTienda(id, tienda) {
      await productos.save({ id, tienda })
    },
    upsert: (nuevo) => productos.upsert({ ...nuevo }, ['nombre']),
    async remove(id) {
      await productos.remove(await productos.findOneByOrFail({ id }))
    },
    setAllPrecios: (precio) => productos.updateAll({ precio }),
    async removeAllOf(tienda) {
      await manager.query('delete from lineas')
      await productos.delete({ tienda })
    },
    transaction: within,
    nested: within,
    raw: (text) => manager.query(text),
    close,
  }
}

async function connect(url: string, cache: CacheManager): Promise<DataSource> {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [Producto],
    poolErrorHandler: () => undefined,
  })
  await source.initialize()
  source.subscribers.push(cacheSubscriber(cache))
  return source
}

const open = async (url: string, cache: CacheManager): Promise<Orm> => {
  const source = await connect(url, cache)
  return ormOf(source.manager, () => source.destroy())
}

promisesOf('TypeORM', open, { one: true, before: true, upsert: false })

describe('what TypeORM writes without entities', () => {
  let bench: Bench
  let source: DataSource

  beforeEach(async () => {
    bench = await openBench(async (url, cache) => {
      source = await connect(url, cache)
      return ormOf(source.manager, () => source.destroy())
    })
  })
  afterEach(() => closeBench(bench))

  const whole = ['lista', 'producto 1', 'producto 2', 'tienda 7', 'tienda 8']

  test('by repositories and query builders invalidates whatever depends on the table', async () => {
    const productos = source.getRepository(Producto)
    const ways = [
      () => productos.update(1, { precio: 5 }),
      () => productos.increment({ id: 1 }, 'precio', 1),
      () => productos.insert({ nombre: 'regleta', tienda: 7, precio: 1 }),
      () => productos.createQueryBuilder().update().set({ precio: 6 }).where('id = 1').execute(),
      () => productos.createQueryBuilder().delete().where('precio < 0').execute(),
    ]
    for (const way of ways) expect(await bench.outdatedBy(way), String(way)).toEqual(whole)
  })
})
