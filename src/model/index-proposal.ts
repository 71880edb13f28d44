import type { RelationName } from './ids.ts'

/** An index of a user's table that refreshes would look rows up by. */
export interface IndexProposal {
  readonly table: RelationName
  /** Columns or expressions, as SQL, with the direction where it matters. */
  readonly columns: readonly string[]
  /** `create index concurrently on public.orders (customer_id)`. */
  readonly sql: string
  /** What is looked up by it, each in a few words. */
  readonly uses: readonly string[]
  /** Rows of the table as PostgreSQL estimates them; null when it was never analysed. */
  readonly rows: number | null
}

/** What is known of a table in which rows would be looked up. */
export interface LookupTable {
  readonly name: RelationName
  readonly rows: number | null
  /** An index of it cannot be created concurrently. */
  readonly partitioned: boolean
  /** Of each index that finds rows by equality: its first column or expression, as the server prints it. */
  readonly indexed: readonly string[]
  /** How many different values a column has, as PostgreSQL estimates them. */
  readonly distinct: ReadonlyMap<string, number>
}

/** In a table of fewer rows than this an index gains next to nothing. */
export const indexedRowsMin = 10_000
