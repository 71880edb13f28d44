import { createColors } from 'picocolors'
import { describe, expect, test } from 'vitest'
import type { Freshness } from '../../model/freshness.ts'
import { groupName, relationName } from '../../model/ids.ts'
import type { NextRefresh, Status, ViewStatus } from '../../engine/status.ts'
import type { Style } from '../surroundings.ts'
import { fitted, renderStatus, statusBody } from './status.ts'
import { lengthOf } from './table.ts'

const at = new Date('2026-11-22T10:00:00Z')
const style = (width: number, colour = false): Style => ({
  width,
  colours: createColors(colour),
  now: at,
})

const viewOf = (
  name: string,
  change: Partial<Freshness>,
  next: NextRefresh | null,
): ViewStatus => ({
  freshness: {
    view: relationName('public', name),
    group: groupName(name),
    state: 'fresh',
    reason: null,
    stalenessMs: 0,
    localStalenessMs: 0,
    targetMs: 30_000,
    oldestUnreflectedAt: null,
    asOf: new Date(at.getTime() - 3_000),
    confirmedFreshAt: at,
    lastRefreshAt: new Date(at.getTime() - 3_000),
    lastDurationMs: 412,
    rows: 5_807,
    strategy: 'full',
    method: 'diff',
    policy: 'deadline',
    pausedReason: null,
    quarantineReason: null,
    waitingFor: null,
    nextDueAt: null,
    ...change,
  },
  lastRun: {
    id: 7,
    status: 'completed',
    triggerType: 'target',
    triggeredBy: 'deadline',
    startedAt: at,
    durationMs: 412,
    rowsTotal: 5_807,
    rowsChanged: 3,
    message: null,
  },
  next,
})

const late = viewOf(
  'sales',
  { state: 'very_stale', stalenessMs: 45_000, reason: 'waiting: for pid 812 (psql)' },
  { kind: 'target', at: new Date(at.getTime() - 15_000) },
)
const fresh = viewOf('totals', {}, { kind: 'slot', at: new Date(at.getTime() + 5_400_000) })
const lost = viewOf('lost', { state: 'unknown', stalenessMs: null, reason: 'gap: no' }, null)
const statusOf = (...views: readonly ViewStatus[]): Status => ({ at, views })

describe('the status of views', () => {
  test('tells state, staleness against target, age, last run, next and why', () => {
    const [head, first, second] = renderStatus(statusOf(late, fresh), style(Infinity))
    expect(head?.split(/ {2,}/)).toEqual([
      'VIEW',
      'STATE',
      'STALENESS / TARGET',
      'AS OF',
      'LAST RUN',
      'NEXT',
      'WHY',
    ])
    expect(first?.split(/ {2,}/)).toEqual([
      'sales',
      '○ very stale',
      '45s / 30s',
      '████████',
      '3s ago',
      '412ms, 5,807 rows',
      'overdue',
      'waiting: for pid 812 (psql)',
    ])
    expect(second).toContain('in 90m')
  })

  test.each([60, 80, 100, 120, 200])('fits into %i characters and loses no reason', (width) => {
    const lines = renderStatus(statusOf(late, lost, fresh), style(width))
    for (const line of lines) expect(lengthOf(line)).toBeLessThanOrEqual(width)
    expect(lines.join('\n')).toContain('for pid 812')
  })

  test('says the state by a sign and a word where nothing is painted', () => {
    const text = renderStatus(statusOf(late, lost, fresh), style(120)).join('\n')
    for (const word of ['○ very stale', '? unknown', '● fresh']) expect(text).toContain(word)
    expect(text).not.toContain('\u001B')
  })

  test('counts what is not within target', () => {
    expect(renderStatus(statusOf(late, fresh), style(120)).at(-1)).toBe(
      '1 of 2 views not within target.',
    )
    expect(renderStatus(statusOf(fresh), style(120)).at(-1)).toBe('The view is within target.')
  })

  test('says that a view is paused or quarantined, although it is within its target', () => {
    const lines = renderStatus(
      statusOf(
        viewOf('held', { pausedReason: 'month end' }, null),
        viewOf('ill', { quarantineReason: 'failed 5 times' }, null),
      ),
      style(70),
    )
    expect(lines.slice(1, 5).map((line) => line.trim())).toEqual([
      expect.stringContaining('● fresh'),
      'paused: month end',
      expect.stringContaining('● fresh'),
      'quarantined: failed 5 times',
    ])
  })

  test('keeps its foot in a terminal that is not tall enough, and tells how much is left out', () => {
    const lines = [...renderStatus(statusOf(late, fresh, fresh, fresh), style(120)), '', 'q quits']
    expect(fitted(lines, lines.length)).toEqual(lines)
    const shown = fitted(lines, lines.length - 1)
    expect(shown).toHaveLength(lines.length - 1)
    expect(shown.slice(3)).toEqual([
      '… 2 lines more',
      '',
      '1 of 4 views not within target.',
      '',
      'q quits',
    ])
    expect(fitted(lines, 3)).toEqual(lines)
  })

  test('says what to do where no view is declared', () => {
    expect(renderStatus(statusOf(), style(80)).join()).toContain('tidemark apply')
  })

  test('tells programs whether all is within target', () => {
    expect(statusBody(statusOf(fresh))).toMatchObject({ withinTarget: true })
    expect(statusBody(statusOf(fresh, lost))).toMatchObject({ withinTarget: false })
  })
})
