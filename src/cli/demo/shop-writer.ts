import { must } from '../../base/assert.ts'
import { pause } from '../../base/clock.ts'
import type { Clock } from '../../base/clock.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import type { CommitLedger, Write } from './commit-ledger.ts'
import type { Shop } from './found-shop.ts'
import { diceOf } from '../../base/dice.ts'

/** What a writer works with. */
export interface ShopWriterOptions {
  readonly database: Queryable
  readonly ledger: CommitLedger
  readonly shop: Shop
  /** Transactions a second; 0 writes nothing by itself. */
  readonly rate: number
  readonly clock: Clock
  /** Told what failed; the writer goes on. */
  readonly onFailure: (error: unknown) => void
}

/** A payment that was committed. */
export interface Payment {
  readonly orderId: number
  readonly amount: string
  readonly method: string
  /** When the commit was acknowledged, in milliseconds. */
  readonly at: number
}

const inFlightMax = 4
const lagMsMax = 1_000
const remembered = 2_000
const channels = ['web', 'app', 'marketplace', 'phone'] as const
const methods = ['card', 'card', 'card', 'wallet', 'wallet', 'paypal', 'transfer'] as const
const reasons = ['damaged', 'late', 'wrong item', 'changed mind', 'better price'] as const

/**
 * The living shop: customers order and pay, parcels leave, money goes back, at a steady rate. Every
 * action is one transaction; every one that was acknowledged is in the ledger.
 */
export class ShopWriter {
  readonly #options: ShopWriterOptions
  readonly #random: () => number
  #unpaid: number[] = []
  readonly #paid: number[] = []
  readonly #payments: number[] = []
  #failed = 0

  constructor(options: ShopWriterOptions) {
    this.#options = options
    this.#random = diceOf(options.shop.seed + options.clock().getTime())
  }

  /** Transactions that failed. */
  get failed(): number {
    return this.#failed
  }

  /** Writes until the signal fires; ends when all that was begun has been answered. */
  async run(signal: AbortSignal): Promise<void> {
    const { rate, clock } = this.#options
    if (rate === 0) return
    await this.#findUnpaid()
    const inFlight = new Set<Promise<void>>()
    let due = clock().getTime()
    for (;;) {
      if (signal.aborted) break
      // Who was held up for long does not make up for it in a burst.
      due = Math.max(due + 1000 / rate, clock().getTime() - lagMsMax)
      await pause(Math.max(0, due - clock().getTime()), signal)
      if (inFlight.size >= inFlightMax) await Promise.race(inFlight)
      const action = this.#act().finally(() => inFlight.delete(action))
      inFlight.add(action)
    }
    await Promise.all(inFlight)
  }

  /** Pays the newest order that is not paid; places one first if there is none. */
  async payNewest(method: string): Promise<Payment> {
    if (this.#unpaid.length === 0) await this.#placeOrder()
    const orderId = must(this.#unpaid.pop(), 'an order that was placed is not paid')
    return must(await this.#pay(orderId, method), 'an order in the list is not paid')
  }

  async #findUnpaid(): Promise<void> {
    const rows = await this.#options.database.query<{ order_id: number }>(
      `select order_id from orders where status = 'placed' order by order_id desc limit ${remembered}`,
    )
    this.#unpaid = rows.map((row) => row.order_id).reverse()
  }

  async #act(): Promise<void> {
    const chance = this.#random()
    try {
      if (chance < 0.06 && (await this.#refund())) return
      if (chance < 0.16 && (await this.#ship())) return
      if (chance < 0.56 && this.#unpaid.length > 20) {
        const orderId = must(this.#unpaid.splice(this.#below(20), 1)[0], 'there are more than 20')
        await this.#pay(orderId, this.#oneOf(methods))
        return
      }
      await this.#placeOrder()
    } catch (error) {
      this.#failed += 1
      this.#options.onFailure(error)
    }
  }

  async #placeOrder(): Promise<void> {
    const { shop } = this.#options
    const lines = 1 + this.#below(1 + this.#below(4))
    const products = Array.from({ length: lines }, () => 1 + this.#below(shop.products))
    const quantities = products.map(() => 1 + this.#below(1 + this.#below(3)))
    const customer = 1 + this.#below(shop.customers)
    const [placed] = await this.#options.database.query<{ id: number; xid: string }>(orderPlace, [
      customer,
      this.#oneOf(channels),
      products,
      quantities,
    ])
    const { id, xid } = must(placed, 'an order that was placed has a number')
    this.#record({ kind: 'order', id, xid, sources: ['orders', 'order_lines'] })
    remember(this.#unpaid, id)
  }

  /** Null when somebody else has paid it. */
  async #pay(orderId: number, method: string): Promise<Payment | null> {
    const [paid] = await this.#options.database.query<{ id: number; amount: string; xid: string }>(
      orderPay,
      [orderId, method],
    )
    if (paid === undefined) return null
    const { id, amount, xid } = paid
    const at = this.#record({ kind: 'payment', id, xid, sources: ['orders', 'payments'] })
    remember(this.#paid, orderId)
    remember(this.#payments, id)
    return { orderId, amount, method, at }
  }

  /** False when there was nothing to refund. */
  async #refund(): Promise<boolean> {
    const payment = this.#payments.splice(this.#below(this.#payments.length), 1)[0]
    if (payment === undefined) return false
    const share = this.#random() < 0.4 ? 1 : 0.1 + 0.7 * this.#random()
    const [refunded] = await this.#options.database.query<{ id: number; xid: string }>(
      paymentRefund,
      [payment, share.toFixed(3), this.#oneOf(reasons)],
    )
    if (refunded === undefined) return false
    this.#record({ kind: 'refund', ...refunded, sources: ['refunds'] })
    return true
  }

  /** False when there was nothing to ship. */
  async #ship(): Promise<boolean> {
    const orderId = this.#paid.shift()
    if (orderId === undefined) return false
    const [shipped] = await this.#options.database.query<{ id: number; xid: string }>(orderShip, [
      orderId,
    ])
    if (shipped === undefined) return false
    this.#record({ kind: 'status', ...shipped, sources: ['orders'] })
    return true
  }

  #record(write: Omit<Write, 'at'>): number {
    const at = this.#options.clock().getTime()
    this.#options.ledger.record({ ...write, at })
    return at
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound)
  }

  #oneOf<Item>(items: readonly Item[]): Item {
    return must(items[this.#below(items.length)], 'a list of choices is not empty')
  }
}

function remember(list: number[], id: number): void {
  list.push(id)
  if (list.length > remembered) list.shift()
}

const orderPlace = `
  with line as (
    select line_no, product_id, quantity, price
    from unnest($3::bigint[], $4::int[]) with ordinality as wanted (product_id, quantity, line_no)
    join products using (product_id)
  ), placed as (
    insert into orders (customer_id, channel, total)
    select $1, $2, sum(quantity * price) from line
    returning order_id
  ), written as (
    insert into order_lines (order_id, line_no, product_id, quantity, unit_price)
    select order_id, line_no, product_id, quantity, price from placed cross join line
  )
  select order_id as id, pg_current_xact_id()::text as xid from placed`

const orderPay = `
  with marked as (
    update orders set status = 'paid' where order_id = $1 and status = 'placed'
    returning order_id, total
  ), paid as (
    insert into payments (order_id, method, amount)
    select order_id, $2, total from marked
    returning payment_id, amount
  )
  select payment_id as id, amount, pg_current_xact_id()::text as xid from paid`

const paymentRefund = `
  insert into refunds (payment_id, amount, reason)
  select payment_id, greatest(0.01, round(amount * $2::numeric, 2)), $3
  from payments where payment_id = $1
  returning refund_id as id, pg_current_xact_id()::text as xid`

const orderShip = `
  update orders set status = 'shipped' where order_id = $1 and status = 'paid'
  returning order_id as id, pg_current_xact_id()::text as xid`
