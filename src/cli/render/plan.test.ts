import { createColors } from 'picocolors'
import { expect, test } from 'vitest'
import { relationName } from '../../model/ids.ts'
import type { Plan, PlanStep } from '../../model/plan.ts'
import type { Style } from '../surroundings.ts'
import { planSummary, renderPlan, renderPlanSql } from './plan.ts'
import { lengthOf } from './table.ts'

const style = (width: number): Style => ({
  width,
  colours: createColors(false),
  now: new Date(0),
})

const step = (change: Partial<PlanStep>): PlanStep => ({
  kind: 'create',
  noun: 'view',
  name: 'public.sales',
  detail: 'kept within 30 s by full refresh by diff',
  lock: null,
  expectedMs: null,
  destructive: false,
  sql: ['create view x as select 1;'],
  ownTransaction: false,
  ...change,
})

const plan = (...steps: readonly PlanStep[]): Plan => ({
  version: 1,
  catalog: 'x',
  relations: [],
  steps,
  indexes: [],
  feasibility: [
    {
      view: relationName('public', 'sales'),
      targetMs: 2_000,
      expectedMs: 3_000,
      feasible: false,
      advice: 'A refresh takes 3 s, longer than the target of 2 s.',
    },
  ],
})

const whole = plan(
  step({}),
  step({
    kind: 'create',
    noun: 'source',
    lock: 'SHARE ROW EXCLUSIVE on public.orders',
    expectedMs: 20,
    ownTransaction: true,
  }),
  step({ kind: 'change', detail: 'target 30 s → 1 min' }),
  step({ kind: 'replace', detail: 'the query has changed '.repeat(8) }),
  step({ kind: 'drop', destructive: true }),
  step({ kind: 'warn', detail: 'will be an ordinary view' }),
)

test('the last line counts what is added, changed and dropped; warnings are none of these', () => {
  expect(planSummary(whole)).toBe('Plan: 2 to add, 2 to change, 1 to drop.')
  expect(renderPlan(whole, style(80)).at(-1)).toBe(planSummary(whole))
})

test('every kind of step has its sign, and locks and durations are told', () => {
  const text = renderPlan(whole, style(120)).join('\n')
  for (const sign of ['   +  view', '   ~  view', ' -/+  view', '   -  view', '   !  view']) {
    expect(text).toContain(sign)
  }
  expect(text).toContain(
    'lock SHARE ROW EXCLUSIVE on public.orders · takes about 20 ms · a transaction of its own',
  )
  expect(text).toContain('public.sales needs --allow-destructive')
})

test('a target that cannot be held is said with its advice', () => {
  expect(renderPlan(whole, style(120)).join('\n')).toContain(
    '✗  public.sales within 2 s cannot be held\n      A refresh takes 3 s',
  )
})

test('a warning about several views is given once, with their names', () => {
  const warning = { kind: 'warn', detail: 'will be an ordinary view' } as const
  const text = renderPlan(
    plan(
      step({ ...warning }),
      step({}),
      step({ ...warning, name: 'public.costs' }),
      step({ ...warning, name: 'public.odd', detail: 'is odd' }),
    ),
    style(120),
  ).join('\n')
  expect(text.match(/will be an ordinary view/g)).toHaveLength(1)
  expect(text).toContain('!  view public.sales, public.costs: will be an ordinary view')
  expect(text).toContain('!  view public.odd: is odd')
})

test('details are wrapped to the width', () => {
  for (const line of renderPlan(whole, style(60))) expect(lengthOf(line)).toBeLessThanOrEqual(60)
})

test('warnings alone are nothing to do', () => {
  expect(renderPlan(plan(step({ kind: 'warn' })), style(80))).toContain(
    'Nothing to do: the database is as declared.',
  )
})

test('its SQL ends every statement once', () => {
  expect(renderPlanSql(plan(step({})))).toEqual([
    '-- + view public.sales: kept within 30 s by full refresh by diff',
    'create view x as select 1;',
    '',
  ])
})
