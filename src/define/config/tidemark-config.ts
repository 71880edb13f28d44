/** A span of time with its unit: `'500ms'`, `'5m'`, `'1h 30m'`, `'2d'`. Units: ms, s, m, h, d, w. */
export type DurationText = string

/** A size with its unit, as PostgreSQL writes it: `'512MB'`, `'1GB'`. */
export type SizeText = string

/** A table or view: `'public.orders'`, or `'orders'` for one in schema public. Case is significant. */
export type RelationText = string

/** A day of the week. */
export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun'

/** The working time of a place: local days and hours of a zone, less its holidays. */
export interface CalendarConfig {
  /** Time zone by its IANA name: `'America/Mexico_City'`. */
  readonly zone: string
  /** Working days: a range `'mon-fri'` or a list `['mon', 'wed']`. Default `'mon-fri'`. */
  readonly days?: string | readonly Weekday[]
  /** Local time at which the working day begins: `'09:00'`. */
  readonly from: string
  /** Local time at which the working day ends, later than `from`: `'18:00'`; `'24:00'` is midnight. */
  readonly to: string
  /** Local dates that are no working days: `['2026-12-25']`. */
  readonly holidays?: readonly string[]
}

/** Which database, and what Tidemark may do there. */
export interface DatabaseConfig {
  /**
   * Where the database is: `env('MY_DATABASE_URL')`. Default: the environment variable
   * `TIDEMARK_DATABASE_URL`, else `DATABASE_URL`. Never printed.
   */
  readonly url?: string
  /** Role that runs the engine; it is granted exactly what it needs. Default: the role that applies. */
  readonly runtimeRole?: string
  /** Roles that may read status and freshness. */
  readonly readerRoles?: readonly string[]
  /** A change log beyond this size lets the idlest view go, to be rebuilt later. Default `'1GB'`. */
  readonly maxLogSize?: SizeText
  /** Time zone that is pinned for every refresh; schedules without a zone use it too. Default `'UTC'`. */
  readonly timeZone?: string
}

/** A target that is tighter in business hours. */
export interface BusinessTargetConfig {
  /** Target within the business hours. */
  readonly inside: DurationText
  /** Target at all other times. */
  readonly outside: DurationText
  /** The name of a calendar, or the hours themselves. */
  readonly businessHours: string | CalendarConfig
}

/** A cron schedule with its options. */
export interface ScheduleConfig {
  /** Name of the schedule, unique over all views. Default: the view and a number. */
  readonly name?: string
  /** When: minute, hour, day of month, month, day of week; `'0 * * * *'` is every full hour. */
  readonly cron: string
  /** Time zone of the expression. Default: that of the business hours, else `database.timeZone`. */
  readonly zone?: string
  /** Fire only within these hours: the name of a calendar, or the hours themselves. */
  readonly businessHours?: string | CalendarConfig
  /** Times missed for at most this long are caught up by one run; older ones not. Default `'1h'`. */
  readonly catchUpWithin?: DurationText
  /** How soon it is served; `critical` has a worker kept free for it. Default `'normal'`. */
  readonly lane?: 'critical' | 'normal' | 'background'
  /** Refresh even when no source has changed. Default false. */
  readonly force?: boolean
}

/** A rule that asks for a refresh when a row of a source changes. */
export interface EventConfig {
  /** Name of the rule, unique over all views. Default: the view, the source and a number. */
  readonly name?: string
  /** The table whose changes are looked at. */
  readonly on: RelationText
  /** SQL condition over the columns of the row: `'monto_total >= 10000'`. Default: every row. */
  readonly when?: string
  /** Which changes count. Default `['insert', 'update']`. */
  readonly changes?: readonly ('insert' | 'update' | 'delete')[]
  /** How soon the refresh is served. Default `'normal'`. */
  readonly priority?: 'critical' | 'normal' | 'background'
  /** Events of this span make one refresh; `'0s'` asks at once. Default `'0s'`. */
  readonly batch?: DurationText
}

/** Who may ask for a refresh by hand, and how often. */
export interface RefreshByConfig {
  /** Roles that may. Default: every caller. */
  readonly roles?: readonly string[]
  /** How many times an hour, all callers together. Default: no limit. */
  readonly perHour?: number
}

/** What views share unless they say otherwise. */
export interface DefaultsConfig {
  /** How stale a view may become. Default `'5m'`. */
  readonly target?: DurationText | BusinessTargetConfig
  /** Staleness beyond this is `very_stale`. Default: twice the target. */
  readonly veryStaleAfter?: DurationText
  /** When a view is refreshed on its own. Default `'deadline'`. */
  readonly policy?: 'deadline' | 'eager' | 'budget'
  /** Busy time an hour that policy `budget` may spend. */
  readonly budget?: DurationText
  /** Whether a refresh checks itself: never, some groups of the view, or all of it every time. Default `'off'`. */
  readonly verify?: 'off' | 'sample' | 'full'
  /** Who may ask for a refresh by hand, and how often. */
  readonly refreshBy?: RefreshByConfig
  /** `'source'`: keep a live view of the same query for readers when the view is not fresh. Default `'none'`. */
  readonly fallback?: 'none' | 'source'
  /** A refresh that runs longer is cancelled. Default: ten minutes, or ten times what it usually takes. */
  readonly timeout?: DurationText
}

/** The partition key of a view: a refresh computes the partitions afresh in which something changed. */
export interface PartitionConfig {
  /** A column of the result, such as `'day'`. */
  readonly by: string
  /**
   * The same key over the columns of the tables that have it: `{ orders: 'created_at::date' }`. Rows of the view with a
   * key must depend on rows of these tables with that key alone. Default: found in the query, and proven.
   */
  readonly sources?: Readonly<Record<string, string>>
}

/** A view that is kept within its target. Exactly one of `sql`, `file` and `adopt` says what it is. */
export interface ViewConfig {
  /** The query, one SELECT. */
  readonly sql?: string
  /** A file with the query, relative to the configuration file: `'sql/sales.sql'`. */
  readonly file?: string
  /** An existing materialized view that Tidemark takes over under its own name. */
  readonly adopt?: RelationText
  /**
   * `'view'`: a plain view on a table of results; readers are never blocked.
   * `'table'`: an ordinary table, for publications, realtime services and policies.
   * `'matview'`: a materialized view as PostgreSQL has it. Default `'view'`.
   */
  readonly as?: 'view' | 'table' | 'matview'
  /** How the result is kept up to date; `'auto'` chooses. Default `'auto'`. */
  readonly maintain?: 'auto' | 'incremental' | 'partition' | 'full'
  /**
   * `'approximate'`: sums and averages of floats are those of their values as decimals of 15 digits, so that they are added to
   * and taken from instead of recomputed for each group that changed. Default `'exact'`.
   */
  readonly floatSums?: 'exact' | 'approximate'
  /** By which column a view is kept up partition by partition. Default: by one that is found, if any. */
  readonly partition?: PartitionConfig
  /** How stale the view may become: `'1m'`, or a tighter target in business hours. Default `'5m'`. */
  readonly target?: DurationText | BusinessTargetConfig
  /** Staleness beyond this is `very_stale`. Default: twice the target. */
  readonly veryStaleAfter?: DurationText
  /**
   * When the view is refreshed on its own. `'deadline'`: as rarely as the target allows;
   * `'eager'`: as soon as something changed; `'budget'`: as fresh as `budget` allows. Default `'deadline'`.
   */
  readonly policy?: 'deadline' | 'eager' | 'budget'
  /** Busy time an hour that policy `budget` may spend: `'30s'`. */
  readonly budget?: DurationText
  /** Whether a refresh checks itself: never, some groups of the view, or all of it every time. Default `'off'`. */
  readonly verify?: 'off' | 'sample' | 'full'
  /** Views of one group are refreshed at one snapshot. Default: with the views that it feeds on. */
  readonly group?: string
  /** Columns that identify a row. Default: inferred from the query. */
  readonly key?: readonly string[]
  /** Primary key of the table, with `as: 'table'`; without `key` also the columns that identify a row. */
  readonly primaryKey?: readonly string[]
  /** Tables that functions in the query read, which PostgreSQL cannot tell; `[]` says that they read none. */
  readonly reads?: readonly RelationText[]
  /** Indexes: `'(region, day)'`, `'unique (day)'`, `'using gin (tags)'`. */
  readonly indexes?: readonly string[]
  /** Cron schedules, beside the target: `'0 6 * * *'`, or an object with its options. */
  readonly schedules?: readonly (string | ScheduleConfig)[]
  /** Changes that ask for a refresh at once or in batches. */
  readonly events?: readonly EventConfig[]
  /** Who may ask for a refresh by hand, and how often. */
  readonly refreshBy?: RefreshByConfig
  /** `'source'`: keep a live view of the same query for readers when the view is not fresh. Default `'none'`. */
  readonly fallback?: 'none' | 'source'
  /** A refresh that runs longer is cancelled. Default: ten minutes, or ten times what it usually takes. */
  readonly timeout?: DurationText
}

/** How the commits to a table are captured. */
export interface SourceConfig {
  /**
   * `'marks'`: that a transaction changed the table. `'rows'`: also which rows.
   * `'auto'`: what the views need. Default `'auto'`.
   */
  readonly capture?: 'auto' | 'marks' | 'rows'
}

/** Changes are told apart by what a query finds, where the changed row itself does not have it. */
export interface LookupConfig {
  /** With `$column` for columns of the changed row: `'select id as user_id from usuarios where email = $email_agente'`. */
  readonly lookup: string
}

/** By what changes of a table or view are told apart. */
export type ToldApart = readonly string[] | readonly (readonly string[] | LookupConfig)[]

/** What the caches of one namespace depend on, outside of the database. */
export interface CacheConfig {
  /**
   * Tables and views, each with the columns by whose values its changes are told apart: `['tenant_id']`, several such
   * lists, or `[]` where it matters only that it changed; `{ lookup }` where the value stands elsewhere.
   */
  readonly dependsOn: Readonly<Record<RelationText, ToldApart>>
  /** How long invalidations are kept for nodes that come late; who comes later forgets everything. Default `'1h'`. */
  readonly retain?: DurationText
  /** Roles that may poll and invalidate. Default: whoever applies, and nobody else. */
  readonly roles?: readonly string[]
}

/** Which rows of a cache table a change of another table makes untrue. */
export interface CacheRuleConfig {
  /** The table whose changes count. */
  readonly on: RelationText
  /** Updates count only where one of these columns changed. Default: whatever changed. */
  readonly columns?: readonly string[]
  /** Columns of the cache's key, each with the column that has its value: `{ user_id: 'usuario_id' }`. */
  readonly key?: Readonly<Record<string, string>>
  /** A query for columns of the key, with `$column` for the changed row: `'select id as user_id from usuarios where email = $email_agente'`. */
  readonly lookup?: string
}

/** A table of your own that is used as a cache. */
export interface CacheTableConfig {
  /** Columns that identify a row. */
  readonly key: readonly string[]
  /** Rows older than this are cleaned away; needs `updatedAt`. Default: they do not age. */
  readonly ttl?: DurationText
  /** The column that says when a row was computed, a `timestamptz` or `timestamp`. */
  readonly updatedAt?: string
  /** What empties which rows. */
  readonly rules: readonly CacheRuleConfig[]
  /** Views of Tidemark that a fill reads: nothing is filled from one that lacks the write. */
  readonly views?: readonly RelationText[]
  /** A fill that takes longer is refused. Default `'5m'`. */
  readonly fillWithin?: DurationText
  /** A row written without a fill is left out (`'skip'`) or an error (`'refuse'`). Default `'skip'`. */
  readonly unfenced?: 'skip' | 'refuse'
  /** Further paths by which the HTTP cleaner (`tidemark/http`) cleans it: `'/api/cron/clean-campaign-cache'`. */
  readonly paths?: readonly string[]
  /** Roles that may fill and clean. Default: whoever applies, and nobody else. */
  readonly roles?: readonly string[]
}

/** When an engine without work stops asking. */
export interface IdleConfig {
  /** Send no query after this long without a change, so that a database that sleeps may do so. */
  readonly after: DurationText
}

/** How `tidemark up` works. */
export interface EngineConfig {
  /** Refreshes at a time, 1 to 64. Default 2. */
  readonly workers?: number
  /** How often it looks for changes, from `'10ms'` to `'1m'`. Default `'250ms'`. */
  readonly poll?: DurationText
  /** Lets a database sleep. Default: never. */
  readonly idle?: IdleConfig
}

/** The whole of `tidemark.config.ts`, as {@link defineConfig} takes it. */
export interface TidemarkConfig {
  /** Where editors find the JSON schema; for `tidemark.config.json`. */
  readonly $schema?: string
  /** Which database, and what Tidemark may do there. */
  readonly database?: DatabaseConfig
  /** What views share unless they say otherwise. */
  readonly defaults?: DefaultsConfig
  /** Business hours by name, for schedules and targets. */
  readonly calendars?: Readonly<Record<string, CalendarConfig>>
  /** Tables by name. Those that views read need no entry. */
  readonly sources?: Readonly<Record<string, SourceConfig>>
  /** Views by name. */
  readonly views: Readonly<Record<string, ViewConfig>>
  /** Namespaces of caches outside of the database, and what they depend on. */
  readonly caches?: Readonly<Record<string, CacheConfig>>
  /** Tables that are used as caches. */
  readonly cacheTables?: Readonly<Record<string, CacheTableConfig>>
  /** How `tidemark up` works. */
  readonly engine?: EngineConfig
}
