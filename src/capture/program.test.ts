import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CaptureWish, ColumnShape, SourceShape } from '../model/capture.ts'
import { relationName } from '../model/ids.ts'
import { dollarQuoted } from './dollar-quoted.ts'
import { loggedName } from '../model/names.ts'
import { imageColumns } from './image.ts'
import { captureProgram } from './program.ts'

const column = (name: string, change: Partial<ColumnShape> = {}): ColumnShape => ({
  name,
  attnum: 1,
  type: 'integer',
  baseType: 'integer',
  collation: null,
  notNull: false,
  bytesMax: 8,
  generatedVirtual: false,
  generatedFrom: [],
  ...change,
})

const shape: SourceShape = {
  name: relationName('public', 'orders'),
  oid: 1,
  kind: 'plain',
  subscribed: false,
  child: false,
  owner: 'postgres',
  columns: [
    column('id'),
    column('net'),
    column('tax'),
    column('gross', { generatedVirtual: true, generatedFrom: ['net', 'tax'] }),
  ],
  members: [],
}

const wish = (change: Partial<CaptureWish> = {}): CaptureWish => ({
  shape,
  mode: 'marks',
  columns: ['id'],
  events: [],
  wakes: false,
  cached: false,
  ...change,
})

const triggersIn = (program: { readonly install: readonly string[] }): readonly string[] =>
  program.install.filter((statement) => statement.startsWith('create or replace trigger'))

describe('captureProgram', () => {
  test('equal wishes have equal digests, other columns, modes and rules have others', () => {
    const digests = [
      wish(),
      wish({ columns: ['net'] }),
      wish({ mode: 'rows' }),
      wish({ events: [{ rule: 'a', on: ['insert'], condition: '($1).id > 1' }] }),
      wish({ events: [{ rule: 'a', on: ['insert'], condition: '($1).id > 2' }] }),
      wish({ shape: { ...shape, subscribed: true } }),
      wish({ wakes: true }),
    ].map((each) => captureProgram(each).digest)
    expect(new Set(digests).size).toBe(digests.length)
    expect(captureProgram(wish()).digest).toBe(digests[0])
  })

  test('the oid and the owner of the table are no part of the program', () => {
    const moved = wish({ shape: { ...shape, oid: 2, owner: 'somebody' } })
    expect(captureProgram(moved)).toEqual(captureProgram(wish()))
  })

  test('takes its lock before all else', () => {
    expect(captureProgram(wish()).install[0]).toBe(
      'lock table "public"."orders" in share row exclusive mode',
    )
  })

  test('every trigger that it creates is enabled always', () => {
    for (const kind of ['plain', 'partitioned', 'inherited'] as const) {
      const program = captureProgram(
        wish({ shape: { ...shape, kind, members: [relationName('public', 'part')] } }),
      )
      const always = program.install.filter((statement) =>
        / enable always trigger /.test(statement),
      )
      expect(always).toHaveLength(triggersIn(program).length)
    }
  })

  test('row triggers only where statement triggers would not see every change', () => {
    const firing = (change: Partial<SourceShape>): string =>
      triggersIn(captureProgram(wish({ shape: { ...shape, ...change } }))).join(';')
    expect(firing({})).not.toContain('for each row')
    expect(firing({ kind: 'partitioned' })).toContain('for each row')
    expect(firing({ kind: 'inherited' })).toContain('for each row')
    expect(firing({ subscribed: true })).toContain('for each row')
    expect(firing({ child: true })).toContain('for each row')
  })

  test('an update trigger only where some column is captured', () => {
    expect(triggersIn(captureProgram(wish({ columns: [] }))).join(';')).not.toContain(
      'after update',
    )
    expect(triggersIn(captureProgram(wish())).join(';')).toContain('after update')
  })
})

describe('imageColumns', () => {
  test('has what a virtual column is computed from in its place, once, in the order of the table', () => {
    const columns = imageColumns(wish({ columns: ['gross', 'tax', 'id'] }))
    expect(columns.map(({ column: name }) => name)).toEqual(['id', 'net', 'tax'])
  })

  test('refuses a column that the table does not have', () => {
    expect(() => imageColumns(wish({ columns: ['nothing'] }))).toThrow(/captured columns exist/)
  })
})

describe('loggedName', () => {
  test('law: two columns never get one name, and none gets that of the log', () => {
    const name = fc.oneof(
      fc.constantFrom('xid', 'w', '.xid', '..xid', '.w', 'wx', 'id'),
      fc.string(),
    )
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(loggedName(one) === loggedName(other)).toBe(one === other)
        expect(['xid', 'w']).not.toContain(loggedName(one))
      }),
    )
  })
})

describe('dollarQuoted', () => {
  test('law: the text is whole between two tags, and ends where the second is found', () => {
    const part = fc.constantFrom('$', '$tidemark$', '$tidemark1$', 'tidemark', 'a', '\n')
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const text = parts.join('')
        const quoted = dollarQuoted(text)
        const tag = /^\$tidemark\d*\$/.exec(quoted)?.[0] ?? ''
        expect(quoted).toBe(`${tag}${text}${tag}`)
        expect(quoted.indexOf(tag, tag.length)).toBe(tag.length + text.length)
      }),
    )
  })
})
