import type { RelationName } from './ids.ts'
import type { Tag } from './invalidation.ts'

/** A table or view that caches depend on, and how its changes are told apart. */
export interface JournalSource {
  readonly relation: RelationName
  /** Lists of columns, by name, whose values make a tag; an empty list stands for "it changed". */
  readonly rules: readonly (readonly string[])[]
  /** Queries for what tells its changes apart where the row itself does not have it, with `$column` for columns of the changed row. */
  readonly lookups: readonly string[]
}

/** A namespace of caches outside of the database, with every default filled in. */
export interface NamespaceDeclaration {
  readonly name: string
  readonly sources: readonly JournalSource[]
  /** How long an invalidation is kept for nodes that poll late. */
  readonly retainMs: number
  /** Roles that may poll and invalidate, beside whoever applies. */
  readonly roles: readonly string[]
}

/** The function that a namespace is polled by, in schema `tidemark` (unquoted); `tidemark.cache_function` is its twin. */
export const pollFunction = (namespace: string): string => `poll ${namespace}`

/** The function that code invalidates by. */
export const invalidateFunction = (namespace: string): string => `invalidate ${namespace}`

/** The function of the shared store. */
export const storeFunction = (namespace: string): string => `store ${namespace}`

/** The function that keeps the cursors of foreign caches. */
export const foreignFunction = (namespace: string): string => `foreign ${namespace}`

/** A namespace has no more lookups than this. */
export const lookupsMax = 32

/** The function that makes the values of a lookup of a namespace. */
export const lookupFunction = (namespace: string, n: number): string =>
  `lookup ${n} of ${namespace}`

/** The function that calls it and does not fail. */
export const triedLookupFunction = (namespace: string, n: number): string =>
  `lookup ${n} of ${namespace}, tried`

/** The tag of any change of a source. */
export const sourceTag = (relation: RelationName): Tag => `source:${relation}` as Tag

/** The tag of what cannot be told by row: whoever depends on a source by columns has it as well. */
export const wholeTag = (relation: RelationName): Tag => `source:${relation}:*` as Tag

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
