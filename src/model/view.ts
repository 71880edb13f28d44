import type { RelationName } from './ids.ts'

/** A column of a view's result. */
export interface ResultColumn {
  readonly name: string
  /** As `format_type` prints it, usable in DDL. */
  readonly type: string
  /** As SQL, where it is not that of the type. */
  readonly collation?: string
}

/** A base table and the columns of it that a query reads. */
export interface SourceUse {
  readonly relation: RelationName
  readonly columns: readonly string[]
}

/** A query as the server understood it: names resolved, stars expanded, dependencies known. */
export interface CanonicalQuery {
  /** As `pg_get_viewdef` prints it, without the final semicolon. */
  readonly sql: string
  readonly columns: readonly ResultColumn[]
  /** Base tables read, through ordinary views too. */
  readonly sources: readonly SourceUse[]
  /** Declared views (maintained or materialized) read directly. */
  readonly inputs: readonly RelationName[]
  /** User functions that the query calls and whose reads the server cannot tell. */
  readonly opaqueFunctions: readonly string[]
  /** Calls now(), current_date or the like: the result moves without any commit. */
  readonly timeDependent: boolean
  /** Calls a volatile function: two runs over the same rows may differ. */
  readonly volatile: boolean
  /** The outermost SELECT has a function that returns several rows, so that GROUP BY is no key. */
  readonly returnsSets: boolean
  /** Foreign tables and other relations that cannot be captured. */
  readonly uncaptured: readonly RelationName[]
  /** Of these, materialized views with the columns that are read of them: what changed in one is found by comparing. */
  readonly copied: readonly CopiedView[]
  /** The same of the inputs: one that is given back is a materialized view like those. */
  readonly inputsRead: readonly CopiedView[]
  /** Partitions that are read by their names. */
  readonly parts: readonly NamedPart[]
  /** Ordinary views that are read, with their queries as the server prints them. */
  readonly views: readonly NestedView[]
  /** Sets of columns of tables that are unique and not null. */
  readonly uniques: readonly {
    readonly relation: RelationName
    readonly columns: readonly string[]
  }[]
  /** Aggregate functions that are called, as the server prints their names. */
  readonly aggregates: readonly string[]
  /** Functions that are called and return sets. */
  readonly setReturning: readonly string[]
}

/** A partition that is read by its name; the table that is captured is the root of its tree. */
export interface NamedPart {
  readonly name: RelationName
  readonly root: RelationName
  /** The names of its columns, in its order. */
  readonly allColumns: readonly string[]
}

/** A materialized view that Tidemark does not maintain. */
export interface CopiedView {
  readonly name: RelationName
  /** Those that are read. */
  readonly columns: readonly ResultColumn[]
  /** The names of all, in order. */
  readonly allColumns: readonly string[]
}

/** An ordinary view that a query reads. */
export interface NestedView {
  readonly name: RelationName
  readonly sql: string
  readonly columns: readonly string[]
}

/** What is known of the type of an expression. */
export interface ColumnType {
  /** As `format_type` prints it, usable in DDL. */
  readonly type: string
  /** The collation, as SQL, where it is not that of the type. */
  readonly collation: string | null
  /** Values that are equal look alike: no 1.0 beside 1.00. */
  readonly imageEqual: boolean
  /** How many decimal places each value has, where that is known of a numeric beyond its type. */
  readonly scale?: number
  /** Rows with such a column can be hashed. */
  readonly hashable: boolean
  /** Sums depend on the order in which they are added up. */
  readonly float: boolean
  /** A float whose sums are those of its values as decimals, which depend on no order. */
  readonly addsUp?: boolean
  /** The equality operator that groups are made by, `pg_catalog.=`; null when there is none. */
  readonly equality: string | null
}

/** A view compiled: what to create and the program that refreshes it. */
export interface CompiledView {
  readonly name: RelationName
  readonly query: CanonicalQuery
  /** Equal for two queries that differ in formatting alone. */
  readonly digest: string
  /** Pairing key of the diff; null pairs whole rows. Any pairing is exact, a key makes it small. */
  readonly key: readonly string[] | null
  /** `refresh`: REFRESH MATERIALIZED VIEW. `diff`: full join of the query with the stored rows. */
  readonly method: 'refresh' | 'diff'
  /** Why the strategy is what it is, with the place in the SQL where one is known. */
  readonly reasons: readonly string[]
  /** `create or replace function` of the maintenance program. */
  readonly maintainSql: string
  /** What the program needs beside the state table; null for a view that is computed in full. */
  readonly incremental: IncrementalObjects | null
  /** What it has beside its state when its name is an ordinary table; null when it is not. */
  readonly table: PresentedTable | null
}

/** What a view has beside its state when its name is an ordinary table. */
export interface PresentedTable {
  /** Columns by whose hash rows of the table are found. */
  readonly located: readonly string[]
  /** The index of that hash, as what follows the name of the table; null where no column can be hashed. */
  readonly index: string | null
  /** `create or replace function` of the program that brings the table to the state. */
  readonly presentSql: string
}

/** The objects of a view that is maintained from what changes, beside its state table and its program. */
export interface IncrementalObjects {
  readonly strategy: 'incremental' | 'partition'
  readonly install: readonly string[]
  /** Makes the view of what the view has to hold, by which it is verified. */
  readonly exactView: string
  /** `table x`, `type y`, `view z`: what `drop` takes away again. */
  readonly objects: readonly string[]
  /** Columns of the state table that the user's view does not show. */
  readonly hiddenColumns: readonly string[]
  /** The query as the program computes it: what SQL leaves to choose is chosen. */
  readonly exactSql: string
  /** It publishes what changes in it, for the views that read it. */
  readonly publishes: boolean
  /** The tables and ordinary views of which whole rows are values: with other columns the values are others. */
  readonly rowTypes: readonly RelationName[]
}
