import { relationOf } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag, wholeTag } from '../model/journal.ts'
import type { SourceRule } from './dependency.ts'
import type { Pattern } from './pattern.ts'
import { beforePlaces, patternTag } from './pattern.ts'
import type { TagValue } from './tags.ts'
import { rowsTag } from './tags.ts'

/** What is known of a row, by column; a column that is not there is not known. */
export type RowPart = Readonly<Record<string, unknown>>

/** What was written to a table and is committed, as far as whoever wrote it can tell. */
export interface TableWrite {
  /** `productos`, or `ventas.productos`. */
  readonly table: string
  /** What the ORM calls it, where that is another name: `Producto`. */
  readonly model?: string
  /**
   * The rows as they were and as they are: one part for each, or for all that share what is known; none, and nothing was
   * written. Null: which rows is not known.
   */
  readonly rows: readonly RowPart[] | null
  /** The columns that were set, by an update alone; null: rows came or went, or it is not known. */
  readonly columns: readonly string[] | null
}

/** Which entries a write concerns by a pattern that somebody wrote for its table. */
export interface WritePattern {
  readonly pattern: Pattern
  /** Only updates that set one of these columns count; rows that come or go always do. Null: any write. */
  readonly columns: readonly string[] | null
}

/** So many rows are told one by one; more are all. */
const rowsMax = 1_000

/**
 * The tags that a write makes untrue, of what entries depend on.
 *
 * Guarantees: an entry that depends on a row that the write may have touched bears one of them. A rule about columns that
 * are not known of every row concerns every entry of that table.
 */
export function tagsOfWrite(write: TableWrite, rules: readonly SourceRule[]): Set<Tag> {
  if (write.rows?.length === 0) return new Set()
  const source = relationOf(write.table)
  const tagsOf = ({ columns }: SourceRule): readonly Tag[] => {
    if (columns.length === 0) return [sourceTag(source)]
    return valuesOf(write, columns)?.map((values) => rowsTag(source, values)) ?? [wholeTag(source)]
  }
  return new Set(rules.filter((rule) => rule.source === source).flatMap(tagsOf))
}

/** The tags that a write makes untrue by a pattern; where a place of it has no value, by the words before it. */
export function tagsOfPattern(write: TableWrite, { pattern, columns }: WritePattern): Set<Tag> {
  const { rows, columns: set } = write
  if (columns !== null && set !== null && !set.some((column) => columns.includes(column))) {
    return new Set()
  }
  const each = rows === null || rows.length > rowsMax ? [{}] : rows
  return new Set(each.map((row) => tagOf(pattern, row)))
}

function tagOf(pattern: Pattern, row: RowPart): Tag {
  try {
    return patternTag(pattern, row)
  } catch {
    return patternTag(beforePlaces(pattern))
  }
}

/** The values of these columns, in every spelling, of every row; null when one is not known. */
function valuesOf(
  { rows }: TableWrite,
  columns: readonly string[],
): (readonly (readonly [string, TagValue])[])[] | null {
  if (rows === null || rows.length > rowsMax) return null
  const all: (readonly (readonly [string, TagValue])[])[] = []
  for (const row of rows) {
    let found: (readonly (readonly [string, TagValue])[])[] = [[]]
    for (const column of columns) {
      const spelt = spellings(row[column])
      if (spelt === null) return null
      found = found.flatMap((values) => spelt.map((value) => [...values, [column, value] as const]))
    }
    all.push(...found)
  }
  return all
}

const uuid = /^\{?[\da-f]{4}(-?[\da-f]{4}){7}\}?$/i
/** A date with more after it: which date PostgreSQL makes of it depends on its settings. */
const moment = /^\d{4}-\d{2}-\d{2}./
const integer = /^\s*[+-]?\d+\s*$/

/**
 * A value as PostgreSQL may print it: what a program was given for an id need not be how the database writes it. Null: no
 * value that a tag can name, or none that is known.
 */
function spellings(value: unknown): readonly TagValue[] | null {
  switch (typeof value) {
    case 'number':
    case 'bigint':
    case 'boolean':
      return [value]
    case 'string': {
      if (moment.test(value)) return null
      if (integer.test(value))
        return [...new Set([value, String(BigInt(value.trim().replace(/^\+/, '')))])]
      if (!uuid.test(value)) return [value]
      const digits = value.toLowerCase().replaceAll(/[{}-]/g, '')
      return [
        ...new Set([value, digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')]),
      ]
    }
    default:
      return value === null ? [null] : null
  }
}
