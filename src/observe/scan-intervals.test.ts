import { describe, expect, it } from 'vitest'
import { upcomingSlots } from '../engine/scan.ts'
import { gapsOf, readCronSchedule, zoneOf } from './scan-intervals.ts'

const minute = 60_000
const hour = 60 * minute
const at = { now: new Date('2026-11-22T10:03:00Z'), slotsOf: upcomingSlots }

describe('a schedule of pg_cron', () => {
  it('is a cron expression or a number of seconds', () => {
    expect(readCronSchedule('*/5  * * * *')).toEqual({ kind: 'cron', cron: '*/5 * * * *' })
    expect(readCronSchedule('0 12 $ * *')).toEqual({ kind: 'cron', cron: '0 12 L * *' })
    expect(readCronSchedule('30 seconds')).toEqual({ kind: 'seconds', everyMs: 30_000 })
  })

  it('runs in UTC unless the server names another zone', () => {
    expect([null, 'GMT', 'America/Mexico_City'].map(zoneOf)).toEqual([
      'UTC',
      'UTC',
      'America/Mexico_City',
    ])
  })
})

describe('the time between refreshes', () => {
  it('is even for an even schedule', () => {
    expect(gapsOf(['*/5 * * * *'], 'UTC', at)).toEqual({
      shortestMs: 5 * minute,
      longestMs: 5 * minute,
      meanAgeMs: 2.5 * minute,
    })
    expect(gapsOf(['30 seconds', '0 * * * *'], 'UTC', at)?.longestMs).toBe(30_000)
  })

  it('is that of all schedules taken together', () => {
    const gaps = gapsOf(['0 * * * *', '*/15 9-18 * * 1-5'], 'UTC', at)
    expect(gaps).toMatchObject({ shortestMs: 15 * minute, longestMs: hour })
    expect(gaps?.meanAgeMs).toBeGreaterThan(7.5 * minute)
    expect(gaps?.meanAgeMs).toBeLessThan(30 * minute)
  })

  it('is found also where a schedule is rare', () => {
    expect(gapsOf(['0 6 1 * *'], 'UTC', at)?.longestMs).toBe(31 * 24 * hour)
  })

  it('is unknown for what cannot be read', () => {
    expect(gapsOf(['@reboot'], 'UTC', at)).toBeNull()
    expect(gapsOf([], 'UTC', at)).toBeNull()
  })
})
