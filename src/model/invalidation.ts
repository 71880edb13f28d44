import type { Brand } from '../base/brand.ts'

/** What an invalidation says of an entry: it may not be served again, or only while it is renewed. */
export type Verb = 'remove' | 'expire'

/** What entries are invalidated by: text that an entry is marked with when it is stored. */
export type Tag = Brand<string, 'Tag'>

/** The name of an entry, the same in every tier: `onquota:quotes:list:tenant_7:page=2:1f0c9a2e`. */
export type EntryKey = Brand<string, 'EntryKey'>

/**
 * A place in the journal of a namespace. Positions are given in the order in which invalidations become
 * visible: who sees one sees all before it. Positions of different epochs cannot be compared.
 */
export type Position = Brand<number, 'Position'>

/** One invalidation, as a journal tells it. */
export interface Invalidation {
  readonly position: Position
  readonly verb: Verb
  /** What it names: all entries with this tag, or the one entry of this key. */
  readonly of:
    { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'key'; readonly key: EntryKey }
  /** The transactions that are the cause; null where no database stands behind. */
  readonly xids: Xids | null
}

/** The lowest and the highest of the transactions that caused an invalidation, in a journal that has gathered them. */
export interface Xids {
  readonly first: string
  readonly last: string
}

/**
 * How far somebody has come along a journal. Another epoch than before: positions began anew, and nothing that was known
 * counts.
 */
export interface JournalPlace {
  readonly epoch: string
  readonly position: Position
}

/** What a look at a journal found; its place is up to where everything is told, by this look or an earlier one. */
export interface News extends JournalPlace {
  /** False: some of what lies between was forgotten; every entry counts as removed. */
  readonly complete: boolean
  readonly invalidations: readonly Invalidation[]
  /** What the database looked like, as `pg_snapshot` text; null without a database. */
  readonly snapshot: string | null
}

/** An invalidation that is asked for. */
export interface InvalidationRequest {
  readonly verb: Verb
  readonly tags: readonly Tag[]
  readonly keys: readonly EntryKey[]
}
