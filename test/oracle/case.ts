import type { Step } from './generate-history.ts'

/** A query that is kept as a view. */
export interface CaseView {
  /** `o.v1`. */
  readonly name: string
  readonly sql: string
  /** SQL leaves a choice of results: only the determinised query can be compared. */
  readonly choice: boolean
  readonly featured: string
  readonly constructs: readonly string[]
}

/** Everything that is needed to see a mismatch again, in plain SQL. */
export interface OracleCase {
  /** What makes the tables, the types and the ordinary views. */
  readonly schema: readonly string[]
  readonly data: readonly string[]
  readonly views: readonly CaseView[]
  /** One after the other: each ends with every transaction ended, and a refresh. */
  readonly histories: readonly (readonly Step[])[]
}

/** How a view did over a history. */
export interface ViewOutcome {
  readonly view: CaseView
  /**
   * `exact`: equal to its query after every refresh. `discarded`: the query itself fails on its rows, is slow, or has
   * grown large. `refused`: the plan would not take it. `failed`: a refresh of it raised. `mismatch`: the rows differ.
   */
  readonly outcome: 'exact' | 'discarded' | 'refused' | 'failed' | 'mismatch'
  readonly strategy: string
  /** The reason of a fallback, or what went wrong. */
  readonly detail: string
  /** Most rows that it had at a comparison. */
  readonly rowsMax: number
  readonly comparisons: number
  /** Refreshes that were done from what changed alone. */
  readonly incremental: number
  /** Histories over which it was equal to the end: that many cases. */
  readonly histories: number
  /** The refresh that was its last, from 0, within the history after those. */
  readonly refresh: number
}

/** Statements that must have written in a history for it to count. */
export const historyStatementsMin = 20

/** What was done in a history, or in several. */
export interface HistoryFacts {
  readonly histories: number
  /** Statements that wrote and succeeded, in all and in the history with fewest. */
  readonly written: number
  readonly writtenMin: number
  /** Those written while another session was within a transaction. */
  readonly overlapping: number
  /** Statements that failed, by SQLSTATE. */
  readonly failed: Readonly<Record<string, number>>
  readonly refreshes: number
  /** Refreshes while some session was within a transaction that had written. */
  readonly refreshesBesideOpen: number
  /** Most sessions that were within a transaction at once. */
  readonly openMax: number
  readonly committed: number
  readonly rolledBack: number
  readonly rolledBackTo: number
  readonly serializable: number
  readonly repeatableRead: number
}

export interface BatchOutcome {
  readonly views: readonly ViewOutcome[]
  readonly facts: HistoryFacts
}
