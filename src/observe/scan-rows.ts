import type { ScanFacts, TableFact, ViewFact } from './scan-facts.ts'
import type { RowCount } from './scan-report.ts'

/** Rows of a view: counted where that was cheap, else what the statistics say. */
export function viewRows(view: ViewFact, facts: ScanFacts): RowCount | null {
  const exact = facts.exactRows.get(view.oid)
  if (exact !== undefined) return { count: exact, exact: true }
  if (!view.populated) return { count: 0, exact: true }
  return view.tuples < 0 ? null : { count: Math.round(view.tuples), exact: false }
}

/** Rows of a table by the statistics; null where nobody has counted yet. */
export const tableRows = (table: TableFact): RowCount | null =>
  table.tuples < 0 ? null : { count: Math.round(table.tuples), exact: false }
