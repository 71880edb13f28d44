import { createColors } from 'picocolors'
import { describe, expect, test } from 'vitest'
import type { Style } from '../surroundings.ts'
import type { Column } from './table.ts'
import { cut, lengthOf, renderTable, wrap } from './table.ts'

interface Row {
  readonly name: string
  readonly rows: number
  readonly why: string
}

const columns: readonly Column<Row>[] = [
  { title: 'NAME', widthMin: 8, cell: ({ name }) => name },
  { title: 'ROWS', align: 'right', importance: 1, cell: ({ rows }) => String(rows) },
  { title: 'WHY', below: true, cell: ({ why }) => why },
]
const rows: readonly Row[] = [
  { name: 'sales_by_day_and_region', rows: 12, why: 'a commit is not reflected yet, and more' },
  { name: 'total', rows: 1_000, why: '' },
]
const style = (width: number, colour = false): Style => ({
  width,
  colours: createColors(colour),
  now: new Date(0),
})

describe('a table', () => {
  test('is as wide as it needs where nobody counts', () => {
    expect(renderTable(columns, rows, style(Infinity))).toEqual([
      'NAME                     ROWS  WHY',
      'sales_by_day_and_region    12  a commit is not reflected yet, and more',
      'total                    1000',
    ])
  })

  test('puts the last column below its row where it does not fit beside it', () => {
    expect(renderTable(columns, rows, style(40))).toEqual([
      'NAME                     ROWS',
      'sales_by_day_and_region    12',
      '    a commit is not reflected yet, and',
      '    more',
      'total                    1000',
    ])
  })

  test('cuts what may be cut before it leaves a column out', () => {
    expect(renderTable(columns, rows, style(16))[1]).toBe('sales_by_…    12')
    expect(renderTable(columns, rows, style(12))[1]).toBe('sales_by_da…')
  })

  test.each([20, 30, 40, 60, 80, 120])('is never wider than %i', (width) => {
    for (const line of renderTable(columns, rows, style(width))) {
      expect(lengthOf(line)).toBeLessThanOrEqual(width)
    }
  })

  test('leaves out a column that has nothing to say', () => {
    const silent = rows.map((row) => ({ ...row, why: '' }))
    expect(renderTable(columns, silent, style(120))[0]).toBe('NAME                     ROWS')
  })

  test('lets no text of a user move the cursor', () => {
    const evil = [{ name: 'a\u001B[2Jb\nc', rows: 1, why: '' }]
    expect(renderTable(columns, evil, style(120))[1]).toBe('a�[2Jb c     1')
  })

  test('pads by what is seen, not by what paints', () => {
    const painted: readonly Column<Row>[] = [
      { title: 'A', cell: () => ({ text: 'x', paint: (text) => `<${text}>` }) },
      { title: 'B', cell: () => 'y' },
    ]
    expect(renderTable(painted, rows.slice(0, 1), style(80))[1]).toBe('<x>  y')
  })
})

describe('a text', () => {
  test('is wrapped between words, and within a word that is too long', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three'])
    expect(wrap('abcdefghij k', 4)).toEqual(['abcd', 'efgh', 'ij k'])
    expect(wrap('short', 80)).toEqual(['short'])
  })

  test('is cut with a sign that more follows', () => {
    expect(cut('abcdef', 4)).toBe('abc…')
    expect(cut('abcd', 4)).toBe('abcd')
  })
})
