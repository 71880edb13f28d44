import { DataSource, EntitySchema } from 'typeorm'
import type { EntityManager } from 'typeorm'
import type { CacheManager } from '../../src/cache.ts'
import { cacheSubscriber } from '../../src/adapters/typeorm.ts'
import type { Orm } from './orm.ts'
import { promisesOf } from './promises.ts'

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

const open = async (url: string, cache: CacheManager): Promise<Orm> => {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [Producto],
    poolErrorHandler: () => undefined,
  })
  await source.initialize()
  source.subscribers.push(cacheSubscriber(cache))
  return ormOf(source.manager, () => source.destroy())
}

promisesOf('TypeORM', open, { one: true, before: true, upsert: false })
