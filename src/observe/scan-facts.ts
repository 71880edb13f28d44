/** A catalog object by number: what is read in one look belongs together. */
export type Oid = number

/** The server as it answered. */
export interface HeadFact {
  readonly version: string
  readonly database: string
  readonly role: string
  readonly standby: boolean
  readonly tidemark: boolean
  readonly now: Date
  readonly startedAt: Date
  /** Since when rows are counted; null: the server does not say. */
  readonly countedSince: Date | null
  /** Zone of pg_cron's schedules; null where it has no setting: its clocks are UTC. */
  readonly cronZone: string | null
}

/** A materialized view in the catalog. */
export interface ViewFact {
  readonly oid: Oid
  readonly schema: string
  readonly name: string
  readonly owner: string
  readonly ownedByRole: boolean
  readonly readable: boolean
  readonly populated: boolean
  readonly pages: number
  /** Estimated rows; negative: never estimated. */
  readonly tuples: number
  readonly rowsWritten: number | null
  readonly analyzedAt: Date | null
  readonly unique: { readonly name: string; readonly columns: readonly string[] } | null
  readonly readers: readonly { readonly schema: string; readonly name: string }[]
  /** Functions of users in its query; what they read is not in the catalog. */
  readonly functions: readonly Oid[]
}

/** What needs a lock on the view: sizes and definition. */
export interface DetailFact {
  readonly oid: Oid
  readonly tableBytes: number
  readonly indexBytes: number
  readonly definition: string
}

/** That a view reads a relation, perhaps through plain views. */
export interface ReadFact {
  readonly view: Oid
  readonly source: Oid
}

/** A relation that some view reads. */
export interface SourceFact {
  readonly oid: Oid
  readonly schema: string
  readonly name: string
  readonly kind: 'table' | 'partitioned' | 'foreign' | 'matview'
  readonly leaves: readonly Oid[]
  readonly pages: number
  readonly writes: number | null
}

/** A function of a user's, with its source text. */
export interface FunctionFact {
  readonly oid: Oid
  readonly schema: string
  readonly name: string
  readonly arguments: string
  readonly body: string
}

/** A trigger of a user's. */
export interface TriggerFact {
  readonly table: Oid
  readonly tableSchema: string
  readonly tableName: string
  readonly name: string
  readonly function: Oid
  readonly enabled: boolean
  readonly events: readonly string[]
  /** CREATE TRIGGER with its WHEN; null where it has none or could not be read. */
  readonly definition: string | null
}

/** A table of a user's, with the names and kinds of its columns. */
export interface TableFact {
  readonly oid: Oid
  readonly schema: string
  readonly name: string
  readonly pages: number
  readonly tuples: number
  readonly readable: boolean
  readonly columns: readonly { readonly name: string; readonly kind: ColumnKind }[]
}

/** What a column can hold, as far as it matters here. */
export type ColumnKind = 'time' | 'text' | 'number' | 'interval' | 'other'

/** A job of pg_cron in this database. */
export interface JobFact {
  readonly id: number
  readonly name: string | null
  readonly schedule: string
  readonly command: string
  readonly active: boolean
  readonly role: string
}

/** What pg_cron remembers of a job's runs. */
export interface JobRunsFact {
  readonly job: number
  readonly runs: number
  readonly failed: number
  readonly failedInARow: number
  readonly since: Date | null
  readonly medianMs: number | null
  readonly mostMs: number | null
  readonly lastAt: Date | null
  readonly lastMs: number | null
  readonly failureAt: Date | null
  readonly failure: string | null
}

/** A REFRESH that pg_stat_statements has counted. */
export interface StatementFact {
  readonly query: string
  readonly calls: number
  readonly meanMs: number
  readonly mostMs: number
  readonly since: Date | null
}

/** What a log table of the user's says about one view. */
export interface LogFact {
  readonly table: string
  readonly view: string
  readonly runs: number
  readonly failed: number
  readonly since: Date | null
  readonly lastAt: Date | null
  readonly lastMs: number | null
  readonly medianMs: number | null
  readonly mostMs: number | null
}

/** Everything that one look read. Nothing in it is judged yet. */
export interface ScanFacts {
  readonly head: HeadFact
  readonly views: readonly ViewFact[]
  readonly details: ReadonlyMap<Oid, DetailFact>
  readonly exactRows: ReadonlyMap<Oid, number>
  /** What the planner thinks that the query takes. */
  readonly estimatedMs: ReadonlyMap<Oid, number>
  readonly reads: readonly ReadFact[]
  readonly sources: readonly SourceFact[]
  readonly bytes: ReadonlyMap<Oid, number>
  readonly functions: readonly FunctionFact[]
  readonly triggers: readonly TriggerFact[]
  readonly tables: readonly TableFact[]
  readonly jobs: readonly JobFact[]
  readonly jobRuns: ReadonlyMap<number, JobRunsFact>
  readonly statements: readonly StatementFact[]
  readonly logs: readonly LogFact[]
  /** Views that Tidemark keeps already, `schema.name`. */
  readonly managed: ReadonlySet<string>
  readonly notes: readonly string[]
}
