import type { RelationName } from './ids.ts'

/** Which rows of a cache table a change of a source makes untrue. */
export interface CacheRule {
  readonly on: RelationName
  /** Updates count when one of these columns changed; null: whatever changed. */
  readonly columns: readonly string[] | null
  /** Columns of the key of the cache, each with the column of the changed row that has its value. */
  readonly key: Readonly<Record<string, string>> | null
  /** A query for columns of the key, with `$column` for columns of the changed row. */
  readonly lookup: string | null
}

/** A user's table that is used as a cache, with every default filled in. */
export interface TableCacheDeclaration {
  readonly name: RelationName
  readonly key: readonly string[]
  /** Rows older than this are cleaned away; null: they do not age. */
  readonly ttlMs: number | null
  /** The column that says when a row was computed. */
  readonly updatedAt: string | null
  readonly rules: readonly CacheRule[]
  /** Maintained views that a fill reads: a fill is refused while they lack a write that emptied its row. */
  readonly views: readonly RelationName[]
  /** A fill that takes longer is refused. */
  readonly fillWithinMs: number
  /** What becomes of a row that is written without a fill: left out, or refused with an error. */
  readonly unfenced: 'skip' | 'refuse'
  /** Roles that may fill and clean, beside whoever applies. */
  readonly roles: readonly string[]
}
