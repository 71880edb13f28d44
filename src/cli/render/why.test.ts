import { createColors } from 'picocolors'
import { describe, expect, test } from 'vitest'
import type { Freshness } from '../../model/freshness.ts'
import { groupName, relationName } from '../../model/ids.ts'
import type { EndedRun, WhyFacts } from '../../engine/why.ts'
import type { Style } from '../surroundings.ts'
import { lengthOf } from './table.ts'
import { renderWhy, sentence } from './why.ts'

const now = new Date('2026-11-22T10:00:00Z')
const before = (seconds: number): Date => new Date(now.getTime() - seconds * 1_000)
const style: Style = { width: 110, colours: createColors(false), now }

const stale: Freshness = {
  view: relationName('public', 'sales'),
  group: groupName('public.sales'),
  state: 'stale',
  reason: 'behind: a commit is not reflected yet',
  stalenessMs: 45_000,
  localStalenessMs: 45_000,
  targetMs: 30_000,
  oldestUnreflectedAt: before(45),
  asOf: before(60),
  confirmedFreshAt: before(45),
  lastRefreshAt: before(60),
  lastDurationMs: 400,
  rows: 3,
  strategy: 'full',
  method: 'diff',
  policy: 'deadline',
  pausedReason: null,
  quarantineReason: null,
  waitingFor: null,
  nextDueAt: null,
}

const last: EndedRun = {
  id: 41,
  status: 'completed',
  triggerType: 'target',
  triggeredBy: 'deadline',
  oldestCommitAt: before(90),
  requestedAt: before(62),
  startedAt: before(60.5),
  finishedAt: before(60),
  durationMs: 500,
  rowsTotal: 3,
  rowsInserted: 1,
  rowsUpdated: 2,
  rowsDeleted: 0,
  changes: null,
  method: 'diff',
  differing: 0,
  groupsChecked: null,
  waitedFor: null,
  worker: 'up 12 worker 1',
  message: null,
}

const factsOf = (freshness: Partial<Freshness>, change: Partial<WhyFacts> = {}): WhyFacts => ({
  now,
  view: { freshness: { ...stale, ...freshness }, lastRun: null, next: null },
  behind: [
    { source: relationName('public', 'orders'), via: '', commits: 12, oldestAt: before(45) },
  ],
  pending: null,
  running: null,
  inputs: [],
  last,
  failures: 0,
  notBefore: null,
  usualMs: 500,
  choice: null,
  timeDependent: false,
  lastLookAt: before(0.2),
  asleep: false,
  ...change,
})

const pending = {
  due: before(3),
  requestedAt: before(3),
  deadline: null,
  triggerType: 'target',
  triggeredBy: 'deadline',
  requests: 1,
  attempt: 0,
}
const running = {
  requestedAt: before(20),
  claimedAt: before(19),
  triggerType: 'target',
  triggeredBy: 'deadline',
  worker: 'up 12 worker 1',
  pid: 99,
  atWork: true,
  waitsFor: null,
}

describe('the cause', () => {
  const causes: readonly (readonly [string, WhyFacts, string])[] = [
    ['a lock', factsOf({}, { running: { ...running, waitsFor: 'pid 812 (psql)' } }), 'its refresh waits for pid 812 (psql)'],
    ['a refresh that runs', factsOf({}, { running }), 'its refresh runs, since 19 s ago'],
    ['a worker that died', factsOf({}, { running: { ...running, atWork: false } }), 'its worker has died'],
    ['a pause', factsOf({ pausedReason: 'audit' }), 'it is paused: audit'],
    ['a quarantine', factsOf({ quarantineReason: 'failed 5 times' }), 'it was set aside: failed 5 times'],
    ['a view that it reads', factsOf({}, { pending, inputs: ['public.base'] }), 'waits for public.base, which it reads'],
    ['a back-off', factsOf({}, { pending, failures: 2, notBefore: before(-8) }), '2 attempts failed, the next one comes in 8 s'],
    ['a batch window', factsOf({}, { pending: { ...pending, due: before(-4) } }), 'its refresh is due in 4 s'],
    ['no worker', factsOf({}, { pending }), 'its refresh waits for a worker'],
    ['no engine', factsOf({}, { pending, lastLookAt: before(70) }), "for 1 min 10 s: start 'tidemark up'"],
    ['no engine, ever', factsOf({}, { lastLookAt: null }), "yet: start 'tidemark up'"],
    ['the next look', factsOf({}), 'its refresh is asked for at the next look'],
  ] // prettier-ignore

  test.each(causes)('%s is named', (_, facts, text) => {
    expect(sentence(facts)).toContain('45 s behind, 15 s beyond its target')
    expect(sentence(facts)).toContain(text)
  })

  test('of a view within its target is its policy', () => {
    const facts = factsOf({ state: 'fresh', stalenessMs: 5_000, oldestUnreflectedAt: before(5) })
    expect(sentence(facts)).toBe('5 s behind, of 30 s that it may be.')
    expect(renderWhy(facts, style).join('\n')).toContain(
      'as late as the target allows (policy deadline)',
    )
  })

  test('of an unknown view is the reason, without its code', () => {
    const facts = factsOf({ state: 'unknown', stalenessMs: null, reason: 'gap: bypassed: a test' })
    expect(sentence(facts)).toBe('bypassed: a test.')
  })
})

describe('the chain', () => {
  test('of the last run has every link with its time', () => {
    const lines = renderWhy(
      factsOf({ state: 'fresh', stalenessMs: 0, oldestUnreflectedAt: null }, { behind: [] }),
      style,
    )
    expect(lines).toEqual([
      'sales is ● fresh: it reflects every commit to its sources.',
      '',
      'Last run, 41: completed',
      '  commit    2026-11-22 09:58:30Z, the oldest that it was for',
      '  captured  in the same transaction',
      '  queued    28 s later (target, deadline)',
      '  waited    1.5 s',
      '  ran       500 ms: +1 ~2 −0, 3 rows in all, compared with its query: equal (up 12 worker 1)',
      '  visible   2026-11-22 09:59:00Z, 1 min ago, 30 s after the commit',
    ])
  })

  test('of what is not reflected goes from the commit to the deadline', () => {
    const text = renderWhy(
      factsOf({}, { running: { ...running, waitsFor: 'pid 812 (psql)' } }),
      style,
    )
    expect(text.slice(2, 8)).toEqual([
      'Now',
      '  commit    2026-11-22 09:59:15Z, 45 s ago: the oldest to orders',
      '  captured  commits that are not reflected: 12 of orders',
      '  queued    asked for 20 s ago (target, deadline)',
      '  waits     its refresh waits for pid 812 (psql)',
      '  deadline  passed 15 s ago (target 30 s)',
    ])
  })

  test('ends with how the view is chosen to be refreshed, and the numbers', () => {
    const choice = {
      fullFrom: 24_667,
      sourceRows: 200_000,
      fixedMs: 4,
      changeMs: 0.0135,
      fullMs: 337,
    }
    const text = renderWhy(
      factsOf({}, { choice, last: { ...last, changes: 30_000, differing: null, worker: null } }),
      style,
    )
    expect(
      renderWhy(factsOf({}, { last: { ...last, groupsChecked: 4, worker: null } }), style),
    ).toContain(
      '  ran       500 ms: +1 ~2 −0, 3 rows in all, 4 groups compared with its query: equal',
    )
    expect(text).toContain('  ran       500 ms: 30,000 changes, in full, +1 ~2 −0, 3 rows in all')
    expect(text.slice(-2)).toEqual([
      'How',
      '  in full   from 24,667 changes on: 4 ms and 14 µs a change, against 337 ms in full',
    ])
  })

  test.each([60, 80, 120])('fits into %i characters', (width) => {
    const facts = factsOf({}, { running: { ...running, waitsFor: 'pid 812 (psql), '.repeat(12) } })
    for (const line of renderWhy(facts, { ...style, width })) {
      expect(lengthOf(line)).toBeLessThanOrEqual(width)
    }
  })
})
