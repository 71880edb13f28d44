import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CommitLedger } from './commit-ledger.ts'

describe('the ledger of commits', () => {
  test('finds the first commit after an instant to any of the tables', () => {
    const ledger = new CommitLedger()
    ledger.note(['orders', 'order_lines'], 10)
    ledger.note(['payments'], 20)
    ledger.note(['orders'], 30)
    expect(ledger.firstAfter(9, ['order_lines'])).toBe(10)
    expect(ledger.firstAfter(10, ['order_lines'])).toBe(null)
    expect(ledger.firstAfter(10, ['orders', 'payments'])).toBe(20)
    expect(ledger.firstAfter(30, ['orders', 'payments'])).toBe(null)
    expect(ledger.firstAfter(0, ['products'])).toBe(null)
  })

  test('law: it agrees with a look at every commit', () => {
    const instants = fc
      .array(fc.integer({ min: 0, max: 50 }))
      .map((all) => all.sort((a, b) => a - b))
    fc.assert(
      fc.property(instants, fc.integer({ min: -1, max: 51 }), (all, instant) => {
        const ledger = new CommitLedger()
        for (const at of all) ledger.note(['orders'], at)
        expect(ledger.firstAfter(instant, ['orders'])).toBe(all.find((at) => at > instant) ?? null)
      }),
    )
  })

  test('tells the rate of writes over the last five seconds', () => {
    const ledger = new CommitLedger()
    for (let at = 0; at < 20_000; at += 50) {
      ledger.record({ kind: 'order', id: at, xid: String(at), sources: ['orders'], at })
    }
    expect(ledger.rate(19_950)).toBe(20)
    expect(ledger.rate(40_000)).toBe(0)
    expect(ledger.writes).toHaveLength(400)
  })
})
