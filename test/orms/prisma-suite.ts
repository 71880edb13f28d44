import { PrismaPg } from '@prisma/adapter-pg'
import type pg from 'pg'
import type { CacheManager } from '../../src/cache.ts'
import { cacheExtension } from '../../src/adapters/prisma.ts'
import { PrismaClient } from './generated/client.ts'
import type { Orm } from './orm.ts'
import { openPool } from './pool.ts'
import { promisesOf } from './promises.ts'

const connect = (cache: CacheManager, pool: pg.Pool) =>
  new PrismaClient({ adapter: new PrismaPg(pool) }).$extends(cacheExtension(cache))

type Client = Pick<
  ReturnType<typeof connect>,
  'producto' | 'linea' | '$executeRawUnsafe' | '$transaction'
>

function ormOf(client: Client, close: () => Promise<void>): Orm {
  const { producto } = client
  const within = (work: (tx: Orm) => Promise<void>): Promise<void> =>
    client.$transaction((tx) => work(ormOf(tx as unknown as Client, close)))
  return {
    create: (data) => producto.create({ data }),
    setPrecio: (id, precio) => producto.update({ where: { id }, data: { precio } }),
    setTienda: (id, tienda) => producto.update({ where: { id }, data: { tienda } }),
    upsert: (create) =>
      producto.upsert({
        where: { nombre: create.nombre },
        create,
        update: { precio: create.precio },
      }),
    remove: (id) => producto.delete({ where: { id } }),
    setAllPrecios: (precio) => producto.updateMany({ data: { precio } }),
    async removeAllOf(tienda) {
      await client.linea.deleteMany()
      await producto.deleteMany({ where: { tienda } })
    },
    transaction: within,
    nested: within,
    raw: (statement) => client.$executeRawUnsafe(statement),
    close,
  }
}

const open = (url: string, cache: CacheManager): Promise<Orm> => {
  const pool = openPool(url)
  const client = connect(cache, pool)
  return Promise.resolve(
    ormOf(client, async () => {
      await client.$disconnect()
      await pool.end()
    }),
  )
}

promisesOf('Prisma', open, { one: true, before: false, upsert: true })
