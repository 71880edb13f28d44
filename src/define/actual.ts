import { createHash } from 'node:crypto'
import type { RelationName } from '../model/ids.ts'

/** A privilege that somebody has on a relation or column. */
export interface Grant {
  /** A role; `public` for everyone. */
  readonly grantee: string
  readonly privilege: string
  readonly grantable: boolean
}

/** A column of a relation, with all that a copy of it has to carry. */
export interface ColumnFacts {
  readonly name: string
  readonly type: string
  readonly comment: string | null
  /** Statistics target, storage and compression where they differ from the default. */
  readonly statistics: number | null
  readonly storage: string | null
  readonly compression: string | null
  /** Default of a view's column. */
  readonly fallback: string | null
  readonly grants: readonly Grant[]
}

/** An index of a materialized view or table. */
export interface IndexFacts {
  readonly name: string
  readonly unique: boolean
  /** What follows `using ` in its definition: method, columns, predicate. */
  readonly tail: string
  readonly comment: string | null
  readonly tablespace: string | null
  readonly clustered: boolean
  /** Statistics targets of expression columns, by position. */
  readonly statistics: readonly { readonly position: number; readonly target: number }[]
}

/** Extended statistics of a relation. */
export interface StatisticsFacts {
  readonly name: string
  /** `create statistics … from `, without the relation, which follows. */
  readonly head: string
  readonly owner: string
  readonly comment: string | null
  readonly target: number | null
}

/** A relation as the catalog has it, with everything needed to make it again. */
export interface RelationFacts {
  readonly name: RelationName
  readonly kind: 'table' | 'partitioned' | 'view' | 'matview' | 'foreign' | 'other'
  readonly owner: string
  readonly comment: string | null
  readonly options: readonly string[]
  readonly tablespace: string | null
  /** Null when it is the default one. */
  readonly accessMethod: string | null
  /** The query of a view, fully qualified, without the final semicolon. */
  readonly definition: string | null
  readonly populated: boolean
  readonly columns: readonly ColumnFacts[]
  readonly indexes: readonly IndexFacts[]
  readonly statistics: readonly StatisticsFacts[]
  /** Null: what the owner of a new relation has, nothing else. */
  readonly grants: readonly Grant[] | null
  /** Who gets privileges on a relation that the present role creates here, by default privileges. */
  readonly defaultGrantees: readonly string[]
  /** Relations of the same tree of readers that it reads directly. */
  readonly reads: readonly RelationName[]
  /** What hangs on it and cannot be carried over, in PostgreSQL's words. */
  readonly unsupported: readonly string[]
}

/** A relation in scope, with everything that reads it. */
export interface RelationTree {
  readonly relation: RelationFacts
  /** Views and materialized views that read it, directly or not; each after those that it reads. */
  readonly readers: readonly RelationFacts[]
}

/** A row of a catalogue table, as JSON has it. */
export type CatalogueRow = Readonly<Record<string, unknown>>

/** An object that apply made. */
export interface Artifact {
  readonly kind:
    | 'table'
    | 'guard'
    | 'view'
    | 'matview'
    | 'function'
    | 'index'
    | 'key'
    | 'source'
    | 'grant'
    | 'part'
  /** Qualified and quoted, as `to_regclass` and `to_regprocedure` take it. */
  readonly name: string
  readonly ownerNoun: string
  readonly ownerName: string
  /** SQL that brings back what was there before; of a source, SQL that takes capture away. */
  readonly restore: readonly string[]
  readonly digest: string
  /** Whether the object is still there. */
  readonly exists: boolean
}

/** The tables of the catalogue that hold declarations. */
export const declaredTables = [
  'setting',
  'source',
  'refresh_group',
  'view',
  'view_source',
  'view_input',
  'schedule',
  'event_rule',
  'cache',
  'cache_table',
] as const

/** The name of a catalogue table that holds declarations. */
export type DeclaredTable = (typeof declaredTables)[number]

/** What is there: the declarations of the catalogue, and the relations that a plan may touch. */
export interface Actual {
  /** The names that were looked up, whether there is something or not. */
  readonly scope: readonly RelationName[]
  /** The number of the newest migration; null when Tidemark is not installed. */
  readonly version: number | null
  /** Why the database is not the one that was set up: copied, restored, promoted. */
  readonly installationProblem: string | null
  /** The role that asks. */
  readonly role: string
  /** The role that owns the schema `tidemark`; the role that asks where there is none. */
  readonly installer: string
  /** Every role of the server. */
  readonly roles: ReadonlySet<string>
  readonly catalogue: Readonly<Record<DeclaredTable, readonly CatalogueRow[]>>
  readonly artifacts: readonly Artifact[]
  readonly relations: ReadonlyMap<RelationName, RelationTree>
  /** Why capture of a source cannot be believed, by source. */
  readonly captureProblems: ReadonlyMap<string, string>
  /** Views whose query would be bound to other objects now than when its live view was made. */
  readonly movedDefinitions: ReadonlySet<string>
  /** The queries of live views as the server prints them now, by view: bound to objects, they follow renames. */
  readonly liveQueries: ReadonlyMap<string, string>
  /** Of `movedDefinitions` those in which nothing but names is another. */
  readonly renamedDefinitions: ReadonlySet<string>
  /** What refreshes of a view rely on and somebody has altered or dropped, by view; in a copied database nothing. */
  readonly alteredParts: ReadonlyMap<string, readonly string[]>
  /** Objects of users that use Tidemark's own schema, in PostgreSQL's words. */
  readonly outsiders: readonly string[]
}

/** What is known of sizes and durations: it moves by itself and is no part of the digest. */
export interface Measures {
  /** What a refresh takes: from the run log, else estimated; null when nothing is known. */
  readonly refreshMs: ReadonlyMap<RelationName, number | null>
  /** Pages of 8 kB, by relation. */
  readonly pages: ReadonlyMap<RelationName, number>
  /** Commands of pg_cron that refresh a materialized view, as far as they may be read. */
  readonly cronJobs: readonly { readonly id: string; readonly command: string }[]
}

/** Text with which equal values are equal, whatever the order of their keys or members. */
export function canonicalJson(value: unknown): string {
  if (value instanceof Map) return canonicalJson([...value.entries()].sort(byKey))
  if (value instanceof Set) return canonicalJson([...value].sort())
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null)
  const entries = Object.entries(value).sort(byKey)
  return `{${entries.map(([key, held]) => `${JSON.stringify(key)}:${canonicalJson(held)}`).join(',')}}`
}

const byKey = ([one]: [unknown, unknown], [other]: [unknown, unknown]): number =>
  String(one) < String(other) ? -1 : 1

/** Digest of a value; equal for equal values. */
export const digestOf = (value: unknown): string =>
  createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 32)

/**
 * Digest of all that a plan was made from. A plan fits a database as long as this has not moved;
 * what moves by itself (sizes, when something was captured, who paused a schedule) is left out, and so are the roles of the
 * server, which come and go with other databases.
 */
export function catalogDigest(actual: Actual): string {
  const { catalogue, roles, ...rest } = actual
  const still = Object.entries(catalogue).map(([table, rows]) => [
    table,
    rows.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([column]) => !movingColumns.has(column))),
    ),
  ])
  return digestOf({ ...rest, catalogue: still })
}

const movingColumns = new Set([
  'captured_at',
  'cleaned_at',
  'declared_at',
  'failures',
  'fingerprint',
  'lock_key',
  'quarantined_at',
  'quarantine_reason',
  'paused_at',
  'paused_by',
  'pause_reason',
  'active',
])
