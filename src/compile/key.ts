import type { Node, SelectStmt } from 'libpg-query'
import type { ParsedQuery } from './syntax/parse.ts'
import { treeText } from './syntax/walk.ts'

/** What is known of a query's result beside its text. */
export interface ResultFacts {
  /** Names of the output columns, in order. */
  readonly columns: readonly string[]
  /** The outermost SELECT has a function that returns several rows. */
  readonly returnsSets: boolean
}

/**
 * The columns that identify a row of the result, read off the query: those of GROUP BY if every item
 * of it is an output column, all columns after DISTINCT, UNION, INTERSECT or EXCEPT; null if neither.
 *
 * Takes the text that the server printed: there a name of an output column stands for nothing else
 * in GROUP BY, for the server writes the expression in its place.
 * Guarantees: no two rows of the result agree in all of them by SQL equality with NULL equal to NULL.
 * Null says nothing: the result may well have a key that is not seen here.
 */
export function inferKey({ select }: ParsedQuery, facts: ResultFacts): readonly string[] | null {
  if (select.op !== 'SETOP_NONE') return select.all === true ? null : facts.columns
  if (select.distinctClause !== undefined) return distinctKey(select, select.distinctClause, facts)
  if (select.groupClause === undefined || facts.returnsSets) return null
  return outputColumns(select, select.groupClause, facts)
}

/** Plain DISTINCT comes as one empty node; DISTINCT ON as its expressions. */
function distinctKey(
  select: SelectStmt,
  clause: readonly Node[],
  facts: ResultFacts,
): readonly string[] | null {
  const items = clause.filter((item) => Object.keys(item).length > 0)
  return items.length === 0 ? facts.columns : outputColumns(select, items, facts)
}

/** The output columns that the items stand for, each once; null if one of them is no output column. */
function outputColumns(
  select: SelectStmt,
  items: readonly Node[],
  facts: ResultFacts,
): readonly string[] | null {
  const targets = (select.targetList ?? []).flatMap((target) =>
    'ResTarget' in target ? [target.ResTarget] : [],
  )
  // A star not yet expanded: positions would be those of other columns.
  if (targets.length !== facts.columns.length) return null
  const found = new Set<string>()
  for (const item of items) {
    const ordinal = ordinalOf(item)
    const text = treeText(item)
    const at =
      ordinal === null ? targets.findIndex(({ val }) => treeText(val) === text) : ordinal - 1
    const column = facts.columns[at]
    if (column === undefined) return null
    found.add(column)
  }
  return found.size === 0 ? null : [...found]
}

function ordinalOf(item: Node): number | null {
  return 'A_Const' in item ? (item.A_Const.ival?.ival ?? null) : null
}
