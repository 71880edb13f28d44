import { Cron } from 'croner'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fixedSlots, intervalSlots, transitionsOf } from '../../test/support/temporal-oracle.ts'
import { TidemarkError } from '../model/errors.ts'
import { isOpen } from './business-hours.ts'
import { checkCron, slotsBetween } from './cron-slots.ts'
import { dayMs, offsetAt } from './local-clock.ts'

const long = process.env['TIDEMARK_LONG'] === '1'
const yearsFrom = Date.parse('2026-01-01T00:00:00Z')
const yearsUntil = Date.parse('2028-01-01T00:00:00Z')

const zones = [
  'America/New_York',
  'Europe/Berlin',
  'Europe/Dublin',
  'America/Santiago',
  'America/St_Johns',
  'America/Scoresbysund',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Pacific/Apia',
  'Asia/Kolkata',
  'Asia/Beirut',
  'Africa/Cairo',
  'Africa/Casablanca',
  'Antarctica/Troll',
]

const slots = (cron: string, zone: string, from: number, until: number): number[] =>
  slotsBetween(
    { cron, zone, businessHours: null },
    new Date(from),
    new Date(until),
    Number.POSITIVE_INFINITY,
  ).map((slot) => slot.getTime())

/** The first place where two lists differ, in words; comparing long lists whole is slow to print. */
function difference(actual: readonly number[], expected: readonly number[]): string | null {
  const spell = (at: number | undefined): string =>
    at === undefined ? 'nothing' : new Date(at).toISOString()
  for (let i = 0; i < Math.max(actual.length, expected.length); i += 1) {
    if (actual[i] !== expected[i]) return `${spell(actual[i])} instead of ${spell(expected[i])}`
  }
  return null
}

describe('against every minute of 2026 and 2027', () => {
  const fixed = [
    '30 2 * * *',
    '0 0 * * *',
    '15 1,2,23 * * *',
    '59 23 * * 6',
    '30 1 1,15 * 0',
    '7 30 2 * * *',
  ]
  const denseFixed = ['0,20,40 0-3 * * *', '0,7 5,30,55 0-3,23 * * *', '0 0-23 * * *']
  const sparse = ['0 * * * *', '*/30 1-3 * * *', '0 */6 * * 0', '45 * 1-7 3,4,9-11 *']

  test.each(zones)('fixed jobs run once for each local time in %s', (zone) => {
    for (const cron of fixed) {
      const expected = fixedSlots(cron, { zone, from: yearsFrom, until: yearsUntil })
      const actual = slots(cron, zone, yearsFrom, yearsUntil)
      expect([cron, difference(actual, expected)]).toEqual([cron, null])
    }
  })

  test.each(zones)(
    'fixed jobs with many times a day are right around each change in %s',
    (zone) => {
      for (const change of transitionsOf(zone, yearsFrom, yearsUntil)) {
        const span = { zone, from: change - dayMs, until: change + dayMs }
        for (const cron of denseFixed) {
          const expected = fixedSlots(cron, span)
          const actual = slots(cron, zone, span.from, span.until)
          expect([cron, difference(actual, expected)]).toEqual([cron, null])
        }
      }
    },
  )

  test.each(zones)('interval jobs follow real time in %s', (zone) => {
    const all = long ? [...sparse, '*/5 * * * *', '* * * * *'] : sparse
    for (const cron of all) {
      const span = { zone, from: yearsFrom, until: yearsUntil }
      const expected = intervalSlots(cron, span, 60_000)
      const actual = slots(cron, zone, yearsFrom, yearsUntil)
      expect([cron, difference(actual, expected)]).toEqual([cron, null])
    }
  })

  test.each(zones)('dense interval jobs follow real time around each change in %s', (zone) => {
    for (const change of transitionsOf(zone, yearsFrom, yearsUntil)) {
      const span = { zone, from: change - dayMs, until: change + dayMs }
      for (const [cron, stepMs] of [
        ['* * * * *', 60_000],
        ['*/7 * * * *', 60_000],
        ['*/20 30 0-3 * * *', 1_000],
        ['* 59,0 * * * *', 1_000],
      ] as const) {
        const expected = intervalSlots(cron, span, stepMs)
        expect([cron, difference(slots(cron, zone, span.from, span.until), expected)]).toEqual([
          cron,
          null,
        ])
      }
    }
  })

  test('the zones chosen do change their clocks', () => {
    const changes = zones.map((zone) => transitionsOf(zone, yearsFrom, yearsUntil).length)
    expect(changes.filter((count) => count >= 4).length).toBeGreaterThanOrEqual(12)
  })
})

describe.runIf(long)('every zone of the database', () => {
  test.each(Intl.supportedValuesOf('timeZone'))('%s', { timeout: 60_000 }, (zone) => {
    const span = { zone, from: yearsFrom, until: yearsUntil }
    for (const cron of ['30 2 * * *', '0,30 0-3,23 * * *']) {
      const expected = fixedSlots(cron, span)
      expect(difference(slots(cron, zone, yearsFrom, yearsUntil), expected)).toBeNull()
    }
    const expected = intervalSlots('*/15 * * * *', span, 60_000)
    expect(difference(slots('*/15 * * * *', zone, yearsFrom, yearsUntil), expected)).toBeNull()
  })
})

describe('examples worked out by hand', () => {
  test.each([
    ['New York, 02:30 is jumped over', '30 2 * * *', 'America/New_York', '2026-03-08T07:00:00Z'],
    ['Berlin, 02:30 is jumped over', '30 2 * * *', 'Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['Berlin, 02:30 comes twice', '30 2 * * *', 'Europe/Berlin', '2026-10-25T00:30:00Z'],
    ['New York, 01:30 comes twice', '30 1 * * *', 'America/New_York', '2026-11-01T05:30:00Z'],
    ['Lord Howe jumps half an hour', '15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
    ['Cairo has no midnight', '0 0 * * *', 'Africa/Cairo', '2026-04-23T22:00:00Z'],
    [
      'Scoresbysund jumps into Sunday',
      '30 23 * * 6',
      'America/Scoresbysund',
      '2026-03-29T01:00:00Z',
    ],
    ['Troll jumps two hours', '30 1 * * *', 'Antarctica/Troll', '2026-03-29T01:00:00Z'],
  ])('%s', (_, cron, zone, instant) => {
    const at = Date.parse(instant)
    expect(slots(cron, zone, at - 12 * 3_600_000, at + 12 * 3_600_000)).toEqual([at])
  })

  test('an hourly job skips the hour jumped over and runs in both passes of the hour repeated', () => {
    const zone = 'America/New_York'
    const around = (at: string): string[] =>
      slots('0 * * * *', zone, Date.parse(at) - 3_600_000, Date.parse(at) + 3_600_001).map((slot) =>
        new Date(slot).toISOString().slice(11, 16),
      )
    expect(around('2026-03-08T07:00:00Z')).toEqual(['06:00', '07:00', '08:00'])
    expect(around('2026-11-01T06:00:00Z')).toEqual(['05:00', '06:00', '07:00'])
  })

  test('several fixed times that are jumped over run as one', () => {
    const at = Date.parse('2026-03-29T01:00:00Z')
    expect(slots('0,15,30 2,3 * * *', 'Europe/Berlin', at - 1000, at + 1000)).toEqual([at])
  })
})

/** Each change of the clocks in each zone, with each expression. */
function changesWith(
  crons: readonly string[],
): { readonly zone: string; readonly change: number; readonly cron: string }[] {
  return zones.flatMap((zone) =>
    transitionsOf(zone, yearsFrom, yearsUntil).flatMap((change) =>
      crons.map((cron) => ({ zone, change, cron })),
    ),
  )
}

test('agrees with the rule of croner itself, but for jumps into the next day', () => {
  const crons = ['30 2 * * *', '0 0 * * *', '*/20 1-3 * * *', '5,35 0-4 * * *']
  for (const { zone, change, cron } of changesWith(crons)) {
    if (zone === 'America/Scoresbysund') continue
    const options = { paused: true, timezone: zone, fixedTimeRule: 'no-wildcard' } as const
    const calculator = new Cron(cron, options)
    const expected: number[] = []
    let at = calculator.nextRun(new Date(change - dayMs - 1))
    while (at !== null && at.getTime() < change + dayMs) {
      expected.push(at.getTime())
      at = calculator.nextRun(at)
    }
    const actual = slots(cron, zone, change - dayMs, change + dayMs)
    expect([zone, cron, difference(actual, expected)]).toEqual([zone, cron, null])
  }
})

describe('laws', () => {
  const cron = fc
    .tuple(
      fc.constantFrom('*', '*/7', '*/15', '0', '30', '0,30', '10-20', '59'),
      fc.constantFrom('*', '*/3', '0', '1', '2', '1-3', '0,23', '9-17'),
      fc.constantFrom('*', '1', '15-31', '*/10'),
      fc.constantFrom('*', '3,4', '10,11', '*/2'),
      fc.constantFrom('*', '0', '1-5', '7'),
    )
    .map((fields) => fields.join(' '))
  const zone = fc.constantFrom(...zones)
  const start = fc.integer({ min: yearsFrom, max: yearsUntil })
  const length = fc.integer({ min: 0, max: 20 * dayMs })
  const hours = fc
    .record({
      zone,
      days: fc.subarray([1, 2, 3, 4, 5, 6, 7], { minLength: 1 }),
      from: fc.constantFrom('00:00', '01:30', '09:00', '22:00'),
      to: fc.constantFrom('02:30', '06:00', '18:00', '24:00'),
    })
    .map((calendar) => ({ ...calendar, holidays: ['2026-03-29', '2026-11-01'] }))
  const runs = { numRuns: long ? 5_000 : 100 }

  test('slots are strictly increasing and lie in the span asked for', () => {
    fc.assert(
      fc.property(cron, zone, start, length, (pattern, name, from, span) => {
        const found = slots(pattern, name, from, from + span)
        found.forEach((slot, i) => {
          expect(slot).toBeGreaterThan(found[i - 1] ?? from - 1)
        })
        expect(found.at(-1) ?? from - 1).toBeLessThan(from + span)
      }),
      runs,
    )
  })

  test('splitting a span gives the same slots', () => {
    const cut = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(fc.tuple(cron, zone), start, length, cut, ([pattern, name], from, span, part) => {
        const middle = from + Math.floor(span * part)
        const halves = [
          ...slots(pattern, name, from, middle),
          ...slots(pattern, name, middle, from + span),
        ]
        expect(difference(halves, slots(pattern, name, from, from + span))).toBeNull()
      }),
      runs,
    )
  })

  test('splitting at the very change of the clocks, or a millisecond beside it, gives the same slots', () => {
    for (const { zone: name, change, cron: pattern } of changesWith([
      '30 2 * * *',
      '0,30 0-3 * * *',
      '*/15 * * * *',
    ])) {
      const whole = slots(pattern, name, change - dayMs, change + dayMs)
      for (const cut of [change - 1, change, change + 1, change + 1_800_000]) {
        const halves = [
          ...slots(pattern, name, change - dayMs, cut),
          ...slots(pattern, name, cut, change + dayMs),
        ]
        expect(difference(halves, whole)).toBeNull()
      }
    }
  })

  test('every slot matches its fields on the clocks of the zone, away from a change of them', () => {
    fc.assert(
      fc.property(cron, zone, start, length, (pattern, name, from, span) => {
        const changes = transitionsOf(name, from - dayMs, from + span + dayMs)
        const utc = new Cron(pattern, { paused: true, utcOffset: 0 })
        for (const slot of slots(pattern, name, from, from + span)) {
          if (changes.some((change) => Math.abs(change - slot) < 3 * 3_600_000)) continue
          expect(utc.match(new Date(slot + offsetAt(name, slot)))).toBe(true)
        }
      }),
      { numRuns: long ? 1_000 : 60 },
    )
  })

  test('business hours keep exactly the slots at which it is open', () => {
    fc.assert(
      fc.property(fc.tuple(cron, zone), start, length, hours, ([pattern, name], at, span, open) => {
        const [from, until] = [new Date(at), new Date(at + span)]
        const all = slotsBetween(
          { cron: pattern, zone: name, businessHours: null },
          from,
          until,
          300,
        )
        const end = all.length < 300 ? until : new Date((all.at(-1)?.getTime() ?? 0) + 1)
        const kept = slotsBetween(
          { cron: pattern, zone: name, businessHours: open },
          from,
          end,
          300,
        )
        expect(kept).toEqual(all.filter((slot) => isOpen(open, slot)))
      }),
      { numRuns: long ? 2_000 : 100 },
    )
  })

  test('a limit gives the beginning of the list', () => {
    fc.assert(
      fc.property(cron, zone, start, fc.nat(50), (pattern, name, from, limit) => {
        const due = { cron: pattern, zone: name, businessHours: null }
        const [first, last] = [new Date(from), new Date(from + 5 * dayMs)]
        const all = slotsBetween(due, first, last, Number.POSITIVE_INFINITY)
        expect(slotsBetween(due, first, last, limit)).toEqual(all.slice(0, limit))
      }),
      { numRuns: 60 },
    )
  })
})

describe('checkCron', () => {
  const now = new Date('2026-11-22T10:00:00Z')
  const office = {
    zone: 'Europe/Berlin',
    days: [1, 2, 3, 4, 5],
    from: '09:00',
    to: '18:00',
    holidays: [],
  }
  const check = (
    cron: string,
    zone = 'Europe/Berlin',
    businessHours: typeof office | null = null,
  ) => checkCron({ cron, zone, businessHours }, now).map((slot) => slot.toISOString())
  const codeOf = (ask: () => unknown): string => {
    try {
      ask()
    } catch (error) {
      if (error instanceof TidemarkError) return error.code
      throw error
    }
    return 'none'
  }

  test('gives the next three slots', () => {
    expect(check('0 3 * * *')).toEqual([
      '2026-11-23T02:00:00.000Z',
      '2026-11-24T02:00:00.000Z',
      '2026-11-25T02:00:00.000Z',
    ])
    expect(check('*/10 * * * * *').at(0)).toBe('2026-11-22T10:00:00.000Z')
    expect(check('@daily').at(0)).toBe('2026-11-22T23:00:00.000Z')
    expect(check('0 0 29 2 *').at(0)).toBe('2028-02-28T23:00:00.000Z')
  })

  test.each([
    '',
    ' ',
    'x',
    '* * * *',
    '* * * * * * *',
    '60 * * * *',
    '0 24 * * *',
    '5/5 * * * *',
    '0 0 * * 1-0',
    '0 0 1 */13 *',
    'H H * * *',
    '@reboot',
    '@every 5m',
    '2026-01-01T00:00:00',
    '0 0 31 2 *',
    '0 0 30 2 *',
    '0 0 31 4,6 *',
    '0 0 31W 2 *',
    '0 0 30 2 1#5',
    `${'0,'.repeat(500)}0 * * * *`,
  ])('refuses %j', (cron) => {
    expect(codeOf(() => check(cron))).toBe('TIDEMARK_CRON_INVALID')
  })

  test('refuses an expression whose every slot is outside the business hours', () => {
    expect(codeOf(() => check('0 3 * * *', 'Europe/Berlin', office))).toBe('TIDEMARK_CRON_INVALID')
    expect(codeOf(() => check('* * 3 * * *', 'Europe/Berlin', office))).toBe(
      'TIDEMARK_CRON_INVALID',
    )
  })

  test.each([
    ['Mars/Phobos', 'IANA'],
    ['', 'IANA'],
    ['Berlin', "Did you mean 'Europe/Berlin'?"],
    ['new york', "Did you mean 'America/New_York'?"],
    ['Europe/Berlni', "Did you mean 'Europe/Berlin'?"],
  ])('refuses the zone %j and says what may be meant', (zone, mend) => {
    expect(codeOf(() => check('0 3 * * *', zone))).toBe('TIDEMARK_ZONE_UNKNOWN')
    expect(() => check('0 3 * * *', zone)).toThrow(mend)
  })
})
