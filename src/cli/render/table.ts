import type { Style } from '../surroundings.ts'
import { oneLine } from './figures.ts'

/** What stands in a place of a table, and how it is painted after it was fitted. */
export interface Cell {
  readonly text: string
  readonly paint?: (text: string) => string
}

/** A column of a table over rows of one kind. */
export interface Column<Row> {
  readonly title: string
  readonly align?: 'left' | 'right'
  readonly cell: (row: Row) => Cell | string
  /** May be cut to this many characters when the line is too short. */
  readonly widthMin?: number
  /** May be left out when the line is too short; the lowest goes first. */
  readonly importance?: number
  /**
   * A sentence that nothing is to be cut off of: it stands below its row, indented, where the line is
   * too short for all columns, and is left out where no row has anything to say.
   */
  readonly below?: boolean
}

const gap = '  '
const indent = '    '

interface Fitted<Row> {
  readonly column: Column<Row>
  readonly width: number
  readonly cells: readonly Cell[]
}

/**
 * Draws a table no wider than the style allows. Where a line is too short, sentences go below their
 * rows first, then columns that may be cut are cut, then the least important ones are left out.
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  style: Style,
): readonly string[] {
  const natural = columns.map((column): Fitted<Row> => {
    const cells = rows.map((row) => cellOf(column, row))
    const widths = cells.map(({ text }) => lengthOf(text))
    return { column, cells, width: Math.max(lengthOf(column.title), ...widths) }
  })
  const told = natural.filter(
    ({ column, cells }) => column.below !== true || cells.some(({ text }) => text !== ''),
  )
  const { beside, below } = fit(told, style.width)
  const lines = [style.colours.dim(lineOf(beside, ({ column }) => ({ text: column.title })))]
  for (const [i] of rows.entries()) {
    lines.push(lineOf(beside, ({ cells }) => cells[i] ?? { text: '' }))
    for (const { cells } of below) lines.push(...belowLines(cells[i], style))
  }
  return lines
}

function cellOf<Row>(column: Column<Row>, row: Row): Cell {
  const cell = column.cell(row)
  const { text, ...rest } = typeof cell === 'string' ? { text: cell } : cell
  return { text: oneLine(text), ...rest }
}

interface Layout<Row> {
  readonly beside: readonly Fitted<Row>[]
  readonly below: readonly Fitted<Row>[]
}

function fit<Row>(natural: readonly Fitted<Row>[], width: number): Layout<Row> {
  if (excessOf(natural, width) <= 0) return { beside: natural, below: [] }
  const below = natural.filter(({ column }) => column.below === true)
  let beside = natural.filter(({ column }) => column.below !== true)
  for (;;) {
    const fitting = cutTo(beside, width)
    if (fitting !== null) return { beside: fitting, below }
    const least = leastImportant(beside)
    if (least === undefined) return { beside, below }
    beside = beside.filter((one) => one !== least)
  }
}

/** Characters by which columns are too wide together. */
const excessOf = <Row>(columns: readonly Fitted<Row>[], width: number): number =>
  columns.reduce((sum, column) => sum + column.width, gap.length * (columns.length - 1)) - width

function leastImportant<Row>(columns: readonly Fitted<Row>[]): Fitted<Row> | undefined {
  return columns
    .filter(({ column }) => column.importance !== undefined)
    .sort((a, b) => (a.column.importance ?? 0) - (b.column.importance ?? 0))[0]
}

/** Columns cut so that they fit, the widest first; null when they cannot be cut enough. */
function cutTo<Row>(columns: readonly Fitted<Row>[], width: number): readonly Fitted<Row>[] | null {
  const widths = columns.map((column) => column.width)
  const mins = columns.map(({ column, width: natural }) =>
    Math.min(natural, Math.max(column.widthMin ?? natural, lengthOf(column.title))),
  )
  let excess = excessOf(columns, width)
  while (excess > 0) {
    const room = widths.map((one, i) => one - (mins[i] ?? one))
    const most = room.indexOf(Math.max(...room))
    if ((room[most] ?? 0) <= 0) return null
    widths[most] = (widths[most] ?? 0) - 1
    excess -= 1
  }
  return columns.map((column, i) => ({ ...column, width: widths[i] ?? column.width }))
}

/** Characters as a terminal counts them, near enough: what people write in names. */
export const lengthOf = (text: string): number => Array.from(text).length

/** The beginning of a text, with a sign that more follows. */
export function cut(text: string, width: number): string {
  const letters = Array.from(text)
  return letters.length <= width ? text : `${letters.slice(0, Math.max(0, width - 1)).join('')}…`
}

function lineOf<Row>(columns: readonly Fitted<Row>[], cell: (column: Fitted<Row>) => Cell): string {
  const parts = columns.map((column, i) => {
    const { text, paint } = cell(column)
    const shown = cut(text, column.width)
    const blank = ' '.repeat(column.width - lengthOf(shown))
    const isLast = i === columns.length - 1
    const painted = paint === undefined ? shown : paint(shown)
    if (column.column.align === 'right') return blank + painted
    return isLast ? painted : painted + blank
  })
  return parts.join(gap).trimEnd()
}

function belowLines(cell: Cell | undefined, style: Style): readonly string[] {
  if (cell === undefined || cell.text === '') return []
  const lines = wrap(cell.text, style.width - indent.length)
  return lines.map((line) => indent + (cell.paint === undefined ? line : cell.paint(line)))
}

/** A text in lines of at most `width` characters, broken between words where it can be. */
export function wrap(text: string, width: number): readonly string[] {
  if (lengthOf(text) <= width) return [text]
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && lengthOf(line) + 1 + lengthOf(word) > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
    while (lengthOf(line) > width) {
      const letters = Array.from(line)
      lines.push(letters.slice(0, width).join(''))
      line = letters.slice(width).join('')
    }
  }
  return line === '' ? lines : [...lines, line]
}
