import type { RelationName } from '../model/ids.ts'
import { objectName } from '../model/names.ts'
import { identifier, literal, qualified } from '../postgres/identifier.ts'

/** A column of the key of a cache table. */
export interface KeyColumn {
  readonly name: string
  /** As `format_type` prints it. */
  readonly type: string
}

/** A column of the table of a rule that the rule cannot do without. */
export interface NeededColumn {
  readonly name: string
  readonly attnum: number
  readonly type: string
  /** As SQL, where it is not that of the type. */
  readonly collation: string | null
  /** Its query reads it; others are only watched. */
  readonly read: boolean
}

/** A rule with its tables and columns found. */
export interface BoundCacheRule {
  readonly on: RelationName
  /** In the order of the table. */
  readonly needs: readonly NeededColumn[]
  /** One call a statement; where statements may name another table than the one that changes, one a row. */
  readonly firing: 'statement' | 'row'
  /** Updates count when one of these columns changed; null: whatever changed. */
  readonly columns: readonly string[] | null
  /** Columns of the key that it tells, in the order of the key. */
  readonly known: readonly KeyColumn[]
  /** A query for them over `$1`, a row of the needed columns that it reads. */
  readonly query: string
  /** It may fail on some row: then all of the cache is emptied, and the write goes on. */
  readonly mayFail: boolean
  /** Its source has a change log, by which it is told whether a view reflects a write. */
  readonly captured: boolean
}

/** A table of a user that is a cache. */
export interface TableCache {
  readonly name: RelationName
  readonly key: readonly KeyColumn[]
  readonly rules: readonly BoundCacheRule[]
  readonly views: readonly RelationName[]
  readonly updatedAt: string | null
  readonly ttlMs: number | null
  readonly fillWithinMs: number
  readonly unfenced: 'skip' | 'refuse'
  readonly roles: readonly string[]
  /** Where `updatedAt` has no zone of its own. */
  readonly timeZone: string
}

/** What functions that users' statements call begin with. */
export const definer = 'security definer set search_path = pg_catalog, pg_temp'

const own = (name: string): string => qualified('tidemark', objectName(name))

/** What belongs to a cache table, qualified and quoted; what belongs to a rule, by its number. */
export interface Names {
  readonly barriers: string
  readonly sweep: string
  readonly forget: string
  readonly fence: string
  readonly fillBegin: string
  readonly fillEnd: string
  readonly clean: string
  readonly empty: (n: number) => string
  readonly holder: (n: number) => string
  /** The type of a row of what its query reads. */
  readonly reads: (n: number) => string
  readonly source: (n: number) => string
  readonly keys: (n: number) => string
  /** Without a schema. */
  readonly trigger: (n: number, event: string) => string
}

/** What the objects of a cache table are called. The laws are in sql/migrations/0015-cache-tables.sql. */
export function namesOf(cache: RelationName): Names {
  return {
    barriers: own(`barriers of ${cache}`),
    sweep: own(`sweep ${cache}`),
    forget: own(`forget barriers of ${cache}`),
    fence: own(`fence ${cache}`),
    fillBegin: own(`fill begin ${cache}`),
    fillEnd: own(`fill end ${cache}`),
    clean: own(`clean ${cache}`),
    empty: (n: number): string => own(`empty ${cache} by ${n}`),
    holder: (n: number): string => own(`rule ${n} of cache ${cache}; run tidemark plan`),
    reads: (n: number): string => own(`read by ${n} of ${cache}`),
    source: (n: number): string => own(`source of ${n} of ${cache}`),
    keys: (n: number): string => own(`keys by ${n} of ${cache}`),
    trigger: (n: number, event: string): string =>
      identifier(objectName(`empty ${cache} by ${n} ${event}`)),
  }
}

/** Columns as SQL. */
export const list = (columns: readonly { readonly name: string }[], alias = ''): string =>
  columns.map(({ name }) => `${alias}${identifier(name)}`).join(', ')

/** Sets of key columns that barriers tell; none: everything is untrue. */
export function shapesOf({ rules, key }: TableCache): readonly (readonly KeyColumn[])[] {
  const shapes = new Map(
    rules.map(({ known }) => [known.map(({ name }) => name).join('\u0000'), known] as const),
  )
  shapes.set('', [])
  return [...shapes.values()].map((known) =>
    key.filter(({ name }) => known.some((column) => column.name === name)),
  )
}

/** The lock of the key of a barrier, or of what a shape tells of a key. */
export const hashOf = (cache: TableCache, part: (column: KeyColumn) => string): string =>
  `tidemark.key_hash(${[literal(cache.name), ...cache.key.map(part)].join(', ')})`

/** The lock of all keys. */
export const allKeys = (cache: TableCache): string => hashOf(cache, () => 'null')

/** The lock of the key of a barrier. */
export const barrierHash = (cache: TableCache, alias: string): string =>
  hashOf(cache, ({ name }) => `${alias}.${identifier(name)}::text`)
