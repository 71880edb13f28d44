import { pause } from '../../base/clock.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import { worstFirst } from '../../engine/demo-support.ts'
import type { DemoStage } from './demo-stage.ts'
import { readWhy, renderWhy } from './read-why.ts'
import type { Payment } from './shop-writer.ts'

/** A method of payment that nobody else uses, so that the view shows these payments alone. */
const keyMethod = 'voucher'
const arriveWithinMs = 60_000
const lookEveryMs = 10

/**
 * Pays an order and waits until the payment is seen in the view, by reading the view and nothing
 * else; tells how long that took from the commit.
 */
export async function payAndSee(stage: DemoStage, signal: AbortSignal): Promise<void> {
  const { database, writer } = stage.parts
  const before = await vouchersSeen(database)
  const payment = await writer.payNewest(keyMethod)
  stage.tell(`order ${payment.orderId} paid with a voucher: ${payment.amount}, committed`)
  const latencyMs = await arrival(stage, payment, before, signal)
  if (signal.aborted) return
  stage.tell(
    latencyMs === null
      ? `the payment of order ${payment.orderId} is not in the view after a minute: press w`
      : `payments_by_month shows the ${payment.amount} of order ${payment.orderId}, ${latencyMs} ms after the commit`,
  )
}

/** Tells why the view that is furthest from its target is as stale as it is. */
export async function askWhy(stage: DemoStage): Promise<void> {
  const [worst] = [...stage.parts.watch.freshness].sort(worstFirst)
  if (worst === undefined) return
  stage.answer(renderWhy(await readWhy(stage.parts.database, worst), new Date()))
}

async function arrival(
  stage: DemoStage,
  payment: Payment,
  before: number,
  signal: AbortSignal,
): Promise<number | null> {
  for (;;) {
    const now = Date.now()
    if (signal.aborted || now > payment.at + arriveWithinMs) return null
    if ((await vouchersSeen(stage.parts.database)) > before) return Date.now() - payment.at
    await pause(lookEveryMs, signal)
  }
}

async function vouchersSeen(database: Queryable): Promise<number> {
  const [row] = await database.query<{ payments: number }>(
    'select coalesce(sum(payments), 0)::bigint as payments from payments_by_month where method = $1',
    [keyMethod],
  )
  return row?.payments ?? 0
}
