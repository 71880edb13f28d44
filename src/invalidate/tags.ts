import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag } from '../model/journal.ts'

/** A value of a column by which a source is told apart. */
export type TagValue = string | number | bigint | boolean | null

/** The tag that every entry bears. */
export const everyEntry: Tag = 'all' as Tag

/** The tag of all entries whose key begins with these words after the prefix. */
export const beginningTag = (words: string): Tag => `key:${words}` as Tag

/** A tenant as it stands in keys; `{}` of the form is the place of its id. */
export const tenantIn = (tenantForm: string, id: string | number | bigint): string =>
  tenantForm.replace('{}', () => String(id))

/** The tag of all entries of a tenant, of whichever kind; as the tenant stands in keys. */
export const tenantTag = (tenant: string): Tag => `tenant:${tenant}` as Tag

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

/** The words of a kind from the first on: `dashboard:kpis` gives `dashboard` and `dashboard:kpis`. */
export function beginnings(kind: string): string[] {
  const words = kind.split(':')
  return words.map((_, at) => words.slice(0, at + 1).join(':'))
}
