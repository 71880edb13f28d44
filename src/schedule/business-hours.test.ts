import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { firstShown, Temporal, transitionsOf } from '../../test/support/temporal-oracle.ts'
import type { BusinessHours } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import { relationName } from '../model/ids.ts'
import { checkBusinessHours, isOpen, openWindows, targetWindows } from './business-hours.ts'
import type { Window } from './business-hours.ts'
import { dayMs } from './local-clock.ts'

const office: BusinessHours = {
  zone: 'Europe/Berlin',
  days: [1, 2, 3, 4, 5],
  from: '09:00',
  to: '18:00',
  holidays: ['2026-12-25'],
}

const date = (text: string): Date => new Date(text)
const spelled = (hours: BusinessHours, from: string, until: string): string[] =>
  openWindows(hours, date(from), date(until)).map(
    ({ startsAt, endsAt }) => `${startsAt.toISOString()} ${endsAt.toISOString()}`,
  )

describe('openWindows', () => {
  test('gives the hours of each working day, cut to the span asked for', () => {
    // 2026-12-24 is a Thursday; Friday is a holiday.
    expect(spelled(office, '2026-12-24T12:00:00Z', '2026-12-28T10:00:00Z')).toEqual([
      '2026-12-24T12:00:00.000Z 2026-12-24T17:00:00.000Z',
      '2026-12-28T08:00:00.000Z 2026-12-28T10:00:00.000Z',
    ])
  })

  test('a day of 24 hours is open to its last instant, and such days are one span', () => {
    const always = { ...office, days: [1, 2, 3, 4, 5, 6, 7], from: '00:00', to: '24:00' }
    const from = '2026-01-01T00:00:00Z'
    const until = '2026-12-24T00:00:00Z'
    expect(openWindows(always, date(from), date(until))).toEqual([
      { startsAt: date(from), endsAt: date(until) },
    ])
  })

  test('the day on which the clocks jump is shorter, the day on which they go back is longer', () => {
    const sundays = { ...office, days: [7], from: '00:00', to: '24:00' }
    expect(spelled(sundays, '2026-03-28T00:00:00Z', '2026-03-31T00:00:00Z')).toEqual([
      '2026-03-28T23:00:00.000Z 2026-03-29T22:00:00.000Z',
    ])
    expect(spelled(sundays, '2026-10-24T00:00:00Z', '2026-10-27T00:00:00Z')).toEqual([
      '2026-10-24T22:00:00.000Z 2026-10-25T23:00:00.000Z',
    ])
  })

  test('a span over midnight belongs to the day on which it begins', () => {
    const nights = { ...office, days: [5], from: '22:00', to: '06:00', holidays: ['2026-11-21'] }
    expect(spelled(nights, '2026-11-16T00:00:00Z', '2026-11-23T00:00:00Z')).toEqual([
      '2026-11-20T21:00:00.000Z 2026-11-21T05:00:00.000Z',
    ])
    expect(isOpen(nights, date('2026-11-21T04:59:59Z'))).toBe(true)
    expect(isOpen(nights, date('2026-11-21T05:00:00Z'))).toBe(false)
    expect(isOpen({ ...nights, holidays: ['2026-11-20'] }, date('2026-11-21T01:00:00Z'))).toBe(
      false,
    )
  })

  test('hours that the clocks jump over open at the jump; those jumped over whole do not open', () => {
    const early = { ...office, days: [7], from: '02:30', to: '04:00' }
    expect(spelled(early, '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z')).toEqual([
      '2026-03-29T01:00:00.000Z 2026-03-29T02:00:00.000Z',
    ])
    const within = { ...early, from: '02:10', to: '02:50' }
    expect(spelled(within, '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z')).toEqual([])
  })

  test('hours that occur twice open and close the first time', () => {
    const early = { ...office, days: [7], from: '02:10', to: '02:50' }
    expect(spelled(early, '2026-10-25T00:00:00Z', '2026-10-26T00:00:00Z')).toEqual([
      '2026-10-25T00:10:00.000Z 2026-10-25T00:50:00.000Z',
    ])
  })

  test('a span without length has none', () => {
    expect(spelled(office, '2026-11-23T10:00:00Z', '2026-11-23T10:00:00Z')).toEqual([])
    expect(spelled(office, '2026-11-23T12:00:00Z', '2026-11-23T10:00:00Z')).toEqual([])
  })
})

/** What Temporal says of the open windows of a span, looking at each local day. */
function oracle(hours: BusinessHours, from: Date, until: Date): Window[] {
  const spans: { startsAt: number; endsAt: number }[] = []
  const [first, last] = [from.toISOString().slice(0, 10), until.toISOString().slice(0, 10)]
  const end = Temporal.PlainDate.from(last).add({ days: 2 })
  let day = Temporal.PlainDate.from(first).subtract({ days: 3 })
  for (; Temporal.PlainDate.compare(day, end) < 0; day = day.add({ days: 1 })) {
    if (!hours.days.includes(day.dayOfWeek) || hours.holidays.includes(day.toString())) continue
    const ends = hours.to <= hours.from || hours.to === '24:00' ? day.add({ days: 1 }) : day
    const to = hours.to === '24:00' ? '00:00' : hours.to
    const startsAt = firstShown(hours.zone, day.toPlainDateTime(hours.from))
    const endsAt = firstShown(hours.zone, ends.toPlainDateTime(to))
    const before = spans.at(-1)
    if (before?.endsAt === startsAt) before.endsAt = endsAt
    else if (startsAt < endsAt) spans.push({ startsAt, endsAt })
  }
  return spans
    .filter((span) => span.endsAt > from.getTime() && span.startsAt < until.getTime())
    .map(({ startsAt, endsAt }) => ({
      startsAt: new Date(Math.max(startsAt, from.getTime())),
      endsAt: new Date(Math.min(endsAt, until.getTime())),
    }))
}

const zones = [
  'America/New_York',
  'Europe/London',
  'America/Santiago',
  'America/Scoresbysund',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Asia/Kolkata',
  'Asia/Beirut',
  'Africa/Cairo',
  'Antarctica/Troll',
]

test.each(zones)('the windows of 2026 and 2027 are those of Temporal in %s', (zone) => {
  const from = date('2026-01-01T00:00:00Z')
  const until = date('2028-01-01T00:00:00Z')
  const hours = { ...office, zone, days: [1, 2, 4, 6, 7] }
  expect(openWindows(hours, from, until)).toEqual(oracle(hours, from, until))
  const awkward = [
    ['00:00', '24:00'],
    ['02:15', '02:45'],
    ['01:30', '02:10'],
    ['22:00', '06:00'],
    ['23:30', '00:30'],
    ['00:30', '00:15'],
  ] as const
  for (const change of transitionsOf(zone, from.getTime(), until.getTime())) {
    const [before, after] = [new Date(change - 3 * dayMs), new Date(change + 3 * dayMs)]
    for (const [opens, closes] of awkward) {
      const open = { ...hours, from: opens, to: closes }
      expect(openWindows(open, before, after)).toEqual(oracle(open, before, after))
    }
  }
})

describe('laws', () => {
  const hours = fc.record({
    zone: fc.constantFrom(...zones),
    days: fc.subarray([1, 2, 3, 4, 5, 6, 7], { minLength: 1 }),
    from: fc.constantFrom('00:00', '01:30', '09:00', '22:00'),
    to: fc.constantFrom('02:30', '06:00', '18:00', '24:00'),
    holidays: fc.subarray(['2026-03-29', '2026-10-25', '2027-01-01']),
  })
  const start = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2028, 0) })
  const length = fc.integer({ min: 0, max: 20 * dayMs })

  test('windows are in order, apart from one another, and within the span asked for', () => {
    fc.assert(
      fc.property(hours, start, length, (open, from, span) => {
        let last = from - 1
        for (const window of openWindows(open, new Date(from), new Date(from + span))) {
          expect(window.startsAt.getTime()).toBeGreaterThan(last)
          expect(window.endsAt.getTime()).toBeGreaterThan(window.startsAt.getTime())
          last = window.endsAt.getTime()
        }
        expect(last).toBeLessThanOrEqual(from + span)
      }),
    )
  })

  test('it is open exactly within the windows, also at their edges', () => {
    fc.assert(
      fc.property(hours, start, length, (open, from, span) => {
        for (const { startsAt, endsAt } of openWindows(
          open,
          new Date(from),
          new Date(from + span),
        )) {
          const [first, after] = [startsAt.getTime(), endsAt.getTime()]
          expect(isOpen(open, new Date(first))).toBe(true)
          expect(isOpen(open, new Date(after - 1))).toBe(true)
          if (first > from) expect(isOpen(open, new Date(first - 1))).toBe(false)
          if (after < from + span) expect(isOpen(open, new Date(after))).toBe(false)
        }
      }),
    )
  })
})

describe('checkBusinessHours', () => {
  test.each([
    [{ days: [] }, 'no day'],
    [{ days: [0] }, '0 is not a day'],
    [{ days: [1.5] }, '1.5 is not a day'],
    [{ from: '9:00' }, "'9:00' is not a time"],
    [{ from: '09:60' }, "'09:60' is not a time"],
    [{ to: '24:01' }, "'24:01' is not a time"],
    [{ from: '24:00' }, "begin at '24:00'"],
    [{ from: '09:00', to: '09:00' }, 'begin and end'],
    [{ holidays: ['2026-02-30'] }, "'2026-02-30' is not a date"],
    [{ holidays: ['26-02-03'] }, "'26-02-03' is not a date"],
  ])('refuses %j', (wrong, message) => {
    const check = (): void => checkBusinessHours({ ...office, ...wrong })
    expect(check).toThrow(TidemarkError)
    expect(check).toThrow('TIDEMARK_CONFIG_INVALID')
    expect(check).toThrow(message)
  })

  test('refuses a zone that nobody knows', () => {
    expect(() => checkBusinessHours({ ...office, zone: 'Europe/Atlantis' })).toThrow(
      'TIDEMARK_ZONE_UNKNOWN',
    )
  })
})

describe('targetWindows', () => {
  const name = relationName('public', 'sales')

  test('gives the target of the business hours of each day, whole wherever the span begins', () => {
    const declared = {
      name,
      targetMs: 3_600_000,
      businessTarget: { hours: office, targetMs: 60_000 },
    }
    const rows = targetWindows(declared, date('2026-11-23T10:00:00Z'), date('2026-11-24T09:00:00Z'))
    expect(rows).toEqual([
      {
        view: name,
        startsAt: date('2026-11-23T08:00:00Z'),
        endsAt: date('2026-11-23T17:00:00Z'),
        targetMs: 60_000,
      },
      {
        view: name,
        startsAt: date('2026-11-24T08:00:00Z'),
        endsAt: date('2026-11-24T17:00:00Z'),
        targetMs: 60_000,
      },
    ])
  })

  test('a view with one target has none', () => {
    const declared = { name, targetMs: 60_000, businessTarget: null }
    expect(
      targetWindows(declared, date('2026-11-23T10:00:00Z'), date('2027-01-01T00:00:00Z')),
    ).toEqual([])
  })
})
