import type { ColumnType, CopiedView, ResultColumn, SourceUse } from '../../model/view.ts'
import type { RelationName } from '../../model/ids.ts'
import { objectName, viewNames } from '../../model/names.ts'
import type { BindFacts } from '../algebra/facts.ts'
import { checkDeclarations, checkStatements } from './check.ts'
import { cutDeclarations, partitionReasons } from './cut.ts'
import { emitDiff, emitVerify } from './diff.ts'
import { emitMaintenance } from './maintain.ts'
import { indented } from './relation.ts'
import type { TargetNames } from './relation.ts'
import { declared } from '../algebra/accumulate.ts'
import { movedText } from '../algebra/clock.ts'
import { buildGroups, buildValues, groupColumns, valueColumns } from './accumulate.ts'
import type { Statement } from './relation.ts'
import { newStatement } from './relation.ts'
import { emitDelta } from './delta.ts'
import type { ReadView } from './inputs.ts'
import { inputChangeType, publishStatements, publishedTable } from './inputs.ts'
import { columnsWithin } from './own-groups.ts'
import type { ReadSource } from './read-changes.ts'
import {
  changesMax,
  readingDeclarations,
  readingStatements,
  sourceChangeType,
  sourceChanges,
  sourceCount,
} from './read-changes.ts'
import { inOrder, knownRows, refillDeclarations, refillStatements, statisticsOf } from './refill.ts'
import { rowsName, rowsViews } from './rows-views.ts'
import { fullSelect, inlineSelect, refreshStatements } from './stage.ts'
import type { Expression } from '../algebra/expression.ts'
import type { ScanTarget } from '../algebra/relation.ts'
import { clocksIn, scansIn, targetName } from '../algebra/relation.ts'
import { dollarQuoted, sqlName, sqlRelation, sqlText } from '../syntax/sql-text.ts'
import type { StageContext, StoredStage } from './stored-stage.ts'
import { isRewritten, keyVariables, pairingColumns, valuesDeclarations } from './stored-stage.ts'

/** What an incremental program is made of. */
export interface IncrementalParts {
  readonly strategy: 'incremental' | 'partition'
  readonly view: RelationName
  readonly sources: readonly ReadSource[]
  readonly stages: readonly StoredStage[]
  readonly facts: BindFacts
  readonly typeOf: (expression: Expression) => ColumnType
  readonly timeZone: string
  /** The visible columns by name: the columns that the user's view has. */
  readonly columns: readonly ResultColumn[]
  /** Key by which a full refresh pairs rows. */
  readonly key: readonly string[] | null
  /** Maintained views that it reads. */
  readonly inputs: readonly ReadView[]
  /** Materialized views of others that it reads. */
  readonly copied: readonly CopiedView[]
  /** Others read it. */
  readonly publishes: boolean
}

/** The objects of an incremental view beside its state table, and the function that refreshes it. */
export interface IncrementalProgram {
  /** The columns of each source that it reads. */
  readonly sources: readonly SourceUse[]
  readonly strategy: 'incremental' | 'partition'
  /** How it is partitioned; nothing for a program that is not. */
  readonly reasons: readonly string[]
  readonly install: readonly string[]
  /** Makes the view of what the view has to hold, by which it is verified. */
  readonly exactView: string
  /** `table x`, `type y`, `view z`: what `drop` takes away again. */
  readonly objects: readonly string[]
  /** Columns of the state table that the user's view does not show. */
  readonly hiddenColumns: readonly string[]
  readonly maintainSql: string
  /** The query as the program computes it, with nothing left to choose. */
  readonly exactSql: string
  /** It publishes what changes in it, for the views that read it. */
  readonly publishes: boolean
  /** The tables and ordinary views of which whole rows are values: with other columns the values are others. */
  readonly rowTypes: readonly RelationName[]
}

const inState = (text: string): string => `tidemark_state.${sqlName(objectName(text))}`

/** A source by the view on its rows; a maintained view by its own name, which stays when it is made anew. */
const readName = (target: Exclude<ScanTarget, { kind: 'stage' }>, view: RelationName): string =>
  target.kind === 'view' ? sqlRelation(target.name) : rowsName(targetName(target), view)

/** The table of a stage that is not the view itself. */
export const stageTable = (number: number, view: RelationName): string =>
  inState(`stage ${String(number)} of ${view}`)

/** The type of a key of a stage. */
export const stageKeyType = (number: number, view: RelationName): string =>
  inState(`key of stage ${String(number)} of ${view}`)

/** The type of a change of a stage. */
export const groupTable = (number: number, view: RelationName): string =>
  inState(`groups ${String(number)} of ${view}`)

/** The table of the values of a stage of which each counts once. */
export const valueTable = (at: string, view: RelationName): string =>
  inState(`values ${at} of ${view}`)

/** The type of a change of a stage. */
export const stageChangeType = (number: number, view: RelationName): string =>
  inState(`change of stage ${String(number)} of ${view}`)

const variable = (text: string): string => sqlName(objectName(text))

/** The variable with the changes of a stage. */
export const stageChanges = (number: number): string =>
  variable(`changes of stage ${String(number)}`)

/** How a maintenance program calls what it reads. */
function programNames(parts: Pick<IncrementalParts, 'view' | 'typeOf'>): TargetNames {
  const { view, typeOf } = parts
  return {
    typeOf,
    rows: (target) =>
      target.kind === 'stage' ? stageTable(target.number, view) : readName(target, view),
    gate: (target) => changedGate(target),
    changes: (target) =>
      target.kind === 'stage' ? stageChanges(target.number) : sourceChanges(target.name),
  }
}

/** SQL that is true when something may have changed in what is read. */
const changedGate = (target: ScanTarget): string =>
  target.kind === 'stage'
    ? `${stageChanges(target.number)} is not null`
    : target.kind === 'copied'
      ? 'true'
      : `${sourceCount(target.name)} > 0`

/** Names by which everything is computed in place, from the rows of sources alone. */
export function inlineNames(
  parts: Pick<IncrementalParts, 'facts' | 'typeOf'>,
  stages: readonly StoredStage['stage'][],
  rows: (target: Exclude<ScanTarget, { kind: 'stage' }>) => string,
): TargetNames {
  // A stage is written into each one that reads it, and these again.
  const written = new Map<number, string>()
  const inlined = (stage: StoredStage['stage']): string =>
    `(\n${indented(inlineSelect({ names, facts: parts.facts }, stage))}\n)`
  const names: TargetNames = {
    typeOf: parts.typeOf,
    changes: () => 'null',
    gate: () => 'false',
    rows: (target) => {
      if (target.kind !== 'stage') return rows(target)
      const stage = stages.find(({ number }) => number === target.number)
      if (stage === undefined) return 'null'
      const known = written.get(stage.number) ?? inlined(stage)
      written.set(stage.number, known)
      return known
    },
  }
  return names
}

/** Writes everything that maintains a view incrementally. */
export function emitIncremental(
  parts: IncrementalParts,
): Omit<IncrementalProgram, 'sources' | 'rowTypes'> {
  const { view, stages } = parts
  const context: StageContext = { names: programNames(parts), facts: parts.facts }
  const root = stages.at(-1)
  if (root === undefined) throw new Error('a view has a stage')
  const exact = inlineSelect(
    {
      names: inlineNames(
        parts,
        stages.map(({ stage }) => stage),
        (target) => readName(target, view),
      ),
      facts: parts.facts,
    },
    root.stage,
  )
  const shown = `select ${root.stage.outputs.map(({ id }, at) => `${sqlName(id)} as ${sqlName(parts.columns[at]?.name ?? id)}`).join(', ')}\nfrom (\n${indented(exact)}\n) as exact`
  const hidden = hiddenColumns(root).map(({ name }) => name)
  const install = [
    ...sourceObjects(parts),
    ...stages.flatMap((stage) => stageObjects(parts, stage)),
    ...(parts.publishes ? [publishedTable({ name: view, columns: parts.columns })] : []),
  ]
  return {
    install,
    exactView: exactView(view, shown),
    objects: objectsIn(install),
    hiddenColumns: hidden,
    exactSql: shown,
    publishes: parts.publishes,
    strategy: parts.strategy,
    reasons: root.stage.core.kind === 'partition' ? partitionReasons(root.stage.core, parts) : [],
    maintainSql: emitMaintenance({
      view,
      timeZone: parts.timeZone,
      comment: `-- Keeps ${view} up to date from what changed. Made by Tidemark; \`tidemark plan\` shows a change made by hand.`,
      // The number of changes is known when a statement is planned, so it is planned for that number.
      settings: [
        'jit = off',
        'max_parallel_workers_per_gather = 0',
        'row_security = off',
        'plan_cache_mode = force_custom_plan',
        // For many keys it would read a whole index in its order, row by row all over the table.
        'enable_mergejoin = off',
        // Statements turn it off for themselves.
        'enable_nestloop = on',
        'join_collapse_limit = 12',
        'from_collapse_limit = 12',
      ],
      declare: declarations(parts, context),
      body: `${programBody(parts, context)}${checking(parts, root)}
  if verify then
${indented(emitVerify({ sql: shown, columns: parts.columns, state: root.table }), '    ')}
    into differing;
  end if;
`,
    }),
  }
}

function declarations(parts: IncrementalParts, context: StageContext): string {
  const { stages, typeOf } = parts
  const lines = [
    ...readingDeclarations(parts),
    ...stages.flatMap(({ changeType, changes }) =>
      changeType === null ? [] : [`${changes} ${changeType}[];`],
    ),
    'came bigint := 0;',
    'altered bigint := 0;',
    'went bigint := 0;',
    ...stages.flatMap((stored) => {
      const { keys, keysWithNull } = keyVariables(stored)
      const type = stored.keyType
      return type === null
        ? []
        : [
            `${keys} ${type}[];`,
            `${keysWithNull} ${type}[];`,
            ...valuesDeclarations(context, stored),
          ]
    }),
    ...stages.flatMap(({ stage: { core } }) =>
      core.kind === 'partition' ? cutDeclarations(core, typeOf) : [],
    ),
    ...refillDeclarations,
    'broken boolean := false;',
    'spoilt boolean := false;',
    '"lost groups" bigint[];',
    '"empty groups" bigint[];',
    ...stages.flatMap(checkDeclarations),
    '"too few" boolean;',
    'one_to_one boolean;',
  ]
  return lines.join('\n  ')
}

function programBody(parts: IncrementalParts, context: StageContext): string {
  const { view, stages } = parts
  const root = stages.at(-1)
  const publishing =
    parts.publishes && root !== undefined
      ? publishStatements(
          { name: view, columns: parts.columns },
          { changes: root.changes, changesMax },
        )
      : ''
  const steps = stages.map((stored) => stageStep(context, stored, stages)).join('\n')
  return `  -- The guard of the state table lets nobody write but whoever says this.
  perform set_config('tidemark.refreshing', ${sqlText(view)}, true);
${
  stages.some(({ stage }) => clocksIn(stage.core).length > 0)
    ? '  -- What moves with time goes on from the time that what is stored was computed for.\n  if since_as_of is null then\n    since := null;\n  end if;\n'
    : ''
}  if since is not null then
${indented(readingStatements(parts))}
  end if;
  if since is not null then
    method := '${parts.strategy}';
${indented(steps)}
    rows_inserted := came;
    rows_updated := altered;
    rows_deleted := went;
    if spoilt then
      -- What is stored is not what it should be: everything is computed afresh, and it is said.
      since := null;
      differing := 1;
    end if;
  end if;
  if since is null then
    method := 'diff';
${indented(rebuild(parts, context))}
  end if;
${publishing}  perform set_config('tidemark.refreshing', '', true);
`
}

/** What a refresh does to check itself, at its end. */
function checking(parts: IncrementalParts, root: StoredStage): string {
  const { view, sources, inputs, copied, columns } = parts
  // Of what is copied nobody has counted what changed.
  const changed = [
    ...[...sources, ...inputs].map(({ name }) => `${sourceCount(name)} > 0`),
    ...(copied.length > 0 ? ['true'] : []),
  ].join(' or ')
  const exact = inState(viewNames.exact(view))
  const statements = checkStatements({ stored: root, exact, columns, changed })
  return statements.map((sql) => indented(sql)).join('\n')
}

/** One stage: skipped where nothing that it reads has changed. */
function stageStep(
  context: StageContext,
  stored: StoredStage,
  stages: readonly StoredStage[],
): string {
  const { stage } = stored
  const targets = new Map(
    scansIn(stage.core).map(({ of }) => [of.kind === 'stage' ? String(of.number) : of.name, of]),
  )
  const changed = [...targets.values()].map((of) => changedGate(of))
  changed.push(...new Set(clocksIn(stage.core).map((clock) => movedText(clock))))
  const last = stages.at(-1) === stored
  const title = last ? 'The view itself.' : `Stage ${String(stage.number)}: ${stage.core.kind}.`
  if (changed.length === 0) return `  -- ${title} It reads nothing that changes.`
  return `  -- ${title}
  came := 0; altered := 0; went := 0;
  if ${changed.join(' or ')} then
${indented(refreshStatements(context, stored).join('\n'), '    ')}
    spoilt := spoilt or coalesce(broken, false);
    broken := false;
  end if;`
}

/** Everything computed afresh: the stages written anew, the view by the difference. */
function rebuild(parts: IncrementalParts, context: StageContext): string {
  const { stages, view, key } = parts
  const groups = ({ stage, groups: tables }: StoredStage): string => {
    if (tables === null) return ''
    const statement = (): Statement => newStatement(context.names, context.facts, emitDelta)
    const values = buildValues(statement, stage, tables)
    return inOrder(
      tables.within === null ? [...values, ...buildGroups(statement, stage, tables)] : values,
    )
  }
  const inner = stages.slice(0, -1).map((stored) => {
    const list = tableColumns(stored).map(({ name }) => name)
    const fill = `insert into ${stored.table} (${list.map((name) => sqlName(name)).join(', ')})
${indented(fullSelect(context, stored))}`
    return `${groups(stored)}${inOrder(refillStatements(stored.table, fill))}`
  })
  const root = stages.at(-1)
  if (root === undefined) return ''
  const columns = tableColumns(root).map(({ name, type }) => ({
    name,
    type: typeof type === 'string' ? type : type.type,
  }))
  const diff = emitDiff({
    sql: fullSelect(context, root),
    columns,
    state: root.table,
    key,
    pairedBy: pairingColumns(root),
    uniqueBesidesKey: root.uniqueIndexes,
  })
  return `  began := clock_timestamp();
${inner.join('\n')}
${groups(root)}  -- The view itself: its query run afresh, compared with what is stored; only the differences are written.
  for attempt in 1..2 loop
${indented(diff, '    ')}
    into rows_total, rows_inserted, rows_updated, rows_deleted, one_to_one;
    exit when one_to_one;
    -- What is stored may be to blame: an empty table breaches no key.
    delete from ${root.table};
  end loop;
  if not one_to_one then
    raise exception using errcode = 'cardinality_violation',
      message = ${sqlText(`The key of ${view} is not unique in its result (TIDEMARK_KEY_NOT_UNIQUE). Declare a key that identifies a row, or leave it out.`)};
  end if;
  ${statisticsOf(root.table, { known: knownRows(root.table), now: 'rows_total' })};
  perform set_config('tidemark.full_ms', (extract(epoch from clock_timestamp() - began) * 1000)::text, true);`
}

function sourceObjects({
  view,
  sources,
  inputs,
  copied,
  stages,
}: IncrementalParts): readonly string[] {
  const read = stages.flatMap(({ stage }) => scansIn(stage.core).map(({ of }) => of))
  return [
    ...rowsViews(view, { sources, copied, read }),
    ...sources.map(
      ({ name, columns }) =>
        `create type ${sourceChangeType(name, view)} as (${[...columns.map((column) => `${sqlName(column.name)} ${column.logType}`), '"weight of change" bigint'].join(', ')})`,
    ),
    ...inputs.map((input) => inputChangeType(input, sourceChangeType(input.name, view))),
  ]
}

/**
 * Room in each page for new versions of its rows: what refreshes rewrite stays where it is, and indexes on columns that
 * stay as they are need not be told.
 */
const fillfactor = '75'
const rewritten = ` with (fillfactor = ${fillfactor})`

/** A column of the table of a stage; what groups are known by has a type as SQL. */
interface TableColumn {
  readonly name: string
  readonly type: ColumnType | string
}

/** The columns of the table of a stage that are not in its result. */
const hiddenColumns = ({ hiddenKey, hash, groups }: StoredStage): readonly TableColumn[] => [
  ...hiddenKey,
  ...(hash === null ? [] : [{ name: hash, type: 'bigint' }]),
  ...columnsWithin(groups?.within ?? null),
]

/** The columns of the table of a stage, in the order in which {@link fullSelect} gives them. */
const tableColumns = (stored: StoredStage): readonly TableColumn[] => [
  ...stored.outputs,
  ...hiddenColumns(stored),
]

function stageObjects({ view, stages }: IncrementalParts, stored: StoredStage): readonly string[] {
  const { stage, table, outputs, hash, changeType, foundByKey } = stored
  const last = stages.at(-1) === stored
  const typed = ({ name, type }: TableColumn): string =>
    `${sqlName(name)} ${typeof type === 'string' ? type : declared(type)}`
  const index = (name: string, using: string): string =>
    `create index ${sqlName(objectName(`${name} of stage ${String(stage.number)} of ${view}`))} on ${table} ${using}`
  return [
    ...groupObjects(view, stored),
    ...keyObjects(stored),
    ...(last
      ? [
          ...hiddenColumns(stored).map(
            (column) => `alter table ${table} add column ${typed(column)}`,
          ),
          ...(isRewritten(stored) ? [`alter table ${table} set (fillfactor = ${fillfactor})`] : []),
        ]
      : [`create table ${table} (${tableColumns(stored).map(typed).join(', ')})${rewritten}`]),
    ...(hash === null || foundByKey ? [] : [index('hash', `(${sqlName(hash)})`)]),
    ...stored.indexes.map((using, at) => index(`lookup ${String(at + 1)}`, using)),
    ...(changeType === null
      ? []
      : [
          `create type ${changeType} as (${[...outputs.map(({ name, type }) => `${sqlName(name)} ${declared(type)}`), '"weight of change" bigint'].join(', ')})`,
        ]),
  ]
}

function keyObjects({ stage, keyType, keyTypes }: StoredStage): readonly string[] {
  if (keyType === null) return []
  const fields = stage.key.map(
    ({ id }, at) =>
      `${sqlName(id)} ${keyTypes[at] === undefined ? 'text' : declared(keyTypes[at])}`,
  )
  return [`create type ${keyType} as (${[...fields, 'hash bigint'].join(', ')})`]
}

function groupObjects(view: RelationName, { stage, groups }: StoredStage): readonly string[] {
  if (groups === null) return []
  const number = String(stage.number)
  const index = (on: string, column: string): string =>
    `create index ${sqlName(objectName(`${column} of ${on} of ${view}`))} on ${on.startsWith('values') ? valueTable(on.replace('values ', ''), view) : groups.groups} (${sqlName(column)})`
  return [
    ...(groups.within === null
      ? [
          `create table ${groups.groups} (${groupColumns(stage, groups).join(', ')})${rewritten}`,
          index(`groups ${number}`, 'hash of group'),
        ]
      : []),
    ...groups.plan.distinct.flatMap((values) => [
      `create table ${groups.values[values.number - 1] ?? ''} (${valueColumns(stage, groups, values).join(', ')})${rewritten}`,
      index(`values ${number}.${String(values.number)}`, 'hash of value'),
    ]),
  ]
}

/** The view that `tidemark verify` compares with: names mean in it what they mean in the program. */
const exactView = (view: RelationName, sql: string): string => {
  const create = `create view ${inState(viewNames.exact(view))} as\n${sql}`
  return `do ${dollarQuoted(
    'do',
    `
declare
  path text := current_setting('search_path');
begin
  perform set_config('search_path', 'pg_catalog', true);
  execute ${dollarQuoted('exact', create)};
  perform set_config('search_path', path, true);
end `,
  )}`
}

/** What statements make, as DROP calls it: read from them, so that none is forgotten. */
const objectsIn = (install: readonly string[]): readonly string[] =>
  install.flatMap((sql) => {
    const made = /^create (table|type|view) (tidemark_state\.(?:"(?:[^"]|"")*"|\w+))/.exec(sql)
    return made === null ? [] : [`${made[1] ?? ''} ${made[2] ?? ''}`]
  })

/** The state table of a view, as SQL. */
export const stateTable = (view: RelationName): string => inState(viewNames.state(view))
