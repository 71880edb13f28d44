import { PrismaPg } from '@prisma/adapter-pg'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { cacheExtension } from '../../src/adapters/prisma.ts'
import { PrismaClient } from './generated/client.ts'
import type { Orm } from './orm.ts'
import { openPool } from './pool.ts'
import type { Bench } from './promises.ts'
import { closeBench, cutsCommits, openBench, promisesOf } from './promises.ts'

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

describe('what Prisma writes in one call', () => {
  let bench: Bench
  let client: ReturnType<typeof connect>
  const outdatedBy = (work: () => Promise<unknown>): Promise<string[]> => bench.outdatedBy(work)

  beforeEach(async () => {
    bench = await openBench(async (url, cache) => {
      const pool = openPool(url)
      client = connect(cache, pool)
      return Promise.resolve(ormOf(client, () => client.$disconnect().then(() => pool.end())))
    })
  })
  afterEach(() => closeBench(bench))

  const nueva = { nombre: 'regleta', tienda: 9, precio: 3 }

  test('into other models counts for these as well', async () => {
    const data = { lineas: { create: { cantidad: 1, producto: { create: nueva } } } }
    expect(await outdatedBy(() => client.pedido.create({ data }))).toContain('lista')
    const nested = { lineas: { updateMany: { where: {}, data: { cantidad: 2 } } } }
    const outdated = await outdatedBy(() =>
      client.producto.update({ where: { id: 2 }, data: { ...nested, nombre: 'cable' } }),
    )
    // A relation among what is set: in which column it is kept is not said, so which shop it was in is not known.
    expect(outdated).toEqual(['lista', 'producto 1', 'producto 2', 'tienda 7', 'tienda 8'])
  })

  test('in a list of calls is told of when all are committed, and not at all when one fails', async () => {
    const set = (id: number, precio: number) =>
      client.producto.update({ where: { id }, data: { precio } })
    expect(await outdatedBy(() => client.$transaction([set(1, 5), set(1, 6)]))).toEqual([
      'lista',
      'producto 1',
      'tienda 7',
    ])
    const failing = () => expect(client.$transaction([set(1, 7), set(2, -1)])).rejects.toThrow()
    expect(await outdatedBy(failing)).toEqual([])
  })

  test('in a list whose commit has no known end counts as committed', async () => {
    await bench.db.sql(cutsCommits)
    const call = client.producto.update({ where: { id: 1 }, data: { precio: 5 } })
    const cut = () => expect(client.$transaction([call])).rejects.toThrow()
    expect(await outdatedBy(cut)).toContain('lista')
  })

  test('and returns is told row by row; what met no row is not told', async () => {
    expect(
      await outdatedBy(() =>
        client.producto.updateManyAndReturn({ where: { nombre: 'foco' }, data: { precio: 4 } }),
      ),
    ).toEqual(['lista', 'producto 1', 'tienda 7'])
    expect(
      await outdatedBy(() =>
        client.producto.updateMany({ where: { nombre: 'nada' }, data: { precio: 4 } }),
      ),
    ).toEqual([])
    expect(
      await outdatedBy(() =>
        client.producto.createManyAndReturn({ data: [nueva, { ...nueva, nombre: 'x' }] }),
      ),
    ).toEqual(['lista'])
  })

  test('by clients that were extended further', async () => {
    const further = client.$extends({ name: 'further' })
    const undone = () =>
      further.$transaction(async (tx) => {
        await tx.producto.update({ where: { id: 1 }, data: { precio: 5 } })
        throw new Error('no')
      })
    expect(await outdatedBy(() => expect(undone()).rejects.toThrow(/^no$/))).toEqual([])
    expect(
      await outdatedBy(() =>
        further.$transaction((tx) => tx.producto.update({ where: { id: 1 }, data: { precio: 5 } })),
      ),
    ).toEqual(['lista', 'producto 1', 'tienda 7'])
  })
})
