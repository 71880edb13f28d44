import type { Binding } from './scope.ts'
import { columnOf } from '../algebra/expression.ts'
import type { Relation, Scan, Whole } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'

/**
 * A materialized view that Tidemark does not maintain. Nobody tells when it changes, so it is a stage of its own: its rows
 * are stored, and each refresh takes what is there by then, less what is stored, for what changed. That is exact at the
 * snapshot of the refresh, whoever has refreshed it how. However often it is read, there is one stage.
 */
export function copyOf(binding: Binding, scan: Scan): Relation {
  const name = scan.of.kind === 'stage' ? '' : scan.of.name
  const stage = binding.copies.get(name) ?? wholeOf(binding, scan, name)
  binding.copies.set(name, stage)
  return {
    kind: 'project',
    input: stage,
    columns: scan.columns.map(({ id }, at) => ({
      id,
      expression: columnOf(columnsOf(stage)[at] ?? ''),
    })),
  }
}

function wholeOf(binding: Binding, scan: Scan, name: string): Whole {
  const dot = name.indexOf('.')
  const [schemaname, relname] = [name.slice(0, dot), name.slice(dot + 1)]
  const read: Scan = {
    ...scan,
    columns: scan.columns.map((column) => ({ ...column, id: binding.fresh(column.name) })),
  }
  return {
    kind: 'whole',
    query: {
      SelectStmt: {
        targetList: scan.columns.map((column) => ({
          ResTarget: { val: columnOf(column.name) },
        })),
        fromClause: [{ RangeVar: { schemaname, relname, inh: true, relpersistence: 'p' } }],
        limitOption: 'LIMIT_OPTION_DEFAULT',
        op: 'SETOP_NONE',
      },
    },
    reads: [read],
    columns: scan.columns.map((column) => binding.fresh(column.name)),
    refused: null,
    copies: true,
  }
}
