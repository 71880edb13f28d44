import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { DemoModel, ViewLine } from './demo-model.ts'
import { renderLine } from './render-line.ts'
import { renderScreen } from './render-screen.ts'

const view = (over: Partial<ViewLine>): ViewLine => ({
  name: 'sales_by_day',
  state: 'fresh',
  stalenessMs: 1_240,
  targetMs: 30_000,
  refreshedAgoMs: 900,
  durationMs: 812,
  strategy: 'full',
  rows: 5_840,
  spentMs: 12_400,
  twin: { ageMs: 43_000, spentMs: 2_100, refreshing: false },
  ...over,
})

const model = (over: Partial<DemoModel> = {}): DemoModel => ({
  server: 'PostgreSQL 18.4 on port 54329',
  elapsedMs: 42_000,
  views: [
    view({}),
    view({ name: 'payments_by_month', state: 'very_stale', stalenessMs: 65_000, targetMs: 2_000 }),
    view({ name: 'open_orders', state: 'unknown', stalenessMs: null }),
    view({
      name: 'top_products',
      state: 'never_populated',
      refreshedAgoMs: null,
      durationMs: null,
      rows: null,
      twin: { ageMs: null, spentMs: 0, refreshing: true },
    }),
  ],
  load: { lines: 512_000, linesTotal: 1_000_000, rate: 31_000, elapsedMs: 16_000 },
  writer: { writes: 812, rate: 20, failed: 0 },
  engine: { status: 'running', pid: 4_123, restarts: 1 },
  checks: { made: 112, different: 0 },
  events: [{ at: new Date(2026, 10, 22, 12, 3, 4), text: 'the engine is back as process 4123' }],
  why: [],
  ...over,
})

const plain = (width: number, over: Partial<DemoModel> = {}): readonly string[] =>
  renderScreen(model(over), { width, colour: false, keys: true })

describe('the screen', () => {
  test('law: no line is longer than the width, with colours and without', () => {
    for (const width of [80, 100, 112, 113, 120]) {
      for (const colour of [true, false]) {
        const why = ['x'.repeat(300)]
        const lines = renderScreen(model({ why }), { width, colour, keys: true })
        for (const line of lines) {
          expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(width)
        }
      }
    }
  })

  test('law: without colours it says what it says with them', () => {
    const coloured = renderScreen(model(), { width: 100, colour: true, keys: true })
    expect(coloured.map((line) => stripVTControlCharacters(line))).toEqual(plain(100))
    expect(plain(100).join('')).not.toContain('\u001B')
  })

  test('law: the table and what is below keep their lines whatever happens', () => {
    const events = Array.from({ length: 9 }, (_, i) => ({ at: new Date(), text: `event ${i}` }))
    expect(plain(100, { events }).length).toBe(plain(100, { events: [] }).length)
  })

  test('each view is told with its state in words, staleness, target, refresh and twin', () => {
    const line = plain(120).find((text) => text.startsWith('sales_by_day'))
    expect(line).toMatch(
      /● fresh +1\.2s \/ +30s +0\.9s ago, 812ms +full +5,840 +12s │ +43s! +2\.1s/,
    )
  })

  test('a narrow terminal still shows every fact of a view', () => {
    const line = plain(80).find((text) => text.startsWith('sales_by_day'))
    expect(line).toMatch(/● fresh +1\.2s\/ 30s +0\.9s 812ms full +5,840 │ +43s! +2\.1s/)
  })

  test('what is not known is not shown as a number', () => {
    const lines = plain(100)
    expect(lines.find((text) => text.startsWith('open_orders'))).toMatch(/\? unknown +\?\//)
    expect(lines.find((text) => text.startsWith('top_products'))).toMatch(/… not filled .* – .* – /)
  })

  test('the load is a bar until it is done, and then how long it took', () => {
    expect(plain(100).join('\n')).toMatch(
      /█+.░+ {2}512,000 of 1,000,000 order lines, 31,000 a second/,
    )
    const done = { lines: 1_000_000, linesTotal: 1_000_000, rate: 0, elapsedMs: 31_000 }
    expect(plain(100, { load: done }).join('\n')).toContain('1,000,000 order lines, loaded in 31s')
    expect(plain(100, { load: { ...done, elapsedMs: 0 } }).join('\n')).toContain('from before')
  })

  test('a refresh that differed from its query is said loudly', () => {
    const lines = plain(100, { checks: { made: 112, different: 3 } }).join('\n')
    expect(lines).toContain('3 of 112 refreshes DIFFERED')
  })

  test('keys are shown only to those who can press them', () => {
    const lines = renderScreen(model(), { width: 100, colour: false, keys: false })
    expect(plain(100).join('\n')).toContain('pay an order')
    expect(lines.join('\n')).not.toContain('pay an order')
  })
})

describe('the plain line', () => {
  test('tells the same in one line, worst view by name', () => {
    expect(renderLine(model())).toBe(
      '00:42  512,000 of 1,000,000 order lines  812 writes  1 of 4 views within target, open_orders unknown  112 checks, 0 different  engine 4123',
    )
  })

  test('says when all is well', () => {
    expect(
      renderLine(model({ views: [view({}), view({ name: 'b', stalenessMs: 2_000 })] })),
    ).toContain('2 of 2 views within target, stalest b 2s')
  })
})
