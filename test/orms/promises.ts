import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { gate } from '../support/gate.ts'
import type { Orm, Telling } from './orm.ts'
import { tables } from './schema.ts'

/** How a suite gets at its ORM. */
export type OpenOrm = (url: string, cache: CacheManager) => Promise<Orm>

/** A place to work: a database, a cache over it that only the ORM tells of writes, and kinds of entries. */
export interface Bench {
  readonly db: TestDatabase
  readonly cache: CacheManager
  readonly orm: Orm
  /** Fills every entry, does the work, and names the entries that it made untrue. */
  readonly outdatedBy: (work: (look: () => string[]) => Promise<unknown>) => Promise<string[]>
}

const ofOne = ['lista', 'producto 1', 'tienda 7']
const ofWhole = ['lista', 'producto 1', 'producto 2', 'tienda 7', 'tienda 8']

/** Has the server end the connection of whoever commits an update, as he commits. */
export const cutsCommits = `
create function cut() returns trigger language plpgsql as
  $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
create constraint trigger cut after update on productos deferrable initially deferred
  for each row execute function cut()`

/** Opens a {@link Bench}. */
export async function openBench(
  open: OpenOrm,
  options: Partial<CacheOptions> = {},
): Promise<Bench> {
  const db = await createTestDatabase()
  await db.sql(tables)
  const cache = createCache({ namespace: 'electro', ...options })
  const count = (where: string) => async (): Promise<unknown> =>
    db.sql(`select * from productos where ${where} order by id`)
  const load = (column: string) => (value: number) => count(`${column} = ${value}`)()
  const lista = cache.define('lista', count('true'), { dependsOn: ['productos'] })
  const producto = cache.define('producto', load('id'), { dependsOn: { productos: 'id' } })
  const tienda = cache.define('tienda', load('tienda_id'), {
    dependsOn: { productos: 'tienda_id' },
  })
  const pedidos = cache.define('pedidos', () => db.sql('select * from pedidos'), {
    dependsOn: ['pedidos'],
  })
  const entries = {
    lista: lista.prepare(),
    'producto 1': producto.prepare(1),
    'producto 2': producto.prepare(2),
    'tienda 7': tienda.prepare(7),
    'tienda 8': tienda.prepare(8),
    pedidos: pedidos.prepare(),
  }
  const look = (): string[] =>
    Object.entries(entries).flatMap(([name, entry]) => (entry.hit() === undefined ? [name] : []))
  return {
    db,
    cache,
    orm: await open(db.url, cache),
    async outdatedBy(work) {
      for (const entry of Object.values(entries)) await entry.get()
      expect(look()).toEqual([])
      await work(look)
      return look()
    },
  }
}

/** Ends what a {@link Bench} has opened. */
export const closeBench = async ({ orm, cache, db }: Bench): Promise<void> => {
  await orm.close()
  await cache.close()
  await db.drop()
}

/** The promises that hold for each ORM. */
export function promisesOf(name: string, open: OpenOrm, telling: Telling): void {
  let bench: Bench
  let orm: Orm
  const outdatedBy: Bench['outdatedBy'] = (work) => bench.outdatedBy(work)
  const nuevo = { nombre: 'regleta', tienda: 7, precio: 30 }

  describe(`${name}, and nobody else, tells the cache`, () => {
    beforeEach(async () => {
      bench = await openBench(open)
      orm = bench.orm
    })
    afterEach(() => closeBench(bench))

    test('what was created, updated, moved and removed, by list, by object and by group', async () => {
      const created = await outdatedBy(() => orm.create(nuevo))
      expect(created).toEqual(telling.one ? ['lista', 'tienda 7'] : ofWhole)
      expect(await outdatedBy(() => orm.setPrecio(1, 11))).toEqual(telling.one ? ofOne : ofWhole)
      const moved = await outdatedBy(() => orm.setTienda(1, 8))
      const ofMoved = ['lista', 'producto 1', 'tienda 7', 'tienda 8']
      expect(moved).toEqual(telling.before ? ofMoved : ofWhole)
      expect(await outdatedBy(() => orm.remove(1))).toEqual(
        telling.one ? ['lista', 'producto 1', 'tienda 8'] : ofWhole,
      )
    })

    test('an upsert, whether the row was there or not', async () => {
      const there = await outdatedBy(() => orm.upsert({ ...nuevo, nombre: 'foco', precio: 12 }))
      expect(there).toEqual(telling.upsert ? ofOne : ofWhole)
      expect(await outdatedBy(() => orm.upsert(nuevo))).toEqual(
        expect.arrayContaining(['lista', 'tienda 7']),
      )
    })

    test('what depends on the table, whichever rows, where many were written in one statement', async () => {
      expect(await outdatedBy(() => orm.setAllPrecios(1))).toEqual(ofWhole)
      expect(await outdatedBy(() => orm.removeAllOf(7))).toEqual(ofWhole)
    })

    test('a transaction when it has committed, and not before', async () => {
      const outdated = await outdatedBy((look) =>
        orm.transaction(async (tx) => {
          await tx.setPrecio(1, 11)
          await tx.create(nuevo)
          expect(look()).toEqual([])
        }),
      )
      expect(outdated).toEqual(telling.one ? ofOne : ofWhole)
    })

    test('nothing of a transaction that was rolled back, nor of a statement that failed', async () => {
      const fails = (work: Promise<unknown>): Promise<void> => expect(work).rejects.toThrow()
      expect(
        await outdatedBy(async () => {
          await fails(
            orm.transaction(async (tx) => {
              await tx.setPrecio(1, 11)
              throw new Error('no')
            }),
          )
          await fails(orm.setPrecio(1, -1))
          await fails(orm.create({ ...nuevo, nombre: 'foco' }))
        }),
      ).toEqual([])
    })

    test('of a savepoint that was rolled back nothing, of what was around it everything', async () => {
      const outdated = await outdatedBy(() =>
        orm.transaction(async (tx) => {
          await tx.setPrecio(1, 11)
          const inner = tx.nested(async (savepoint) => {
            await savepoint.setPrecio(2, 21)
            throw new Error('no')
          })
          await expect(inner).rejects.toThrow(/^no$/)
        }),
      )
      expect(outdated).toEqual(telling.one ? ofOne : ofWhole)
      const none = await outdatedBy(() =>
        orm.transaction(async (tx) => {
          const inner = tx.nested(async (savepoint) => {
            await savepoint.setPrecio(2, 21)
            throw new Error('no')
          })
          await expect(inner).rejects.toThrow(/^no$/)
        }),
      )
      expect(none).toEqual([])
    })

    test('of a savepoint that was released, with the transaction around it', async () => {
      const nest = (tx: Orm, look: () => string[]): Promise<void> =>
        tx.nested(async (savepoint) => {
          await savepoint.setPrecio(1, 11)
          expect(look()).toEqual([])
        })
      const kept = await outdatedBy((look) =>
        orm.transaction(async (tx) => {
          await nest(tx, look)
          expect(look()).toEqual([])
        }),
      )
      expect(kept).toEqual(telling.one ? ofOne : ofWhole)
      const undone = await outdatedBy(async (look) => {
        const whole = orm.transaction(async (tx) => {
          await nest(tx, look)
          throw new Error('no')
        })
        await expect(whole).rejects.toThrow(/^no$/)
      })
      expect(undone).toEqual([])
    })

    test('what is written beside a transaction at once, however that one ends', async () => {
      const outdated = await outdatedBy(async (look) => {
        const rolledBack = orm.transaction(async (tx) => {
          await tx.setPrecio(2, 21)
          await orm.setPrecio(1, 11)
          expect(look()).toEqual(telling.one ? ofOne : ofWhole)
          throw new Error('no')
        })
        await expect(rolledBack).rejects.toThrow(/^no$/)
      })
      expect(outdated).toEqual(telling.one ? ofOne : ofWhole)
    })

    test('a load that began before the commit is not kept', async () => {
      const held = gate()
      let reads = 0
      const slow = bench.cache.define(
        'lento',
        async () => {
          const rows = await bench.db.sql('select precio from productos where id = 1')
          if ((reads += 1) === 1) await held.passed
          return rows
        },
        { dependsOn: ['productos'] },
      )
      const before = slow.get()
      await expect.poll(() => reads).toBe(1)
      await orm.setPrecio(1, 11)
      held.open()
      expect((await before).value).toEqual([{ precio: 10 }])
      expect((await slow.get()).value).toEqual([{ precio: 11 }])
    })

    test('a commit of which the server does not say how it ended counts as one', async () => {
      await bench.db.sql(cutsCommits)
      const cut = (): Promise<void> =>
        orm.transaction(async (tx) => void (await tx.setPrecio(1, 11)))
      const outdated = await outdatedBy(() => expect(cut()).rejects.toThrow())
      expect(outdated).toEqual(telling.one ? ofOne : ofWhole)
    })
  })

  describe(`what ${name} does not see`, () => {
    beforeEach(async () => {
      bench = await openBench(open)
      orm = bench.orm
    })
    afterEach(() => closeBench(bench))

    test('is not invalidated without a database that tells', async () => {
      expect(
        await outdatedBy(() => orm.raw('update productos set precio = 13 where id = 1')),
      ).toEqual([])
    })
  })
}
