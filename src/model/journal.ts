import type { RelationName } from './ids.ts'

/** A table or view that caches depend on, and how its changes are told apart. */
export interface JournalSource {
  readonly relation: RelationName
  /** Lists of columns whose values make a tag; an empty list stands for "it changed". */
  readonly rules: readonly (readonly string[])[]
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

/** A value of a column, as PostgreSQL prints it, as it stands in a tag. The twin of `tidemark.tag_value`. */
export const tagValue = (value: string | null): string =>
  value === null
    ? '\\N'
    : value.replaceAll(/[%,=:]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

/** The tag of a source: changed anyhow, or with these values of columns. The program of the journal writes the same. */
export function sourceTag(
  relation: RelationName,
  values: readonly (readonly [column: string, value: string | null])[] = [],
): string {
  const bare = `source:${relation}`
  if (values.length === 0) return bare
  return `${bare}:${values.map(([column, value]) => `${column}=${tagValue(value)}`).join(',')}`
}

/** The tag of what cannot be told by row: whoever depends on a source by columns has it as well. */
export const wholeTag = (relation: RelationName): string => `source:${relation}:*`
