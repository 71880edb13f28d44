import { describe, expect, test } from 'vitest'
import type { Freshness } from '../../model/freshness.ts'
import { groupName, relationName } from '../../model/ids.ts'
import { renderWhy } from './read-why.ts'
import type { LastRun } from './read-why.ts'

const now = new Date('2026-11-22T12:00:30Z')
const secondsAgo = (seconds: number): Date => new Date(now.getTime() - seconds * 1000)

const freshness = (over: Partial<Freshness> = {}): Freshness => ({
  view: relationName('public', 'sales_by_day'),
  group: groupName('public.sales_by_day'),
  state: 'fresh',
  reason: null,
  stalenessMs: 12_400,
  localStalenessMs: 12_400,
  targetMs: 30_000,
  oldestUnreflectedAt: secondsAgo(12.4),
  asOf: secondsAgo(13),
  confirmedFreshAt: secondsAgo(12.4),
  lastRefreshAt: secondsAgo(12),
  lastDurationMs: 812,
  rows: 5_840,
  strategy: 'full',
  method: 'diff',
  policy: 'deadline',
  pausedReason: null,
  quarantineReason: null,
  waitingFor: null,
  nextDueAt: null,
  ...over,
})

const last: LastRun = {
  run_id: 123,
  status: 'completed',
  trigger_type: 'target',
  triggered_by: 'deadline',
  requested_at: secondsAgo(13.1),
  started_at: secondsAgo(13),
  duration_ms: 812,
  rows_inserted: 3,
  rows_updated: 12,
  rows_deleted: 0,
  differing: 0,
}

describe('why', () => {
  test('tells the chain from the commit to the last run', () => {
    const behind = [
      { source: 'public.orders', commits: 230 },
      { source: 'public.customers', commits: 0 },
    ]
    expect(renderWhy({ freshness: freshness(), behind, request: null, last }, now)).toEqual([
      'Why is sales_by_day ● fresh, 12s behind, target 30s?',
      '  commit    the oldest that is not reflected came 12s ago',
      '  captured  commits that are not reflected: 230 to orders',
      '  queued    not yet: policy deadline refreshes as late as the target allows',
      '  ran       run 123 (deadline) completed 13s ago, waited 100ms, took 812ms: +3 ~12 −0 rows, compared: equal',
    ])
  })

  test('names whom a refresh waits for, and what it waits in', () => {
    const request = {
      status: 'running',
      requested_at: secondsAgo(2),
      triggered_by: 'deadline',
    } as const
    const facts = {
      freshness: freshness({
        state: 'very_stale',
        waitingFor: 'pid 4711, holds AccessExclusiveLock',
      }),
      behind: [],
      request,
      last: null,
    }
    const lines = renderWhy(facts, now)
    expect(lines).toContain('  queued    asked 2s ago (deadline), running now')
    expect(lines).toContain('  waits     for pid 4711, holds AccessExclusiveLock')
    expect(lines).toContain('  ran       never')
  })

  test('a view whose state is unknown is told with the reason', () => {
    const unknown = freshness({
      state: 'unknown',
      stalenessMs: null,
      oldestUnreflectedAt: null,
      reason: 'gap: bypassed',
    })
    const [head] = renderWhy({ freshness: unknown, behind: [], request: null, last: null }, now)
    expect(head).toBe('Why is sales_by_day ? unknown, gap: bypassed?')
  })
})
