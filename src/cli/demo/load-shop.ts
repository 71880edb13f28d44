import { must } from '../../base/assert.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import type { Shop } from './found-shop.ts'

/** How a load goes. */
export interface LoadOptions {
  /** Orders in one transaction. */
  readonly batch: number
  readonly onProgress: (progress: LoadProgress) => void
}

/** How far a load is, after a batch was committed. */
export interface LoadProgress {
  readonly lines: number
  readonly orders: number
}

/**
 * Loads the orders that are missing, one committed batch of whole orders after another, until all are
 * there or the signal fires. Goes on where an earlier load ended; the result is the same.
 */
export async function loadShop(
  database: Queryable,
  shop: Shop,
  options: LoadOptions,
  signal: AbortSignal,
): Promise<void> {
  let orders = shop.ordersLoaded
  while (orders < shop.ordersTotal) {
    if (signal.aborted) return
    const progress = await loadBatch(database, options.batch)
    orders = progress.orders
    options.onProgress(progress)
  }
}

/** Loads one batch: its orders with their lines, payments and refunds, in one transaction. */
export async function loadBatch(database: Queryable, orders: number): Promise<LoadProgress> {
  const [row] = await database.query<LoadProgress>(
    `select orders_loaded as orders, lines_loaded as lines from shop_generator.load($1)`,
    [orders],
  )
  return must(row, 'load returns how far it is')
}
