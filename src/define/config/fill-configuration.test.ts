import { describe, expect, test } from 'vitest'
import type { Configuration, ViewDeclaration } from '../../model/declaration.ts'
import { checkConfig } from './config-schema.ts'
import { fillConfiguration } from './fill-configuration.ts'
import type { TidemarkConfig, ViewConfig } from './tidemark-config.ts'

const fill = (config: TidemarkConfig): Configuration =>
  fillConfiguration(checkConfig(config), { path: null, readText: (path) => `-- ${path}\nselect 1` })

const sql = 'select day, sum(amount) from orders group by day'
const mx = { zone: 'America/Mexico_City', from: '09:00', to: '18:00', holidays: ['2026-12-25'] }
const mxHours = { ...mx, days: [1, 2, 3, 4, 5] }

function fillView(view: Partial<ViewConfig>, rest: Partial<TidemarkConfig> = {}): ViewDeclaration {
  const [filled] = fill({ ...rest, views: { v: { sql, ...view } } }).views
  if (filled === undefined) throw new Error('one view was declared')
  return filled
}

describe('defaults', () => {
  test('a configuration that says nothing has them all', () => {
    expect(fill({ views: {} })).toEqual({
      path: null,
      databaseUrl: null,
      runtimeRole: null,
      readerRoles: [],
      maxLogBytes: 1_073_741_824,
      timeZone: 'UTC',
      sources: [],
      views: [],
      caches: [],
      cacheTables: [],
      engine: { workers: 2, pollMs: 250, idleAfterMs: null },
    })
  })

  test('a view that says nothing but its query has them all', () => {
    expect(fillView({})).toEqual({
      name: 'public.v',
      definition: { kind: 'sql', sql },
      as: 'view',
      maintain: 'auto',
      floatSums: 'exact',
      targetMs: 300_000,
      businessTarget: null,
      veryStaleMs: 600_000,
      policy: 'deadline',
      budgetSecondsPerHour: null,
      verify: 'off',
      group: null,
      key: null,
      primaryKey: null,
      reads: null,
      partition: null,
      indexes: [],
      schedules: [],
      events: [],
      refreshBy: { roles: [], perHour: null },
      fallback: 'none',
      timeoutMs: null,
    })
  })

  test('the defaults of the configuration hold where a view is silent, and only there', () => {
    const defaults = {
      target: '2m',
      policy: 'budget',
      budget: '30s',
      verify: 'sample',
      timeout: '1h',
      refreshBy: { perHour: 3 },
    } as const
    expect(fillView({ target: '1m', policy: 'eager' }, { defaults })).toMatchObject({
      targetMs: 60_000,
      veryStaleMs: 120_000,
      policy: 'eager',
      budgetSecondsPerHour: null,
      verify: 'sample',
      timeoutMs: 3_600_000,
      refreshBy: { roles: [], perHour: 3 },
    })
    expect(fillView({}, { defaults })).toMatchObject({
      targetMs: 120_000,
      policy: 'budget',
      budgetSecondsPerHour: 30,
    })
  })

  test('a key that is undefined is absent', () => {
    const config = { database: { url: undefined }, views: { v: { sql, target: undefined } } }
    expect(fill(checkConfig(config))).toEqual(fill({ database: {}, views: { v: { sql } } }))
  })
})

describe('names', () => {
  test('a name without a schema is one of schema public, everywhere', () => {
    const { sources, views } = fill({
      sources: { orders: { capture: 'rows' }, 'shop.items': {} },
      views: {
        v: { sql, reads: ['rates'], events: [{ on: 'orders' }] },
        'mart.w': { file: 'w.sql' },
      },
    })
    expect(sources).toEqual([
      { name: 'public.orders', capture: 'rows' },
      { name: 'shop.items', capture: 'auto' },
    ])
    expect(views.map(({ name }) => name)).toEqual(['public.v', 'mart.w'])
    expect(views[0]?.reads).toEqual(['public.rates'])
    expect(views[1]?.definition).toEqual({ kind: 'file', path: 'w.sql', sql: '-- w.sql\nselect 1' })
  })

  test('a materialized view is adopted under its own name, written either way', () => {
    const { views } = fill({ views: { mv_x: { adopt: 'public.mv_x', as: 'matview' } } })
    expect(views[0]).toMatchObject({
      name: 'public.mv_x',
      definition: { kind: 'adopt', relation: 'public.mv_x' },
      as: 'matview',
    })
  })

  test('a primary key identifies rows, and only a table has one', () => {
    const keyed = { as: 'table', primaryKey: ['day'] } as const
    expect(fillView(keyed)).toMatchObject({ key: ['day'], primaryKey: ['day'] })
    expect(fillView({ ...keyed, key: ['day', 'region'] })).toMatchObject({
      key: ['day', 'region'],
      primaryKey: ['day'],
    })
    expect(() => fillView({ primaryKey: ['day'] })).toThrow(/A view has no primary key/)
    expect(() => fillView({ as: 'matview', primaryKey: ['day'] })).toThrow(
      /A materialized view has no primary key/,
    )
  })

  test('schedules and rules that have no name are numbered', () => {
    const { schedules, events } = fillView({
      schedules: ['0 * * * *', { name: 'nightly', cron: '0 3 * * *' }, '@daily'],
      events: [{ on: 'orders' }, { on: 'payments' }, { on: 'public.orders', when: 'amount > 5' }],
    })
    expect(schedules.map(({ name }) => name)).toEqual(['public.v 1', 'nightly', 'public.v 3'])
    expect(events.map(({ name }) => name)).toEqual([
      'public.v public.orders 1',
      'public.v public.payments 1',
      'public.v public.orders 2',
    ])
  })
})

describe('time', () => {
  test('a schedule keeps the clocks of its zone, else of its hours, else of the database', () => {
    const { schedules } = fillView(
      {
        schedules: [
          { cron: ' 0  9 * * * ', zone: 'Europe/Berlin', businessHours: 'mx', catchUpWithin: '0s' },
          { cron: '0 9 * * *', businessHours: 'mx', lane: 'critical', force: true },
          '0 9 * * *',
        ],
      },
      { calendars: { mx }, database: { timeZone: 'Asia/Tokyo' } },
    )
    expect(schedules).toEqual([
      {
        name: 'public.v 1',
        cron: '0 9 * * *',
        zone: 'Europe/Berlin',
        businessHours: mxHours,
        catchUpWithinMs: 0,
        lane: 'normal',
        force: false,
      },
      {
        name: 'public.v 2',
        cron: '0 9 * * *',
        zone: 'America/Mexico_City',
        businessHours: mxHours,
        catchUpWithinMs: 3_600_000,
        lane: 'critical',
        force: true,
      },
      {
        name: 'public.v 3',
        cron: '0 9 * * *',
        zone: 'Asia/Tokyo',
        businessHours: null,
        catchUpWithinMs: 3_600_000,
        lane: 'normal',
        force: false,
      },
    ])
  })

  test('a target that is tighter in business hours; very stale is twice the looser one', () => {
    const target = { inside: '1m', outside: '1h', businessHours: 'mx' }
    expect(fillView({ target }, { calendars: { mx } })).toMatchObject({
      targetMs: 3_600_000,
      businessTarget: { hours: mxHours, targetMs: 60_000 },
      veryStaleMs: 7_200_000,
    })
  })

  test.each([
    ['mon-fri', [1, 2, 3, 4, 5]],
    ['Sat', [6]],
    ['fri-mon', [1, 5, 6, 7]],
    ['mon-tue, thu', [1, 2, 4]],
    [['wed', 'mon'] as const, [1, 3]],
  ])('days %j are %j', (days, numbers) => {
    const businessHours = { ...mx, days }
    const { schedules } = fillView({ schedules: [{ cron: '0 9 * * *', businessHours }] })
    expect(schedules[0]?.businessHours?.days).toEqual(numbers)
  })
})

test('an event rule looks at new rows unless it says otherwise, and asks at once', () => {
  const { events } = fillView({
    events: [
      { on: 'orders' },
      {
        name: 'big',
        on: 'orders',
        when: 'amount >= 10000',
        changes: ['delete'],
        priority: 'critical',
        batch: '5m',
      },
    ],
  })
  expect(events).toEqual([
    {
      name: 'public.v public.orders 1',
      source: 'public.orders',
      when: 'true',
      on: ['insert', 'update'],
      lane: 'normal',
      batchMs: 0,
    },
    {
      name: 'big',
      source: 'public.orders',
      when: 'amount >= 10000',
      on: ['delete'],
      lane: 'critical',
      batchMs: 300_000,
    },
  ])
})
