import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag } from '../model/journal.ts'

/** A value of a column by which a source is told apart. */
export type TagValue = string | number | bigint | boolean | null

/** The tag that every entry bears. */
export const everyEntry: Tag = 'all' as Tag

/** The tag of all entries whose key begins with these words after the prefix. */
export const beginningTag = (words: string): Tag => `key:${words}` as Tag

/** The tag that a user gave by name. */
export const namedTag = (name: string): Tag => `tag:${escaped(name)}` as Tag

/** The tag of the rows of a source with these values: `source:public.quotes:tenant_id=7`. */
export const rowsTag = (
  source: RelationName,
  values: readonly (readonly [string, TagValue])[],
): Tag =>
  `${sourceTag(source)}:${values.map(([column, value]) => `${column}=${valueText(value)}`).join(',')}` as Tag

/** A value as PostgreSQL casts it to text, with what parts a tag escaped; NULL as `\N`. */
const valueText = (value: TagValue): string => (value === null ? '\\N' : escaped(String(value)))

const escapes: Readonly<Record<string, string>> = {
  '%': '%25',
  ',': '%2C',
  '=': '%3D',
  ':': '%3A',
  '\n': '%0A',
}

const escaped = (text: string): string =>
  text.replaceAll(/[%,=:\n]/g, (found) => escapes[found] ?? found)

/** What of a source a tag is about: rows by their values, or null where it is all of it or cannot be told by row. */
export interface TaggedSource {
  readonly source: string
  readonly rows: Readonly<Record<string, string | null>> | null
}

/** What of which source a tag is about; null for a tag that is about none. */
export function taggedSource(tag: Tag): TaggedSource | null {
  const [, source, values] = /^source:(.+?)(?::(\*|[^:]*=[^:]*))?$/.exec(tag) ?? []
  if (source === undefined) return null
  if (values === undefined || values === '*') return { source, rows: null }
  const rows = values.split(',').map((part) => {
    const [column = '', value = ''] = part.split('=')
    return [column, value === '\\N' ? null : decodeURIComponent(value)] as const
  })
  return { source, rows: Object.fromEntries(rows) }
}

/** The value that stands so in a tag; null for NULL. */
export const valueOfText = (text: string): string | null =>
  text === '\\N'
    ? null
    : text.replaceAll(
        /%25|%2C|%3D|%3A|%0A/g,
        (found) => Object.keys(escapes).find((plain) => escapes[plain] === found) ?? found,
      )

/** The words of a kind from the first on: `dashboard:kpis` gives `dashboard` and `dashboard:kpis`. */
export function beginnings(kind: string): string[] {
  const words = kind.split(':')
  return words.map((_, at) => words.slice(0, at + 1).join(':'))
}
