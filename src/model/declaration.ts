import type { RelationName } from './ids.ts'
import type { NamespaceDeclaration } from './journal.ts'
import type { TableCacheDeclaration } from './table-cache.ts'

/** How soon a request is served: `critical` has a worker kept free for it. */
export type Lane = 'critical' | 'normal' | 'background'

/** When a view is refreshed on its own: cheapest within target, freshest, or freshest within a budget. */
export type Policy = 'deadline' | 'eager' | 'budget'

/** What checks a refresh makes of itself: none, now and then, or every time. */
export type Verify = 'off' | 'sample' | 'full'

/** What happens to rows of a source. */
export const changeKinds = ['insert', 'update', 'delete'] as const

/** A row change of a source: one of {@link changeKinds}. */
export type ChangeKind = (typeof changeKinds)[number]

/** The working time of a place: local days and hours of a zone, less its holidays. */
export interface BusinessHours {
  /** IANA name, `America/Mexico_City`. */
  readonly zone: string
  /** Days of the week, 1 = Monday … 7 = Sunday. */
  readonly days: readonly number[]
  /** Local time of day, `HH:MM`, inclusive. */
  readonly from: string
  /** Local time of day, `HH:MM`, exclusive; `24:00` is the end of the day. */
  readonly to: string
  /** Local dates `YYYY-MM-DD` that do not count. */
  readonly holidays: readonly string[]
}

/** A schedule as declared: a cron expression in a zone, perhaps only within business hours. */
export interface ScheduleDeclaration {
  /** Unique over all views; `<view> <n>` unless given. */
  readonly name: string
  readonly cron: string
  readonly zone: string
  readonly businessHours: BusinessHours | null
  /** Missed slots younger than this are caught up by one run; older ones are recorded as missed. */
  readonly catchUpWithinMs: number
  readonly lane: Lane
  /** Refresh even when no source changed. */
  readonly force: boolean
}

/** An event rule as declared: a change of a source that meets `when` asks for a refresh. */
export interface EventDeclaration {
  /** Unique over all views; `<view> <source> <n>` unless given. */
  readonly name: string
  readonly source: RelationName
  /** A condition over the columns of the source, in SQL; see the compiler for what is allowed. */
  readonly when: string
  readonly on: readonly ChangeKind[]
  readonly lane: Lane
  /** Events of this span coalesce into one request; 0 asks at once. */
  readonly batchMs: number
}

/** Where a view's query comes from. */
export type DefinitionSource =
  | { readonly kind: 'sql'; readonly sql: string }
  | { readonly kind: 'file'; readonly path: string; readonly sql: string }
  | { readonly kind: 'adopt'; readonly relation: RelationName }

/** Who may ask for a refresh by hand, and how often. An empty list of roles admits every caller. */
export interface RefreshBy {
  readonly roles: readonly string[]
  readonly perHour: number | null
}

/** The partition key of a view, as declared. */
export interface PartitionDeclaration {
  /** A column of its result. */
  readonly by: string
  /** The same key over the columns of sources, as SQL; none: it is found. */
  readonly sources: ReadonlyMap<RelationName, string>
}

/** A view as declared, with every default filled in. Durations in milliseconds. */
export interface ViewDeclaration {
  readonly name: RelationName
  readonly definition: DefinitionSource
  /**
   * `view`: a view of the user's name on a state table. `table`: an ordinary table of that name, beside the state table.
   * `matview`: a materialized view as it stands.
   */
  readonly as: 'view' | 'table' | 'matview'
  readonly maintain: 'auto' | 'incremental' | 'partition' | 'full'
  /** How sums of floats are kept: recomputed for each group, or added to and taken from as decimals. */
  readonly floatSums: 'exact' | 'approximate'
  readonly targetMs: number
  /** A different target inside business hours; outside them `targetMs` holds. */
  readonly businessTarget: { readonly hours: BusinessHours; readonly targetMs: number } | null
  /** Staleness above this is `very_stale`. */
  readonly veryStaleMs: number
  readonly policy: Policy
  /** Busy seconds an hour that policy `budget` may spend; null for the other policies. */
  readonly budgetSecondsPerHour: number | null
  readonly verify: Verify
  /** Views of one group are refreshed at one snapshot. Null: grouped with the views it feeds on. */
  readonly group: string | null
  /** Columns that identify a row. Null: inferred from the query, else the whole row. */
  readonly key: readonly string[] | null
  /** Primary key of the table that the view is with `as: 'table'`. Null: it has none, and its replica identity is full. */
  readonly primaryKey: readonly string[] | null
  /** Tables that functions in the query read, which the server cannot tell. Null: nobody has said. */
  readonly reads: readonly RelationName[] | null
  /** By which column the view is kept up partition by partition. Null: by one that is found, if any. */
  readonly partition: PartitionDeclaration | null
  /** Index definitions, `(region, day)`; unique ones begin with `unique `. */
  readonly indexes: readonly string[]
  readonly schedules: readonly ScheduleDeclaration[]
  readonly events: readonly EventDeclaration[]
  readonly refreshBy: RefreshBy
  /** `source`: a live view of the same query is kept for readers when this one is not fresh. */
  readonly fallback: 'none' | 'source'
  /** A refresh that runs longer is cancelled. Null: ten minutes, or ten times what it usually takes. */
  readonly timeoutMs: number | null
}

/** A source as declared; sources that views read need no declaration. */
export interface SourceDeclaration {
  readonly name: RelationName
  /** `marks`: that a transaction changed the table. `rows`: also which rows. `auto`: what consumers need. */
  readonly capture: 'auto' | 'marks' | 'rows'
}

/** The whole configuration, validated, with every default filled in. */
export interface Configuration {
  /** The file that it came from, for messages; null when given as a value. */
  readonly path: string | null
  /** Null: from `TIDEMARK_DATABASE_URL`, else `DATABASE_URL`. Never printed. */
  readonly databaseUrl: string | null
  /** Role that runs the engine; granted exactly what it needs. Null: the role that applies. */
  readonly runtimeRole: string | null
  /** Roles that may read status and freshness. */
  readonly readerRoles: readonly string[]
  /** A change log above this many bytes lets the idlest view go. */
  readonly maxLogBytes: number
  /** Settings that a view's result may depend on, pinned for each refresh. */
  readonly timeZone: string
  readonly sources: readonly SourceDeclaration[]
  readonly views: readonly ViewDeclaration[]
  readonly caches: readonly NamespaceDeclaration[]
  readonly cacheTables: readonly TableCacheDeclaration[]
  readonly engine: {
    readonly workers: number
    readonly pollMs: number
    /** Sleep without queries after this long without a change. Null: never. */
    readonly idleAfterMs: number | null
  }
}
