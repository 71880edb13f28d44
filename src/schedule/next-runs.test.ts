import { describe, expect, test } from 'vitest'
import { nextRuns } from './next-runs.ts'

/** The runs in one line each: local time, offset, UTC, mark. */
const preview = (cron: string, zone: string, from: string, count: number): string[] =>
  nextRuns({ cron, zone, businessHours: null }, new Date(from), count).map(
    (run) => `${run.local} ${run.offset} ${run.utc} ${run.mark ?? '-'}`,
  )
const noteOf = (cron: string, zone: string, from: string): string | null | undefined =>
  nextRuns({ cron, zone, businessHours: null }, new Date(from), 1)[0]?.note

describe('nextRuns', () => {
  test('shows the zone and UTC, and marks the run that the clocks moved', () => {
    expect(preview('30 2 * * *', 'America/New_York', '2026-03-07T00:00:00Z', 3)).toEqual([
      '2026-03-07 02:30:00 -05:00 2026-03-07T07:30:00Z -',
      '2026-03-08 03:00:00 -04:00 2026-03-08T07:00:00Z moved',
      '2026-03-09 02:30:00 -04:00 2026-03-09T06:30:00Z -',
    ])
    expect(noteOf('30 2 * * *', 'America/New_York', '2026-03-08T06:00:00Z')).toBe(
      '02:30 does not occur on 2026-03-08; runs when the clocks jump to 03:00.',
    )
  })

  test('marks the run that stands for several', () => {
    expect(preview('0,30 2,3 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 2)).toEqual([
      '2026-03-29 03:00:00 +02:00 2026-03-29T01:00:00Z merged',
      '2026-03-29 03:30:00 +02:00 2026-03-29T01:30:00Z -',
    ])
    expect(noteOf('0,30 2,3 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z')).toBe(
      '02:00, 02:30 do not occur on 2026-03-29; one run at 03:00 stands for all.',
    )
    expect(noteOf('30 2,3 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z')).toContain('02:30 does')
    expect(noteOf('0-59 2 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z')).toContain(
      'More than 4 times do not occur',
    )
    expect(preview('30 2 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 1)[0]).toContain('moved')
    expect(preview('0,30 2 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 1)[0]).toContain(
      'merged',
    )
  })

  test('a run at the time of the jump that stands for itself alone is not marked', () => {
    expect(preview('0 3 * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 1)).toEqual([
      '2026-03-29 03:00:00 +02:00 2026-03-29T01:00:00Z -',
    ])
  })

  test('marks a fixed time that occurs twice and runs once', () => {
    expect(preview('30 1 * * *', 'America/New_York', '2026-11-01T00:00:00Z', 2)).toEqual([
      '2026-11-01 01:30:00 -04:00 2026-11-01T05:30:00Z once',
      '2026-11-02 01:30:00 -05:00 2026-11-02T06:30:00Z -',
    ])
    expect(preview('30 1 * * *', 'America/New_York', '2026-11-01T05:30:00Z', 1)).toEqual([
      '2026-11-01 01:30:00 -04:00 2026-11-01T05:30:00Z once',
    ])
  })

  test('marks the second pass of an interval job', () => {
    expect(preview('30 * * * *', 'America/New_York', '2026-11-01T05:00:00Z', 3)).toEqual([
      '2026-11-01 01:30:00 -04:00 2026-11-01T05:30:00Z -',
      '2026-11-01 01:30:00 -05:00 2026-11-01T06:30:00Z repeated',
      '2026-11-01 02:30:00 -05:00 2026-11-01T07:30:00Z -',
    ])
  })

  test('writes offsets of half and quarter hours', () => {
    expect(preview('0 0 * * *', 'Asia/Kolkata', '2026-11-22T00:00:00Z', 1)[0]).toContain(' +05:30 ')
    expect(preview('0 0 * * *', 'Pacific/Chatham', '2026-07-01T00:00:00Z', 1)[0]).toContain(
      ' +12:45 ',
    )
    expect(preview('0 0 * * *', 'America/St_Johns', '2026-12-01T00:00:00Z', 1)[0]).toContain(
      ' -03:30 ',
    )
    expect(preview('0 0 * * *', 'UTC', '2026-12-01T00:00:00Z', 1)[0]).toContain(' +00:00 ')
  })

  test('finds rare runs, and gives fewer than asked for when there are no more soon', () => {
    expect(preview('0 0 29 2 *', 'UTC', '2026-11-22T00:00:00Z', 5)).toEqual([
      '2028-02-29 00:00:00 +00:00 2028-02-29T00:00:00Z -',
      '2032-02-29 00:00:00 +00:00 2032-02-29T00:00:00Z -',
      '2036-02-29 00:00:00 +00:00 2036-02-29T00:00:00Z -',
    ])
  })
})
