import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { groupName, relationName } from '../model/ids.ts'
import type { ViewCost } from './feasibility.ts'
import { feasibilityOf } from './feasibility.ts'

const cost = (name: string, change: Partial<ViewCost> = {}): ViewCost => ({
  view: relationName('public', name),
  group: groupName(`public.${name}`),
  targetMs: 60_000,
  expectedMs: 1_000,
  policy: 'deadline',
  budgetSecondsPerHour: null,
  ...change,
})

const judged = (
  change: Partial<ViewCost>,
): { feasible: boolean | null; advice: string } | undefined =>
  feasibilityOf([cost('sales', change)], 1).views[0]

describe('one view', () => {
  test('a refresh much shorter than the target holds it', () => {
    expect(judged({})).toMatchObject({
      feasible: true,
      advice: 'A refresh takes 1 s; at most one every 59 s holds 1 min.',
    })
  })

  test('a refresh longer than the target cannot hold it', () => {
    expect(judged({ expectedMs: 60_000 })).toMatchObject({
      feasible: false,
      advice:
        'A refresh takes 1 min, longer than the target of 1 min: allow 2 min or more, or make the query faster.',
    })
  })

  test('a commit just after the snapshot waits for two refreshes', () => {
    expect(judged({ expectedMs: 30_000 })?.feasible).toBe(true)
    expect(judged({ expectedMs: 30_001 })?.feasible).toBe(false)
    expect(judged({ expectedMs: 40_000 })?.advice).toContain('1 min 20 s in all')
  })

  test('an unmeasured refresh is not judged', () => {
    expect(judged({ expectedMs: null })?.feasible).toBeNull()
  })

  test('a budget that is too small for steady writes is told with the one that is needed', () => {
    const budget = { policy: 'budget', expectedMs: 10_000 } as const
    expect(judged({ ...budget, budgetSecondsPerHour: 720 })?.feasible).toBe(true)
    expect(judged({ ...budget, budgetSecondsPerHour: 719 })).toMatchObject({
      feasible: false,
      advice:
        'Steady writes need 720 s an hour and the budget is 719 s an hour: raise one of both.',
    })
  })

  test('views of one group cost what all of them cost', () => {
    const group = groupName('sales')
    const { views, load } = feasibilityOf(
      [
        cost('a', { group, expectedMs: 20_000 }),
        cost('b', { group, expectedMs: 20_000, targetMs: 3_600_000 }),
      ],
      2,
    )
    expect(views.map(({ feasible }) => feasible)).toEqual([false, true])
    expect(views[0]?.advice).toContain('Group sales takes 40 s')
    expect(load.busy).toBe(1)
    const unknown = [cost('a', { group }), cost('b', { group, expectedMs: null })]
    expect(feasibilityOf(unknown, 1).views[0]?.feasible).toBeNull()
  })
})

describe('all together', () => {
  test('two views that each hold their target need two workers when each fills most of one', () => {
    const views = [cost('a', { expectedMs: 27_000 }), cost('b', { expectedMs: 27_000 })]
    expect(feasibilityOf(views, 2).load.feasible).toBe(true)
    const { load } = feasibilityOf(views, 1)
    expect(load.feasible).toBe(false)
    expect(load.advice).toBe(
      'Steady writes keep 1.64 of 1 worker busy: set engine.workers to 2 or more, or widen the targets of the slowest.',
    )
  })

  test('an unmeasured view leaves the sum open, unless what is known is too much already', () => {
    const open = cost('c', { expectedMs: null })
    expect(feasibilityOf([cost('a'), open], 1).load.feasible).toBeNull()
    const heavy = ['a', 'b'].map((name) => cost(name, { expectedMs: 29_000 }))
    expect(feasibilityOf([...heavy, open], 1).load.feasible).toBe(false)
  })

  test('a long refresh that cannot be interrupted is named to the view that it may hold up', () => {
    const views = [
      cost('fast'),
      cost('slow', { expectedMs: 90_000, targetMs: 3_600_000 }),
      cost('slower', { expectedMs: 120_000, targetMs: 3_600_000 }),
    ]
    const advice = feasibilityOf(views, 2).views[0]?.advice
    expect(advice).toContain('public.slower (2 min)')
    expect(advice).toContain('all 2 are busy')
    expect(feasibilityOf(views, 3).views[0]?.advice).not.toContain('slower')
  })

  test('nothing declared is feasible', () => {
    expect(feasibilityOf([], 1)).toMatchObject({ views: [], load: { busy: 0, feasible: true } })
  })

  const costs = fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^[a-z]{1,6}$/),
      targetMs: fc.integer({ min: 1_000, max: 3_600_000 }),
      expectedMs: fc.option(fc.integer({ min: 1, max: 600_000 })),
    }),
    { selector: ({ name }) => name, maxLength: 12 },
  )

  test('each view is judged once and in order, and a worker more never makes it worse', () => {
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 8 }), (list, workers) => {
        const views = list.map(({ name, ...rest }) => cost(name, rest))
        const now = feasibilityOf(views, workers)
        const more = feasibilityOf(views, workers + 1)
        expect(now.views.map(({ view }) => view)).toEqual(views.map(({ view }) => view))
        expect(more.views.map(({ feasible }) => feasible)).toEqual(
          now.views.map(({ feasible }) => feasible),
        )
        if (now.load.feasible === true) expect(more.load.feasible).toBe(true)
      }),
    )
  })

  test('the workers suffice for as many equal views as a schedule laid out by hand can serve', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 2, max: 50 }),
        (count, ratio) => {
          const views = Array.from({ length: count }, (_, i) =>
            cost(`v${i}`, { expectedMs: 1_000, targetMs: ratio * 1_000 }),
          )
          // One worker serves the views in turn: each has its next snapshot `count` seconds later.
          const fits = count <= ratio - 1
          expect(feasibilityOf(views, 1).load.feasible).toBe(fits)
        },
      ),
    )
  })
})
