import type { SelectStmt } from 'libpg-query'
import type { ScanTarget } from './relation.ts'

/** A table, or a maintained view, that a query may read. */
export interface ReadableTable {
  readonly target: ScanTarget
  readonly columns: readonly {
    readonly name: string
    readonly notNull: boolean
    /** A domain as the type that it restricts; with the schema, where that is not pg_catalog. */
    readonly type: string
  }[]
  /** All its columns in order, those too that the query does not read: an alias renames by position. */
  readonly allColumns: readonly string[]
  /** The columns that are worth reading; null when that is not known yet. */
  readonly used: ReadonlySet<string> | null
  /** Sets of columns that are unique and not null. */
  readonly keys: readonly (readonly string[])[]
}

/** What the binder has to know beside the text of a query. All names as the server prints them: `public.orders`. */
export interface BindFacts {
  readonly tables: ReadonlyMap<string, ReadableTable>
  /** Ordinary views, to be looked into. */
  readonly views: ReadonlyMap<
    string,
    { readonly columns: readonly string[]; readonly select: SelectStmt }
  >
  /** Aggregate functions that are called; those of pg_catalog without their schema. */
  readonly aggregates: ReadonlySet<string>
  /** Functions that are called and return sets. */
  readonly setReturning: ReadonlySet<string>
}

/** The tables of a set of names. */
export const tableOf = (
  facts: BindFacts,
  schema: string | undefined,
  name: string,
): ReadableTable | undefined => facts.tables.get(`${schema ?? 'pg_catalog'}.${name}`)
