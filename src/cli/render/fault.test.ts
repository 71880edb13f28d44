import { createColors } from 'picocolors'
import { describe, expect, test } from 'vitest'
import { TidemarkError } from '../../model/errors.ts'
import {
  faultBody,
  faultIn,
  renderFault,
  renderOrigin,
  renderUnexpected,
  withoutPasswords,
} from './fault.ts'
import type { Style } from '../surroundings.ts'
import { asJson } from './json.ts'
import { renderLogLine } from './log-line.ts'
import { lengthOf } from './table.ts'

const colours = createColors(false)
const style = (width: number): Style => ({ width, colours, now: new Date(0) })

describe('a fault', () => {
  const fault = {
    code: 'TIDEMARK_CONFIG_INVALID',
    what: 'taget is no key of a view',
    mend: 'Did you mean target?',
    place: 'views.sales',
    also: [{ code: 'TIDEMARK_CRON_INVALID', what: 'x is no cron', mend: 'Write 5 fields.' }],
  } as const

  test('is told with its code, its place and its mend, and so is every other of the same look', () => {
    expect(renderFault(fault, style(Infinity))).toEqual([
      'error: taget is no key of a view (TIDEMARK_CONFIG_INVALID)',
      '  at views.sales',
      '  → Did you mean target?',
      'error: x is no cron (TIDEMARK_CRON_INVALID)',
      '  → Write 5 fields.',
    ])
  })

  test('breaks lines between words in a terminal, and not in a pipe', () => {
    const long = {
      ...fault,
      what: 'word '.repeat(30).trim(),
      mend: 'select 1;\n  select 2;',
      also: [],
    }
    const lines = renderFault(long, style(40))
    for (const line of lines) expect(lengthOf(line)).toBeLessThanOrEqual(40)
    expect(lines.slice(-3)).toEqual(['  at views.sales', '  → select 1;', '      select 2;'])
    expect(lines[1]).toMatch(/^ {4}word/)
    expect(renderFault(long, style(Infinity))).toHaveLength(4)
  })

  test('has the same for programs', () => {
    expect(faultBody(fault)).toMatchObject({
      code: 'TIDEMARK_CONFIG_INVALID',
      place: 'views.sales',
      also: [{ code: 'TIDEMARK_CRON_INVALID', place: null, also: [] }],
    })
  })

  test('is read from an error of ours', () => {
    expect(faultIn(new TidemarkError(fault))).toMatchObject({ code: fault.code, also: fault.also })
  })

  test('is read from the words of a function in the database, with a command for its SQL', () => {
    const error = new Error(
      `public.sales is paused: audit (TIDEMARK_VIEW_PAUSED). Resume it with: select tidemark.resume('public.sales')`,
    )
    expect(faultIn(error)).toEqual({
      code: 'TIDEMARK_VIEW_PAUSED',
      what: 'public.sales is paused: audit',
      mend: 'Resume it with: tidemark resume sales',
    })
  })

  test('is not seen in an error without a known code', () => {
    expect(faultIn(new Error('division by zero'))).toBeNull()
    expect(faultIn(new Error('odd (TIDEMARK_NO_SUCH_CODE). Nothing'))).toBeNull()
    expect(faultIn('text')).toBeNull()
  })
})

test('an unexpected error is short unless more is asked for', () => {
  const error = new Error('boom', { cause: new Error('fuse') })
  expect(renderUnexpected(error, style(80))).toEqual(['error: boom'])
  expect(renderOrigin(error, { verbose: false, colours })).toEqual([
    '  → Add --verbose to see where it comes from.',
  ])
  const long = renderOrigin(error, { verbose: true, colours }).join('\n')
  expect(long).toContain('caused by Error: fuse')
})

test.each([
  ['postgres://u:secret@host/db', 'postgres://u:***@host/db'],
  ['at postgres://u:se@cret@host/db now', 'at postgres://u:***@host/db now'],
  ['http://host:8080/path', 'http://host:8080/path'],
  ['mail a@b.example, time 10:20', 'mail a@b.example, time 10:20'],
])('a password in %s is hidden', (text, safe) => {
  expect(withoutPasswords(text)).toBe(safe)
})

test('JSON has its version and kind first, snake_case keys and ISO instants', () => {
  const body = { atHome: new Date(0), list: [{ innerKey: null }], sourceMs: 5 }
  expect(asJson('thing', body)).toBe(
    '{"version":1,"kind":"thing","at_home":"1970-01-01T00:00:00.000Z","list":[{"inner_key":null}],"source_ms":5}',
  )
})

test('a log line is one line for people: sign, message, group, the rest by name', () => {
  const json = JSON.stringify({
    level: 'warn',
    time: '2026-11-22T10:00:00Z',
    group: 'g',
    outcome: 'failed:\nx',
    msg: 'm',
  })
  expect(renderLogLine(json, colours)).toMatch(/^\d\d:\d\d:\d\d ! m g outcome failed: x$/)
})
