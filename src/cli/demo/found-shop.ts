import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { must } from '../../base/assert.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { Database, Queryable } from '../../engine/demo-support.ts'

/** The folder of the shop: its tables, its generator and its configurations. */
export const shopFolder: string = fileURLToPath(new URL('../../../examples/shop/', import.meta.url))

/** Which shop is asked for; null: the one that is there, else the default. */
export interface ShopWish {
  readonly lines: number | null
  readonly seed: number | null
}

/** A shop and how far it is filled. */
export interface Shop {
  readonly seed: number
  readonly linesTotal: number
  readonly ordersTotal: number
  readonly customers: number
  readonly products: number
  readonly linesLoaded: number
  readonly ordersLoaded: number
}

const linesDefault = 1_000_000
const seedDefault = 1

/**
 * Makes the tables, customers and products of the shop, all or nothing; or finds the shop that is
 * there. Orders are loaded apart. Throws `TIDEMARK_USAGE` when the shop that is there is another one
 * than was asked for.
 */
export async function foundShop(database: Database, wish: ShopWish): Promise<Shop> {
  const [there] = await database.query<{ founded: boolean }>(
    `select to_regclass('shop_generator.setting') is not null as founded`,
  )
  if (there?.founded !== true) await found(database, wish)
  const shop = await readShop(database)
  refuseOther(shop, wish)
  return shop
}

/** The shop as it is recorded. */
export async function readShop(database: Queryable): Promise<Shop> {
  const [row] = await database.query<Shop>(`
    select seed, setting.lines as "linesTotal", setting.orders as "ordersTotal", customers, products,
      progress.lines as "linesLoaded", progress.orders as "ordersLoaded"
    from shop_generator.setting, shop_generator.progress`)
  return must(row, 'a shop that was founded has a setting')
}

async function found(database: Database, wish: ShopWish): Promise<void> {
  const [schema, generator] = await Promise.all(
    ['schema.sql', 'generator.sql'].map((file) => readFile(shopFolder + file, 'utf8')),
  )
  await database.transaction(async (transaction) => {
    await transaction.query(must(schema, 'schema.sql is shipped'))
    await transaction.query(must(generator, 'generator.sql is shipped'))
    await transaction.query(
      `call shop_generator.found($1, $2, (now() at time zone 'UTC')::date - 1)`,
      [wish.seed ?? seedDefault, wish.lines ?? linesDefault],
    )
    await transaction.query('analyze customers, products')
  })
}

function refuseOther(shop: Shop, wish: ShopWish): void {
  const linesDiffer = wish.lines !== null && wish.lines !== shop.linesTotal
  const seedDiffers = wish.seed !== null && wish.seed !== shop.seed
  if (!linesDiffer && !seedDiffers) return
  throw new TidemarkError({
    code: 'TIDEMARK_USAGE',
    what: `The shop that is there has ${shop.linesTotal} order lines from seed ${shop.seed}`,
    mend: 'Leave out --rows and --seed to go on with it, or add --reset to begin anew.',
  })
}
