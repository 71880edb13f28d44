import { partsOf } from '../../model/ids.ts'
import type { RelationName } from '../../model/ids.ts'
import type { Binding } from './scope.ts'
import { columnOf } from '../algebra/expression.ts'
import type { Expression } from '../algebra/expression.ts'
import type {
  CopiedTarget,
  MemberTarget,
  Relation,
  Scan,
  ScanTarget,
  Whole,
} from '../algebra/relation.ts'
import { columnsOf, targetName } from '../algebra/relation.ts'

/**
 * Something of which no log says which rows changed: a materialized view that Tidemark does not maintain, of which nobody tells
 * that it changed at all; or a table of a tree, by ONLY or by the name of a partition, where it is known that something
 * changed, and not in which table. It is a stage of its own: its rows are stored, and a refresh takes what is there by
 * then, less what is stored, for what changed. That is exact at the snapshot of the refresh, whoever wrote it how.
 * However often it is read, there is one stage.
 */
export function storedRead(
  binding: Binding,
  scan: Scan,
  of: CopiedTarget | MemberTarget,
): Relation {
  const name = targetName(of)
  const stage = binding.stored.get(name) ?? wholeOf(binding, scan, of)
  binding.stored.set(name, stage)
  const columns = columnsOf(stage).map((id, at) => ({
    id: scan.columns[at]?.id ?? binding.fresh(id),
    expression: columnOf(id),
  }))
  return { kind: 'project', input: stage, columns }
}

function wholeOf(binding: Binding, scan: Scan, of: CopiedTarget | MemberTarget): Whole {
  const only = of.kind === 'member' && of.only
  const { schema: schemaname, name: relname } = partsOf(of.kind === 'member' ? of.member : of.name)
  const read: Scan = {
    ...scan,
    columns: scan.columns.map((column) => ({ ...column, id: binding.fresh(column.name) })),
  }
  // Rows that are only counted are stored as something.
  const values: readonly Expression[] =
    scan.columns.length === 0
      ? [{ A_Const: { boolval: { boolval: true } } }]
      : scan.columns.map((column) => columnOf(column.name))
  return {
    kind: 'whole',
    query: {
      SelectStmt: {
        targetList: values.map((val) => ({ ResTarget: { val } })),
        fromClause: [{ RangeVar: { schemaname, relname, inh: !only, relpersistence: 'p' } }],
        limitOption: 'LIMIT_OPTION_DEFAULT',
        op: 'SETOP_NONE',
      },
    },
    reads: [read],
    columns: values.map((_, at) => binding.fresh(scan.columns[at]?.name ?? 'present')),
    refused: null,
    copies: true,
  }
}

/** A table without those below it. */
export const onlyOf = (target: ScanTarget, member: RelationName): ScanTarget =>
  target.kind === 'source' || target.kind === 'member'
    ? { kind: 'member', name: target.name, member, only: true }
    : target
