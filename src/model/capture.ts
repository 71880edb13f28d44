import type { ChangeKind } from './declaration.ts'
import type { RelationName } from './ids.ts'

/** A column as the catalog has it. */
export interface ColumnShape {
  readonly name: string
  readonly attnum: number
  /** As `format_type` prints it, usable in DDL. */
  readonly type: string
  /** The type beneath a domain, else `type`: what a log holds, where no constraint may refuse a row. */
  readonly baseType: string
  /** The collation, as SQL, where it is not that of `baseType`: by it values are compared. */
  readonly collation: string | null
  readonly notNull: boolean
  /** Bytes that a value takes within its row at the most, long ones being kept beside it; null where nothing bounds them. */
  readonly bytesMax: number | null
  /** A column generated on reading (PostgreSQL 18) has no value in a trigger. */
  readonly generatedVirtual: boolean
  /** The columns that a column generated on reading is computed from; empty for any other. */
  readonly generatedFrom: readonly string[]
}

/** A table that can be captured, as the catalog has it. */
export interface SourceShape {
  readonly name: RelationName
  readonly oid: number
  /** `partitioned`, `inherited` (has children), `plain`; subscribed ones receive logical replication. */
  readonly kind: 'plain' | 'partitioned' | 'inherited'
  readonly subscribed: boolean
  /** The table, or one below it, has a parent outside: statements that name the parent fire row triggers only. */
  readonly child: boolean
  readonly owner: string
  readonly columns: readonly ColumnShape[]
  /** Every partition or child below the table, leaves and inner ones, schema-qualified. */
  readonly members: readonly RelationName[]
}

/** What fits into a page of 8 KB, with something left for headers. */
const rowBytesMax = 8_000

/**
 * Whether an update is one row of the change log, with the images of before and after, instead of one for each. So it is where
 * two rows of the table fit into a page whatever is in them: capture must not refuse what the table takes. Told by the table alone,
 * so that all who read a log agree, whichever columns are captured.
 */
export function logsPairs({ columns }: SourceShape): boolean {
  const each = columns.map(({ bytesMax }) => (bytesMax ?? rowBytesMax) + 1)
  return 2 * each.reduce((total, bytes) => total + bytes, 0) <= rowBytesMax
}

/** The weight of a row of the log that has both images, of what came and of what went. */
export const pairWeight = 2

/** An event rule bound to its source: the condition is SQL over `$1`, the row. */
export interface BoundEvent {
  readonly rule: string
  readonly on: readonly ChangeKind[]
  /** An expression over `($1).column`, checked to be unable to fail. */
  readonly condition: string
}

/** What is wanted of a source: how it is captured and what for. */
export interface CaptureWish {
  readonly shape: SourceShape
  readonly mode: 'marks' | 'rows'
  /** Names of the columns that some view, rule or cache needs, in the order of the table. */
  readonly columns: readonly string[]
  readonly events: readonly BoundEvent[]
  /** Engines may sleep: a writer that finds one asleep wakes it. */
  readonly wakes: boolean
  /**
   * Caches outside of the database depend on it: every update that changes a row is in the log, whichever column it is,
   * also one that the table did not have when it was captured; and the log is looked at so often that it has an index.
   */
  readonly cached: boolean
}

/** The SQL that captures a source, ready to run in one transaction under SHARE ROW EXCLUSIVE. */
export interface CaptureProgram {
  readonly source: RelationName
  /** Installs or replaces everything; idempotent. */
  readonly install: readonly string[]
  /** Leaves nothing behind; idempotent. */
  readonly uninstall: readonly string[]
  /** Digest of `install`: equal when nothing needs to change. */
  readonly digest: string
}
