import { describe, expect, test } from 'vitest'
import { slotsBetween } from './cron-slots.ts'
import type { SlotRule } from './cron-slots.ts'
import { dayMs } from './local-clock.ts'
import {
  coverageOf,
  horizonMsMax,
  scheduleDigest,
  slotChange,
  slotsAheadMax,
  slotsBehindMax,
} from './slot-ledger.ts'
import type { SlotChange, StoredSlots } from './slot-ledger.ts'

const now = new Date('2026-11-22T10:00:30Z')
const later = (days: number): Date => new Date(now.getTime() + days * dayMs)
const rule = (cron: string): SlotRule => ({ cron, zone: 'Europe/Berlin', businessHours: null })
const nothing: StoredSlots = { digest: null, latest: null, ahead: 0 }

/** What the ledger holds after a change was written. */
function after(due: SlotRule, change: SlotChange, at: Date): StoredSlots {
  return {
    digest: scheduleDigest(due),
    latest: change.insert.at(-1) ?? null,
    ahead: change.insert.filter((slot) => slot > at).length,
  }
}

describe('slotChange', () => {
  test('writes the slots of 35 days, and the first one after them', () => {
    const due = rule('0 3 * * *')
    const change = slotChange(due, nothing, now)
    expect(change.replace).toBe(false)
    expect(change.insert).toHaveLength(36)
    expect(change.insert).toEqual(slotsBetween(due, now, later(36), 100))
    expect(change.horizonMs).toBe(horizonMsMax)
    expect(change.coverage).toEqual({
      state: 'covered',
      slotsUntil: change.insert.at(-1),
      warning: null,
    })
  })

  test('has nothing to do when all is there, and adds what a day brings', () => {
    const due = rule('0 3 * * *')
    const stored = after(due, slotChange(due, nothing, now), now)
    expect(slotChange(due, stored, now).insert).toEqual([])
    const added = slotChange(due, stored, later(1)).insert
    expect(added).toEqual(slotsBetween(due, later(36), later(37), 10))
    expect(added).toHaveLength(1)
  })

  test('a yearly schedule has its next slot in the ledger, however far it is', () => {
    const change = slotChange(rule('0 0 1 7 *'), nothing, now)
    expect(change.insert).toEqual([new Date('2027-06-30T22:00:00Z')])
    expect(change.coverage.state).toBe('covered')
  })

  test.each(['* * * * * *', '* * 1-5 * * *', '* * * * *'])(
    'never writes more than is allowed of %s',
    (cron) => {
      const due = rule(cron)
      const first = slotChange(due, nothing, now)
      expect(first.insert.length).toBeLessThanOrEqual(slotsAheadMax)
      expect(first.coverage.state).toBe('covered')
      const stored = after(due, first, now)
      const second = slotChange(due, stored, new Date(now.getTime() + 3_600_000))
      expect(stored.ahead + second.insert.length).toBeLessThanOrEqual(slotsAheadMax + 1)
      const ends = first.insert.at(-1)?.getTime() ?? 0
      expect(first.horizonMs).toBe(Math.min(ends - now.getTime(), horizonMsMax))
      expect(first.horizonMs < horizonMsMax).toBe(cron !== '* * * * *')
    },
  )

  test('goes on where a dense ledger ends, without a hole and without a slot twice', () => {
    const due = rule('*/10 * * * * *')
    const first = slotChange(due, nothing, now)
    const inTwoDays = later(2)
    const ahead = first.insert.filter((slot) => slot > inTwoDays)
    const stored = { ...after(due, first, now), ahead: ahead.length }
    const second = slotChange(due, stored, inTwoDays)
    expect(second.insert).toHaveLength(slotsAheadMax - ahead.length)
    const step = (second.insert[0]?.getTime() ?? 0) - (first.insert.at(-1)?.getTime() ?? 0)
    expect(step).toBe(10_000)
  })

  test('replaces what is ahead when the declaration changed, from now on', () => {
    const due = rule('0 3 * * *')
    const stored = after(due, slotChange(due, nothing, now), now)
    const changed = slotChange(rule('0 4 * * *'), stored, later(2))
    expect(changed.replace).toBe(true)
    expect(changed.insert).toEqual(slotsBetween(rule('0 4 * * *'), later(2), later(38), 100))
  })

  test('records the slots of the last week that nobody computed, so that they get an outcome', () => {
    const due = rule('0 3 * * *')
    const stored = { digest: scheduleDigest(due), latest: later(-40), ahead: 0 }
    const { insert, replace } = slotChange(due, stored, now)
    expect(replace).toBe(false)
    expect(insert.filter((slot) => slot < now)).toEqual(slotsBetween(due, later(-7), now, 100))
    expect(insert).toHaveLength(7 + 36)
    const known = slotsBetween(due, later(-4), now, 1)
    const short = { digest: scheduleDigest(due), latest: known[0] ?? null, ahead: 0 }
    expect(slotChange(due, short, now).insert[0]).toEqual(slotsBetween(due, later(-3), now, 1)[0])
    const dense = rule('* * * * * *')
    const lost = { digest: scheduleDigest(dense), latest: later(-3), ahead: 0 }
    expect(slotChange(dense, lost, now).insert).toHaveLength(slotsBehindMax + slotsAheadMax)
  })
})

describe('scheduleDigest', () => {
  const hours = {
    zone: 'Europe/Berlin',
    days: [1, 2],
    from: '09:00',
    to: '18:00',
    holidays: ['2026-12-25', '2026-12-26'],
  }

  test('spaces and the order of days are no change', () => {
    const due = { ...rule('0 3 * * *'), businessHours: hours }
    const same = {
      ...rule(' 0  3 * * * '),
      businessHours: { ...hours, days: [2, 1], holidays: [...hours.holidays].reverse() },
    }
    expect(scheduleDigest(same)).toBe(scheduleDigest(due))
  })

  test('everything that moves a slot is a change', () => {
    const due = { ...rule('0 3 * * *'), businessHours: hours }
    const others: SlotRule[] = [
      { ...due, cron: '0 4 * * *' },
      { ...due, zone: 'Europe/Paris' },
      { ...due, businessHours: null },
      { ...due, businessHours: { ...hours, zone: 'Europe/Paris' } },
      { ...due, businessHours: { ...hours, days: [1] } },
      { ...due, businessHours: { ...hours, from: '09:01' } },
      { ...due, businessHours: { ...hours, to: '18:01' } },
      { ...due, businessHours: { ...hours, holidays: [] } },
    ]
    expect(new Set([due, ...others].map(scheduleDigest)).size).toBe(9)
  })
})

describe('coverageOf', () => {
  test.each([
    [null, 0, 'exhausted'],
    [-1, 0, 'exhausted'],
    [0, 0, 'exhausted'],
    [0.5, 3, 'short'],
    [6.9, 100, 'short'],
    [7, 100, 'covered'],
    [35, 100, 'covered'],
    // One slot a second: ten hours are all that fits.
    [0.4, 40_000, 'covered'],
    [0.1, 9_000, 'short'],
  ] as const)('a ledger that ends in %j days with %d slots is %j … %s', (days, ahead, state) => {
    const coverage = coverageOf({ latest: days === null ? null : later(days), ahead }, now)
    expect(coverage.state).toBe(state)
    expect(coverage.warning === null).toBe(state === 'covered')
  })
})
