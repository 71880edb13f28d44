import type { ColumnType } from '../../model/view.ts'
import type { Accumulation } from '../algebra/accumulate.ts'
import { accumulationOf, declared } from '../algebra/accumulate.ts'
import type { GroupColumn, GroupTables } from './accumulate.ts'
import { groupCheckOf } from './check.ts'
import {
  groupTable,
  stageChangeType,
  stageChanges,
  stageKeyType,
  stageTable,
  stateTable,
  valueTable,
} from './incremental.ts'
import { groupColumnsWithin } from './own-groups.ts'
import type { Expression } from '../algebra/expression.ts'
import { columnIn } from '../algebra/expression.ts'
import type { IncrementalDraft } from './draft.ts'
import { freeName } from '../syntax/sql-text.ts'
import type { StoredColumn, StoredStage } from './stored-stage.ts'
import type { Stage } from '../algebra/stages.ts'
import { uniqueIn } from '../algebra/unique-columns.ts'
import { treeText } from '../syntax/walk.ts'

/** What has to be known of a query to store its stages. */
export interface Storing {
  readonly typeOf: (expression: Expression) => ColumnType
  /** Numbers of the stages that another one reads. */
  readonly scanned: ReadonlySet<number>
}

/** What follows from what is looked up in a stage. */
type Looked = 'indexes' | 'foundByKey'

/** A stage of a draft with the table that holds it. */
export function storedStage(
  draft: IncrementalDraft,
  stage: Stage,
  { typeOf, scanned }: Storing,
): Omit<StoredStage, Looked> {
  const { wish, stages } = draft
  const { view } = wish
  const last = stages.at(-1) === stage
  const visible = wish.query.columns.map(({ name }) => name)
  const outputs = stage.outputs.map(({ id, expression }, at): StoredColumn => ({
    id,
    name: last ? (visible[at] ?? id) : id,
    type: typeOf(expression),
  }))
  const taken = outputs.map(({ name }) => name)
  const hiddenKey: StoredColumn[] = []
  const keyNames = stage.key.map(({ id, expression }) => {
    const shown = stage.outputs.findIndex(
      (output) =>
        columnIn(output.expression) !== null &&
        treeText(output.expression) === treeText(expression),
    )
    const found = outputs[shown]
    if (found !== undefined) return found.name
    const name = freeName(`tidemark ${id}`, taken)
    hiddenKey.push({ id, name, type: typeOf(expression) })
    return name
  })
  const hash = stage.linear || stage.key.length > 0 ? freeName('tidemark hash', taken) : null
  const uniqueIndexes = last && wish.uniqueIndexes
  const stored = {
    stage,
    table: last ? stateTable(view) : stageTable(stage.number, view),
    outputs,
    hiddenKey,
    keyNames,
    hash,
    keyTypes: stage.key.map(({ expression }) => typeOf(expression)),
    keyType: stage.key.length === 0 ? null : stageKeyType(stage.number, view),
    changeType:
      scanned.has(stage.number) || (last && wish.publishes === true)
        ? stageChangeType(stage.number, view)
        : null,
    changes: stageChanges(stage.number),
    uniqueIndexes,
    pairedBy: pairedBy(draft, stage, outputs),
    check: last ? groupCheckOf({ stage, outputs, keyNames, hash }) : null,
  }
  return { ...stored, groups: groupsOf(draft, stored, typeOf) }
}

/**
 * Columns by which rows are paired, if there is a hash of them: of a partition the key of the view, of windows columns in
 * which no two rows of the input agree, for what windows add to a row often changes and the rest seldom.
 */
function pairedBy(
  { wish, facts }: IncrementalDraft,
  { core, outputs: shown }: Stage,
  outputs: readonly StoredColumn[],
): readonly string[] | null {
  if (core.kind === 'partition') return hashed(wish.key, outputs)
  if (core.kind !== 'window') return null
  const named = uniqueIn(core.input, facts).map((set) =>
    set.map((id) => outputs[shown.findIndex(({ expression }) => columnIn(expression) === id)]),
  )
  const keys = named.map((set) => set.filter((one) => one !== undefined))
  const whole = keys.find((key, at) => key.length === named[at]?.length)
  return hashed(whole?.map(({ name }) => name) ?? null, outputs)
}

function hashed(
  key: readonly string[] | null,
  outputs: readonly StoredColumn[],
): readonly string[] | null {
  const hashable = key?.every((name) =>
    outputs.some((one) => one.name === name && one.type.hashable),
  )
  return hashable === true ? key : null
}

/** Where the groups of a stage are kept that can be kept up by weight. */
function groupsOf(
  { wish: { view }, facts }: IncrementalDraft,
  stored: Omit<StoredStage, 'groups' | Looked>,
  typeOf: (expression: Expression) => ColumnType,
): GroupTables | null {
  const { stage } = stored
  const plan = accumulationOf(stage, { typeOf, facts })
  if (plan === null) return null
  const number = String(stage.number)
  return {
    plan,
    groups: groupTable(stage.number, view),
    values: plan.distinct.map((values) => valueTable(`${number}.${String(values.number)}`, view)),
    within: withinOf(plan, stored),
    keyTypes: stage.key.map(({ expression }) => typeOf(expression)),
  }
}

/** The columns of the table of the stage that have its groups, where each group has a row that is written in place. */
function withinOf(
  plan: Accumulation,
  { stage, outputs, hiddenKey, hash, uniqueIndexes }: Omit<StoredStage, 'groups' | Looked>,
): readonly GroupColumn[] | null {
  if (stage.key.length === 0 || stage.having.length > 0 || uniqueIndexes) return null
  const taken = [...outputs, ...hiddenKey].map(({ name }) => name)
  const shown = (of: string): { readonly name: string; readonly type: string } | null => {
    const calls = plan.results.filter(({ sql }) => sql === of).map(({ id }) => id)
    const at = stage.outputs.findIndex(({ expression }) =>
      calls.some((id) => columnIn(expression) === id),
    )
    const output = outputs[at]
    return output === undefined ? null : { name: output.name, type: declared(output.type) }
  }
  return groupColumnsWithin(plan, shown, (wanted) =>
    freeName(wanted, [...taken, ...(hash === null ? [] : [hash])]),
  )
}
