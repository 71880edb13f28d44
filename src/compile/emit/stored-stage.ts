import type { ColumnType } from '../../model/view.ts'
import { declared } from '../algebra/accumulate.ts'
import type { Assembly } from './assemble.ts'
import { listText, newAssembly } from './assemble.ts'
import type { BindFacts } from '../algebra/facts.ts'
import type { GroupTables } from './accumulate.ts'
import { emitDelta } from './delta.ts'
import type { Statement, TargetNames } from './relation.ts'
import { expressionText, indented, newStatement } from './relation.ts'
import type { Restriction } from './restriction.ts'
import { foundFirst, sameValue } from './restriction.ts'
import type { Expression } from '../algebra/expression.ts'
import type { Output } from '../algebra/relation.ts'
import { clocksIn, scansIn } from '../algebra/relation.ts'
import { sqlName } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'

/** A column of the table that holds a stage. */
export interface StoredColumn {
  /** The id of what is stored in it. */
  readonly id: string
  readonly name: string
  readonly type: ColumnType
}

/** What the groups of a view are told apart by. */
export interface GroupCheck {
  /** Columns that the view shows; by their ids, parts of the key of the stage. */
  readonly columns: readonly StoredColumn[]
  /** A group are rows that look alike, and these are the columns by which they may be found. */
  readonly byImage: boolean
  /** The column by which the stored rows of a group are found; null where more is in it than in the columns. */
  readonly hash: string | null
}

/** A stage with the table that holds it. */
export interface StoredStage {
  readonly stage: Stage
  /** The table, as SQL. */
  readonly table: string
  /** The outputs of the stage, in order. */
  readonly outputs: readonly StoredColumn[]
  /** Parts of the key that are no output, after them. */
  readonly hiddenKey: readonly StoredColumn[]
  /** The names of the columns that have the key, in its order. */
  readonly keyNames: readonly string[]
  /** The column that has the hash of the key, or of the whole row; null where all rows have one key. */
  readonly hash: string | null
  /** Composite type of a change of it (outputs and weight); null when nobody asks for its changes. */
  readonly changeType: string | null
  /** Types of the parts of the key. */
  readonly keyTypes: readonly ColumnType[]
  /** Composite type of its keys and their hash; null where all rows have one key. */
  readonly keyType: string | null
  /** The variable that has its changes. */
  readonly changes: string
  /** The groups by which it is kept up; null where rows are computed afresh instead. */
  readonly groups: GroupTables | null
  /** The table has unique indexes of the user's. */
  readonly uniqueIndexes: boolean
  /** Of its table, beside that on the hash: `using …`. */
  readonly indexes: readonly string[]
  /** One of these begins with the columns of the key, none of which is ever NULL: there is no index on the hash. */
  readonly foundByKey: boolean
  /** Columns by which rows are paired to be changed in place, where the key of the stage is that of many rows. */
  readonly pairedBy: readonly string[] | null
  /** How refreshes check groups of the view; null for other stages, and where none can be computed alone. */
  readonly check: GroupCheck | null
}

/** What the emitters of stages share. */
export interface StageContext {
  readonly names: TargetNames
  readonly facts: BindFacts
}

/** A statement in the making, over the sources and stages of a program. */
export const statementOf = (
  { names, facts }: StageContext,
  assembly: Assembly | null = null,
): Statement => newStatement(names, facts, emitDelta, assembly)

/**
 * What is left out of a statement over changes of the inputs of a stage, where there are several of them. Not where the
 * clock is asked: the variable that says what it was stands anywhere in the text.
 */
export function assemblyOf({ core }: Stage): Assembly | null {
  const targets = new Set(
    scansIn(core).map(({ of }) => (of.kind === 'stage' ? of.number : of.name)),
  )
  const stands = targets.size < 2 || core.kind === 'partition' || clocksIn(core).length > 0
  return stands ? null : newAssembly()
}

/** Columns of the table beside the hash. */
export const storedColumns = ({ outputs, hiddenKey }: StoredStage): readonly StoredColumn[] => [
  ...outputs,
  ...hiddenKey,
]

/** Columns by whose hash rows of a stage are paired; null where not all that would serve have a hash. */
export function pairingColumns(stored: StoredStage): readonly string[] | null {
  const { stage, pairedBy, hash } = stored
  if (pairedBy !== null) return pairedBy
  if (stage.unique && hash !== null) return [hash]
  const all = storedColumns(stored)
  return all.length > 0 && all.every(({ type }) => type.hashable)
    ? all.map(({ name }) => name)
    : null
}

/** Whether rows of a stage that change are written where they stand: not under unique indexes, which look at each row in turn. */
export const isRewritten = ({ stage, pairedBy, uniqueIndexes }: StoredStage): boolean =>
  (stage.unique || pairedBy !== null) && !uniqueIndexes

/** The columns of the table over those of the core: name and expression, both as SQL. */
export function tableColumnsOf(
  stored: StoredStage,
): readonly { readonly name: string; readonly sql: string; readonly type: ColumnType }[] {
  const { stage } = stored
  const expressions: readonly Output[] = [...stage.outputs, ...stage.key]
  return storedColumns(stored).map(({ id, name, type }) => {
    const expression: Expression | undefined = expressions.find(
      (each) => each.id === id,
    )?.expression
    const sql = expression === undefined ? 'null' : expressionText(expression)
    return { name: sqlName(name), sql, type }
  })
}

/** `expression as "name", …`: the columns of the table over those of the core. */
export const tableList = (stored: StoredStage): string =>
  tableColumnsOf(stored)
    .map(({ name, sql }) => `${sql} as ${name}`)
    .join(', ')

/** The queries of WITH of a statement: changes of relations, and its own. */
export function withText({ assembly, ctes }: Statement, own: readonly string[]): string {
  const deltas = ctes.map(({ name, gate, sql }) => ({
    gate,
    sql: `${name} as (\n${indented(sql)}\n)`,
  }))
  const parts = [...deltas, ...own.map((sql) => ({ gate: null, sql }))]
  // All of them may be left out, and WITH needs one: nobody reads it, so that it costs nothing.
  if (own.length === 0) parts.push({ gate: null, sql: 'nothing as (select)' })
  return `with\n${indented(listText(assembly, parts, ',\n'))}`
}

/**
 * The condition that a row of the table, `s`, has the key of a group, which has it under the names of the stage's key, and
 * its hash as `hashOf`.
 */
export function sameKey(
  { stage, keyNames, keyTypes, hash, foundByKey }: StoredStage,
  group: string,
  hashOf: string,
): string {
  const parts = keyNames.map((name, at) => {
    const [own, other] = [`s.${sqlName(name)}`, `${group}.${sqlName(stage.key[at]?.id ?? '')}`]
    return foundByKey
      ? `${own} = ${other}`
      : sameValue(own, other, keyTypes[at] ?? { equality: null })
  })
  const byHash = foundByKey ? [] : [`s.${sqlName(hash ?? 'hash')} = ${group}.${hashOf}`]
  return [...byHash, ...parts].join('\n  and ')
}

/** The variables that have what a refresh of a stage says: rows that came, changed and went, and the changes where somebody asks for them. */
export const resultVariables = (stored: StoredStage): string =>
  ['came', 'altered', 'went', ...(stored.changeType === null ? [] : [stored.changes])].join(', ')

const keysVariable = '"keys of stage %"'

/** The variables that have the keys of a stage: those without NULL, and those with one. */
export function keyVariables({ stage }: StoredStage): {
  readonly keys: string
  readonly keysWithNull: string
} {
  const keys = keysVariable.replace('%', String(stage.number))
  return { keys, keysWithNull: keys.replace('"keys', '"null keys') }
}

/** The keys of a stage as they are looked up. */
export const restrictionOf = (stored: StoredStage): Restriction | null => {
  if (stored.stage.key.length === 0) return null
  const { keys, keysWithNull } = keyVariables(stored)
  return {
    keys: `unnest(${keys})`,
    keysWithNull: `unnest(${keysWithNull})`,
    gate: `${keysWithNull} is not null`,
    values: (at) => valuesVariable(stored.stage, at),
  }
}

const valuesVariable = ({ number }: Stage, at: number): string =>
  `"values of key ${String(at + 1)} of stage ${String(number)}"`

/** Of more values of a part of a key than this, rows are not found by them: PostgreSQL looks at each when it plans. */
const valuesMax = 1000

/** The parts of the key of a stage by which rows of one table are found first, with the variables that have their values. */
const valuesOf = (
  { names }: StageContext,
  { stage }: Pick<StoredStage, 'stage'>,
): readonly { readonly id: string; readonly variable: string; readonly type: ColumnType }[] => {
  if (stage.linear || stage.core.kind === 'partition') return []
  const first = new Set(inputKeys(stage).flatMap((side) => foundFirst(side, names.typeOf)))
  return stage.key.flatMap(({ id, expression }, at) =>
    first.has(at)
      ? [{ id, variable: valuesVariable(stage, at), type: names.typeOf(expression) }]
      : [],
  )
}

/** Declarations of the program. */
export const valuesDeclarations = (context: StageContext, stored: StoredStage): readonly string[] =>
  valuesOf(context, stored).map(
    ({ variable, type }) => `${variable} ${declared({ ...type, type: `${type.type}[]` })};`,
  )

/** Statements that fill these variables from the keys that are to be looked up. */
export function valuesStatements(context: StageContext, stored: StoredStage): readonly string[] {
  const { keys } = keyVariables(stored)
  return valuesOf(context, stored).map(
    ({
      id,
      variable,
    }) => `-- The values of a part of the keys, by which rows of its table are found first.
${variable} := array(select distinct k.${sqlName(id)} from unnest(${keys}) as k limit ${String(valuesMax + 1)});
if cardinality(${variable}) > ${String(valuesMax)} then
  ${variable} := null;
end if;`,
  )
}
