import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestDatabase } from '../../../test/support/database.ts'
import type { TestDatabase } from '../../../test/support/database.ts'
import { systemClock } from '../../base/clock.ts'
import { loadConfiguration } from '../../engine/demo-support.ts'
import type { Configuration } from '../../model/declaration.ts'
import { relationName } from '../../model/ids.ts'
import { CommitLedger } from './commit-ledger.ts'
import { countDiffering } from './count-differing.ts'
import { countLost } from './count-lost.ts'
import type { ShopView } from './demo-stage.ts'
import { foundShop, readShop, shopFolder } from './found-shop.ts'
import type { Shop } from './found-shop.ts'
import { loadBatch, loadShop } from './load-shop.ts'
import { shopView } from './prepare-stage.ts'
import { ShopWriter } from './shop-writer.ts'
import { Twins } from './twins.ts'

const tables = ['customers', 'products', 'orders', 'order_lines', 'payments', 'refunds'] as const
const never = new AbortController().signal

let shopDatabase: TestDatabase

beforeEach(async () => {
  shopDatabase = await createTestDatabase()
})

afterEach(async () => {
  await shopDatabase.drop()
})

async function loaded(lines: number, batch: number): Promise<Shop> {
  const { database } = shopDatabase
  const shop = await foundShop(database, { lines, seed: 7 })
  await loadShop(database, shop, { batch, onProgress: () => undefined }, never)
  return shop
}

async function digests(): Promise<readonly string[]> {
  const found: string[] = []
  for (const table of tables) {
    const [row] = await shopDatabase.sql<{ digest: string }>(
      `select md5(string_agg(row::text, '|' order by row::text)) as digest from ${table} as row`,
    )
    found.push(`${table} ${row?.digest ?? ''}`)
  }
  return found
}

const viewsOf = (configuration: Configuration | undefined): readonly ShopView[] =>
  (configuration?.views ?? []).map(shopView)

async function countOf(query: string): Promise<number> {
  const [row] = await shopDatabase.sql<{ count: number }>(`select count(*) ${query}`)
  return row?.count ?? -1
}

describe('the load', () => {
  test('a seed gives the same shop whatever the size of the batches', async () => {
    await loaded(3_000, 100)
    const one = await digests()
    await shopDatabase.drop()
    shopDatabase = await createTestDatabase()
    await loaded(3_000, 777)
    expect(await digests()).toEqual(one)
  })

  test('goes on where it was cut off, and gives exactly the lines that were asked for', async () => {
    const { database } = shopDatabase
    await foundShop(database, { lines: 5_001, seed: null })
    await loadBatch(database, 300)
    const shop = await foundShop(database, { lines: null, seed: null })
    expect(shop.ordersLoaded).toBe(300)
    const seen: number[] = []
    const load = { batch: 500, onProgress: ({ lines }: { lines: number }) => seen.push(lines) }
    await loadShop(database, shop, load, never)
    expect(seen.at(-1)).toBe(5_001)
    expect([...seen].sort((one, other) => one - other)).toEqual(seen)
    expect(await countOf('from order_lines')).toBe(5_001)
    expect((await readShop(database)).linesLoaded).toBe(5_001)
  })

  test('makes a shop that adds up', async () => {
    await loaded(6_000, 1_000)
    expect(
      await countOf(`from orders where total <>
        (select sum(quantity * unit_price) from order_lines where order_lines.order_id = orders.order_id)`),
    ).toBe(0)
    expect(
      await countOf(`from orders where status in ('paid', 'shipped', 'delivered') and total <>
        (select sum(amount) from payments where payments.order_id = orders.order_id)`),
    ).toBe(0)
    expect(
      await countOf(`from payments join orders using (order_id) where status = 'placed'`),
    ).toBe(0)
    expect(
      await countOf(
        'from refunds join payments using (payment_id) where refunds.amount > payments.amount',
      ),
    ).toBe(0)
    expect(
      await countOf(`from orders join customers using (customer_id) where ordered_at < joined_on`),
    ).toBe(0)
    expect(await countOf('from (select distinct region from customers) as region')).toBe(8)
    expect(await countOf('from (select distinct category from products) as category')).toBe(12)
    expect(await countOf('from refunds')).toBeGreaterThan(0)
  })

  test('a shop of another size or seed than asked for is refused with the mend', async () => {
    await loaded(3_000, 5_000)
    const { database } = shopDatabase
    await expect(foundShop(database, { lines: 4_000, seed: null })).rejects.toThrow(
      /TIDEMARK_USAGE.*--reset/,
    )
    await expect(foundShop(database, { lines: null, seed: 8 })).rejects.toThrow(/seed 7.*--reset/)
    expect((await foundShop(database, { lines: 3_000, seed: 7 })).linesTotal).toBe(3_000)
  })
})

describe('the views', () => {
  test('both configurations declare the same five, each with a key that is unique', async () => {
    await loaded(3_000, 5_000)
    const [shop, hurried] = await Promise.all(
      ['tidemark.config.ts', 'hurried.config.ts'].map((file) =>
        loadConfiguration(shopFolder, file),
      ),
    )
    const twins = new Twins(viewsOf(shop).map((view) => ({ ...view, sources: [] })))
    await twins.create(shopDatabase.database)
    expect(viewsOf(hurried)).toEqual(viewsOf(shop))
    expect(await countOf(`from pg_matviews where schemaname = 'old_way'`)).toBe(5)
    expect(await countOf('from old_way.top_products')).toBeGreaterThan(100)
    expect(
      hurried?.views.every(({ targetMs, verify }) => targetMs <= 5_000 && verify === 'full'),
    ).toBe(true)
  })
})

describe('the writers', () => {
  async function written(writes: number): Promise<CommitLedger> {
    const shop = await loaded(3_000, 5_000)
    const ledger = new CommitLedger()
    const end = new AbortController()
    const failures: unknown[] = []
    const writer = new ShopWriter({
      database: shopDatabase.database,
      ledger: stoppingAfter(ledger, writes, end),
      shop,
      rate: 1_000,
      clock: systemClock,
      onFailure: (error) => failures.push(error),
    })
    await writer.run(end.signal)
    expect(failures).toEqual([])
    return ledger
  }

  function stoppingAfter(ledger: CommitLedger, writes: number, end: AbortController): CommitLedger {
    const record = ledger.record.bind(ledger)
    ledger.record = (write) => {
      record(write)
      if (ledger.writes.length >= writes) end.abort()
    }
    return ledger
  }

  test('every write that was acknowledged is found, and one that is taken away is missed', async () => {
    const ledger = await written(200)
    const { database, sql } = shopDatabase
    expect(new Set(ledger.writes.map(({ kind }) => kind)).size).toBe(4)
    expect(await countLost(database, ledger.writes, { inViews: false })).toBe(0)
    const refund = ledger.writes.find(({ kind }) => kind === 'refund')
    await sql('delete from refunds where refund_id = $1', [refund?.id])
    expect(await countLost(database, ledger.writes, { inViews: false })).toBe(1)
  })

  test('orders of the writers add up as those of the load do', async () => {
    await written(100)
    expect(
      await countOf(`from orders where total <>
        (select sum(quantity * unit_price) from order_lines where order_lines.order_id = orders.order_id)`),
    ).toBe(0)
  })

  test('a payment by key is of the newest order and is one row', async () => {
    const shop = await loaded(3_000, 5_000)
    const ledger = new CommitLedger()
    const { database } = shopDatabase
    const writer = new ShopWriter({
      database,
      ledger,
      shop,
      rate: 0,
      clock: systemClock,
      onFailure: () => undefined,
    })
    const payment = await writer.payNewest('voucher')
    expect(await countOf(`from payments where method = 'voucher'`)).toBe(1)
    expect(await countOf(`from payments where order_id = ${payment.orderId}`)).toBe(1)
    expect(ledger.writes.map(({ kind }) => kind)).toEqual(['order', 'payment'])
  })
})

describe('the twins', () => {
  const declaration = {
    name: relationName('public', 'payments_by_method'),
    sql: 'select method, count(*) as payments from payments group by method',
    key: ['method'],
    sources: ['payments'],
  }

  test('a twin is as old as the first commit that it does not show, and new when there is none', async () => {
    await loaded(3_000, 5_000)
    const twins = new Twins([declaration])
    const ledger = new CommitLedger()
    await twins.create(shopDatabase.database)
    await twins.create(shopDatabase.database)
    expect(twins.lineOf(declaration.name, ledger, 0).ageMs).toBe(null)
    const end = new AbortController()
    const running = twins.run(await shopDatabase.session(), 60_000, end.signal)
    await expect.poll(() => twins.lineOf(declaration.name, ledger, Date.now()).ageMs).toBe(0)
    const now = Date.now() + 1
    ledger.note(['orders'], now)
    expect(twins.lineOf(declaration.name, ledger, now + 500).ageMs).toBe(0)
    ledger.note(['payments'], now + 100)
    expect(twins.lineOf(declaration.name, ledger, now + 500).ageMs).toBe(400)
    expect(twins.lineOf(declaration.name, ledger, now).spentMs).toBeGreaterThan(0)
    end.abort()
    await running
  })

  test('differing rows are counted on both sides, duplicates as often as they occur', async () => {
    await shopDatabase.sql(`create view pairs as select * from (values (1), (2), (2)) as v (n)`)
    const name = relationName('public', 'pairs')
    const { database } = shopDatabase
    expect(
      await countDiffering(database, {
        name,
        sql: 'select * from (values (2), (1), (2)) as v (n)',
      }),
    ).toBe(0)
    expect(
      await countDiffering(database, {
        name,
        sql: 'select * from (values (1), (2), (3)) as v (n)',
      }),
    ).toBe(2)
  })
})
