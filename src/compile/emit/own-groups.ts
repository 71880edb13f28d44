import type { ColumnType } from '../../model/view.ts'
import { absentText, isPlain } from '../algebra/determine.ts'
import type { Accumulation, Accumulator } from '../algebra/accumulate.ts'
import { declared } from '../algebra/accumulate.ts'
import { executeText } from './assemble.ts'
import { alsoTold } from './difference.ts'
import type { GroupColumn, GroupTables } from './accumulate.ts'
import {
  allAccumulators,
  changeQueries,
  goneName,
  groupColumnsOfCore,
  groupHash,
  inputRows,
  keyNamesOf,
  lostText,
  sameKeys,
} from './accumulate.ts'
import { touchedColumn, touchedVariable } from './check.ts'
import { expressionText, hashText, indented, keyedSelect, restrictedItem } from './relation.ts'
import type { StageContext, StoredColumn, StoredStage } from './stored-stage.ts'
import {
  assemblyOf,
  keyVariables,
  restrictionOf,
  resultVariables,
  sameKey,
  statementOf,
  storedColumns,
  tableColumnsOf,
  tableList,
  valuesStatements,
  withText,
} from './stored-stage.ts'
import type { Scan, ScanTarget } from '../algebra/relation.ts'
import { relationsIn, scansIn } from '../algebra/relation.ts'
import { sqlName, sqlText } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'

/*
 * Groups that are kept by weight in the table of their stage: what they are known by stands beside what they show, so
 * that a change of a group is one row found and one row written. Where not every group has a row in the result, or the
 * table has unique indexes of the user's, groups have a table apart (accumulate.ts).
 */

/** A stage that keeps its groups itself. */
interface Kept {
  readonly stored: StoredStage
  readonly tables: GroupTables
  readonly within: readonly GroupColumn[]
  /** The column that has the hash of the key, as SQL. */
  readonly hash: string
}

const sqlNames = (columns: readonly { readonly name: string }[]): readonly string[] =>
  columns.map(({ name }) => sqlName(name))

const prefixed = (alias: string, names: readonly string[]): readonly string[] =>
  names.map((name) => `${alias}.${name}`)

/** Columns of the table that are there for the groups alone. */
export const columnsWithin = (within: readonly GroupColumn[] | null): readonly GroupColumn[] =>
  (within ?? []).filter(({ isOutput }) => !isOutput)

/** The column of the table that says how many rows a group has. */
const rowsOf = ({ within }: Kept): string =>
  sqlName(within.find(({ of }) => of === '"rows"')?.name ?? 'rows')

const oldOutput = (at: number): string => `"old ${String(at + 1)}"`
const oldValue = (at: number): string => `"was ${String(at + 1)}"`

/** A column of a row beside the same of another row. */
interface Compared {
  readonly one: string
  readonly other: string
  readonly type: ColumnType | string
}

/**
 * Whether two rows look different. Where equal values of a type look alike, or are told apart by their decimal places,
 * its own operator says so in half the time that it takes to make rows and compare them.
 */
function differ(columns: readonly Compared[]): string {
  const rest = columns.filter(({ type }) => !isComparedAlone(type))
  const row = (of: 'one' | 'other'): string =>
    `row(${rest.map((column) => column[of]).join(', ')})::record`
  const parts = [
    ...columns.flatMap(({ one, other, type }) =>
      isComparedAlone(type)
        ? [
            `${one} is distinct from ${other}`,
            ...(type === 'numeric' ? [`scale(${one}) <> scale(${other})`] : []),
          ]
        : [],
    ),
    ...(rest.length === 0 ? [] : [`${row('one')} *<> ${row('other')}`]),
  ]
  return parts.length === 0 ? 'false' : `(${parts.join(' or ')})`
}

const isComparedAlone = (type: ColumnType | string): boolean =>
  typeof type === 'string'
    ? type === 'bigint' || type === 'numeric'
    : type.imageEqual && isPlain(type) && type.equality === 'pg_catalog.='

/**
 * The statements that bring such a stage up to date from the changes of its input. First what changed is added to what
 * is known of each group. Where an extremum may have gone it is then looked for among the rows of the group, and where
 * there are values that cannot be added up the group is computed afresh by `rewrite`; all these changes together are
 * the change.
 */
export function refreshOwnGroups(
  context: StageContext,
  stored: StoredStage,
  rewrite: () => string,
): readonly string[] {
  const kept = keptOf(stored)
  const { tables } = kept
  const statement = statementOf(context, assemblyOf(stored.stage))
  const gone = tables.plan.accumulators.filter(({ merge }) => merge !== 'add')
  const lost = lostText(tables.plan, 'g', 'g')
  const alone = findsAlone(stored.stage)
  const own = [
    ...changeQueries(statement, stored.stage, tables, {
      once: true,
      few: alone !== null && tables.plan.distinct.length === 0,
    }),
    ...writtenGroups(kept, grownByChange(kept, gone), lost),
  ]
  const { keys, keysWithNull } = keyVariables(stored)
  const into = [
    resultVariables(stored),
    'broken',
    ...(lost === 'false' ? [] : [keys, keysWithNull]),
    ...touchedVariable(stored),
  ].join(', ')
  const some = touchedColumn(
    stored,
    { from: 'fresh', by: 'name', hash: kept.hash },
    statement.assembly,
  )
  const told = toldOf(kept, lost === 'false' ? 'broken' : 'lost', some)
  const sql = `${withText(statement, own)}\n${told}`
  const plain = `${executeText(statement.assembly, sql, into)};`
  const main = alone === null ? plain : inOneGo(context, stored, { of: alone.of, main: plain })
  if (lost === 'false') return [main]
  const again = [
    ...valuesStatements(context, stored),
    ...(gone.length === 0 ? [] : [alsoTold(stored, `${regained(context, kept, gone)};`)]),
    ...(tables.plan.special.length === 0
      ? []
      : [...(gone.length === 0 ? [] : [onlySpecial(kept)]), alsoTold(stored, `${rewrite()};`)]),
  ]
  return [
    main,
    `-- What is not known of a group any more is computed afresh.
if ${keys} is not null or ${keysWithNull} is not null then
${indented(again.join('\n'))}
end if;`,
  ]
}

/** Of a stage with less than so many changed rows a page, groups are found by the index. */
const changesAPage = 3

/**
 * What a stage reads, where finding its groups is all that is joined; else null, for changes of other relations may be
 * found in tables of any size.
 */
function findsAlone({ core }: Stage): Scan | null {
  const [scan, another] = scansIn(core)
  const joins = [...relationsIn(core)].some(
    (one) =>
      !('input' in one) &&
      one.kind !== 'scan' &&
      !(one.kind === 'product' && one.inputs.length === 1),
  )
  return another !== undefined || joins ? null : (scan ?? null)
}

/**
 * The statement, with the whole table read to find groups where changes are so many that most of it is read anyway.
 * PostgreSQL cannot tell: of groups of what changed it takes there to be few.
 */
function inOneGo(
  { names }: StageContext,
  { table }: StoredStage,
  { of, main }: { readonly of: ScanTarget; readonly main: string },
): string {
  const pages = `pg_relation_size(${sqlText(table)}) / current_setting('block_size')::int`
  return `perform set_config('enable_nestloop',
  (coalesce(cardinality(${names.changes(of)}), 0) < ${String(changesAPage)} * ${pages})::text, true);
${main}
perform set_config('enable_nestloop', 'on', true);`
}

function keptOf(stored: StoredStage): Kept {
  const { groups, hash } = stored
  if (groups?.within == null || hash === null) throw new Error('the stage has no groups of its own')
  return { stored, tables: groups, within: groups.within, hash: sqlName(hash) }
}

/** The rows of a stage joined to groups by their key, `groups` having it under the names of the stage's key. */
const joined = ({ stored }: Kept, groups: string, hashOf = '"hash of group"'): string =>
  `${stored.table} as s on ${sameKey(stored, groups, hashOf)}`

/** What is stored of a group: what it is known by, and what it shows beside its key. */
const storedOf = (kept: Kept): readonly string[] => [
  ...kept.within.map(({ name }, at) => `s.${sqlName(name)} as ${oldValue(at)}`),
  ...shownOf(kept).map(
    ({ name, type, at }) => `s.${sqlName(name)}::${declared(type)} as ${oldOutput(at)}`,
  ),
]

/** The outputs that are no part of the key, by which the row was found. */
const shownOf = ({
  stored: { outputs, keyNames },
}: Kept): readonly (StoredColumn & { readonly at: number })[] =>
  outputs.map((output, at) => ({ ...output, at })).filter(({ name }) => !keyNames.includes(name))

/** Each group at which something changed, as it is now: what is stored of it and what changed, added up. */
function grownByChange(kept: Kept, gone: readonly Accumulator[]): string {
  const { stored, tables, within } = kept
  const distinct = new Map(
    tables.plan.distinct.flatMap(({ number, accumulators }) =>
      accumulators.map(({ name }) => [name, goneName(`came_${String(number)}${name}`)]),
    ),
  )
  const merges = new Map(tables.plan.accumulators.map(({ name, merge }) => [name, merge]))
  const grown = within.map(({ name, of, type }) => {
    const merge = merges.get(of) ?? 'add'
    const was = `s.${sqlName(name)}`
    if (merge !== 'add') return `${merge}(${was}, c.${of}) as ${of}`
    const values = distinct.get(of)
    const more = values === undefined ? `c.${of}` : `coalesce(c.${values}, 0)`
    return `(coalesce(${was}, 0) + ${more})::${type} as ${of}`
  })
  const list = [
    's.ctid as "place of row"',
    ...prefixed('c', keyNamesOf(stored.stage)),
    'c."hash of group"',
    ...grown,
    ...gone.map(({ name }) => `c.${goneName(name)}`),
    ...storedOf(kept),
  ]
  return `select ${list.join(', ')}
from change as c
left join ${joined(kept, 'c')}`
}

/** Queries of WITH that write groups as they are now, and delete those that have no rows any more. */
function writtenGroups(kept: Kept, grown: string, lost: string): readonly string[] {
  const { stored, within, hash } = kept
  const { table, keyNames } = stored
  const own = columnsWithin(within)
  const rows = rowsOf(kept)
  const columns = [...sqlNames(storedColumns(stored)), hash, ...sqlNames(own)]
  const keys = [...keyNames.map((name) => sqlName(name)), hash]
  const set = columns.filter((name) => !keys.includes(name))
  const shown = shownOf(kept)
  const list = [
    '"place of row"',
    // What changed has the types beneath domains; rows are compared as one type.
    ...tableColumnsOf(stored).map(
      ({ name, sql, type }) => `(${sql})::${declared(type)} as ${name}`,
    ),
    `"hash of group" as ${hash}`,
    ...own.map(({ of, name }) => `${of} as ${sqlName(name)}`),
    ...within.map((_, at) => oldValue(at)),
    ...shown.map(({ at }) => oldOutput(at)),
    `(${lost}) as "is lost"`,
  ]
  const isOther = differ(
    shown.map(({ name, type, at }) => ({
      one: `f.${sqlName(name)}`,
      other: `f.${oldOutput(at)}`,
      type,
    })),
  )
  const isMoved = differ(
    within.map(({ name, type }, at) => ({
      one: `f.${sqlName(name)}`,
      other: `f.${oldValue(at)}`,
      type,
    })),
  )
  const known = [
    '"place of row"',
    ...columns,
    ...shown.map(({ at }) => oldOutput(at)),
    '"is lost"',
    `${isOther} as "is other"`,
    `"place of row" is not null and ${rows} <> 0 and (${isOther} or ${isMoved}) as "is written"`,
  ]
  return [
    `-- Groups at which something changed: the row of each as it has to be, and as it is stored.
fresh as materialized (
  select ${known.join(', ')}
  from (
    select ${list.join(', ')}
    from (
      select g.*, ${groupColumnsOfCore(stored.stage, kept.tables).join(', ')}
      from (
${indented(grown, '        ')}
      ) as g
    ) as g
    -- Else what is added up would be computed anew wherever it is named.
    offset 0
  ) as f
)`,
    `removed as (
  delete from ${table} as s
  where s.ctid = any (array(select "place of row" from fresh where ${rows} = 0 and "place of row" is not null))
  returning 1
)`,
    `rewritten as (
  update ${table} as s
  set ${set.map((name) => `${name} = f.${name}`).join(', ')}
  from fresh as f
  where s.ctid = f."place of row" and f."is written"
  returning 1
)`,
    `added as (
  insert into ${table} (${columns.join(', ')})
  select ${prefixed('f', columns).join(', ')}
  from fresh as f
  where f."place of row" is null and f.${rows} > 0
  returning 1
)`,
  ]
}

/**
 * What there is to tell of `fresh`: rows that came, changed and went, and the changes; whether more went than there was;
 * the keys of groups that have to be looked at again; and `more`.
 */
function toldOf(
  kept: Kept,
  tells: 'changes' | 'broken' | 'lost',
  more: readonly string[] = [],
): string {
  const { stored, hash } = kept
  const { outputs, changeType, keyType, keyNames } = stored
  const rows = rowsOf(kept)
  const [came, altered, went] = [
    `"place of row" is null and ${rows} > 0`,
    `"place of row" is not null and ${rows} <> 0 and "is other"`,
    `"place of row" is not null and ${rows} = 0`,
  ]
  const before = outputs.map(
    ({ name }, at) => `f.${keyNames.includes(name) ? sqlName(name) : oldOutput(at)}`,
  )
  const changes = `(
    select array_agg(c.change)
    from (
      select row(${[...prefixed('f', sqlNames(outputs)), '1'].join(', ')})::${changeType ?? ''} as change
      from fresh as f
      where (${came}) or (${altered})
      union all
      select row(${[...before, '-1'].join(', ')})::${changeType ?? ''}
      from fresh as f
      where (${went}) or (${altered})
    ) as c
  )`
  const names = keyNames.map((name) => sqlName(name))
  const key = `array_agg(row(${[...names, hash].join(', ')})::${keyType ?? ''})`
  const hasNull = names.map((name, at) => absentText(name, stored.keyTypes[at])).join(' or ')
  const list = [
    ...[came, altered, went].map((condition) => `count(*) filter (where ${condition})`),
    ...(changeType === null ? [] : [changes]),
    ...(tells === 'changes' ? [] : [`coalesce(bool_or(${rows} < 0), false)`]),
    ...(tells === 'lost'
      ? [
          `${key} filter (where "is lost" and ${rows} > 0 and not (${hasNull}))`,
          `${key} filter (where "is lost" and ${rows} > 0 and (${hasNull}))`,
        ]
      : []),
    ...more,
  ]
  return `select\n  ${list.join(',\n  ')}\nfrom fresh`
}

/** The statement that looks for extrema that may have gone among the rows of the groups. */
function regained(context: StageContext, kept: Kept, gone: readonly Accumulator[]): string {
  const { stored, tables, within } = kept
  const { stage } = stored
  const statement = statementOf(context)
  const names = keyNamesOf(stage)
  const [side] = inputKeys(stage)
  if (side === undefined) throw new Error('groups have an input')
  const from = restrictedItem(statement, side, restrictionOf(stored))
  const list = [
    ...side.key.map((expression, at) => `${expressionText(expression)} as ${names[at] ?? ''}`),
    ...tables.plan.inputs.map(({ name, expression }) => `${expressionText(expression)} as ${name}`),
  ]
  const again = `-- The extrema of the groups, from their rows.
again as (
  select ${[...names, `${groupHash(names)} as "hash of group"`, ...gone.map(({ name, total }) => `${total} as ${name}`)].join(', ')}
  from (
    select ${list.join(', ')}
    from ${indented(from, '    ').trimStart()}
  ) as changed
  group by ${names.join(', ')}
)`
  const { keys, keysWithNull } = keyVariables(stored)
  const regainedNames = new Set(gone.map(({ name }) => name))
  const grown = `select ${[
    's.ctid as "place of row"',
    ...prefixed('c', names),
    'c."hash of group"',
    ...within.map(({ name, of }) =>
      regainedNames.has(of) ? `c.${of}` : `s.${sqlName(name)} as ${of}`,
    ),
    ...storedOf(kept),
  ].join(', ')}
from unnest(${keys} || ${keysWithNull}) as k
join ${joined(kept, 'k', 'hash')}
join again as c on c."hash of group" = k.hash${sameKeys(names, 'c', 'k')}`
  const own = [again, ...writtenGroups(kept, grown, 'false')]
  return `${withText(statement, own)}
${toldOf(kept, 'changes')}
into ${resultVariables(stored)}`
}

/** Of the keys that are looked at again those of groups with values that cannot be added up. */
function onlySpecial(kept: Kept): string {
  const { stored, within, tables } = kept
  const odd = within
    .filter(({ of }) => tables.plan.special.includes(of))
    .map(({ name }) => `s.${sqlName(name)} > 0`)
  const { keys, keysWithNull } = keyVariables(stored)
  const narrowed = [keys, keysWithNull].map(
    (variable) => `${variable} := array(
  select k from unnest(${variable}) as k join ${joined(kept, 'k', 'hash')} where ${odd.join(' or ')}
);`,
  )
  return narrowed.join('\n')
}

/** The SELECT of everything that such a stage stores; values of which each counts once are in their tables already. */
export function ownGroupsSelect(context: StageContext, stored: StoredStage): string {
  const kept = keptOf(stored)
  const { tables, within, hash } = kept
  const { special } = tables.plan
  const own = columnsWithin(within)
  const list = [
    tableList(stored),
    `"hash of group" as ${hash}`,
    ...own.map(({ of, name, type }) => `${of}::${type} as ${sqlName(name)}`),
  ].join(', ')
  const core = groupColumnsOfCore(stored.stage, tables).join(', ')
  const groups = allGroups(context, kept)
  const plain = (from: string): string =>
    `select ${list}\nfrom (\n  select g.*, ${core}\n  from ${indented(from).trimStart()}\n) as g`
  if (special.length === 0) return plain(`(\n${indented(groups)}\n) as g`)
  const odd = special.map((name) => `g.${name} > 0`).join(' or ')
  return `with
  all_groups as materialized (
${indented(groups, '    ')}
  )
${plain(`all_groups as g\nwhere not (${odd})`)}
union all
-- Groups with values that cannot be added up.
select ${list}
from (
${indented(afresh(context, kept, odd))}
) as g
where (select exists (select from all_groups as g where ${odd}))`
}

/** The core of groups computed from their rows, beside what is known of them. */
function afresh(context: StageContext, { stored, within }: Kept, odd: string): string {
  const { core } = stored.stage
  if (core.kind !== 'aggregate') throw new Error('only aggregates have groups')
  const names = keyNamesOf(stored.stage)
  const keys = core.keys.map(({ id }) => `c.${sqlName(id)}`)
  const same = keys.map((key, at) => `\n  and ${key} is not distinct from g.${names[at] ?? ''}`)
  const list = ['c.*', 'g."hash of group"', ...within.map(({ of }) => `g.${of}`)]
  return `select ${[...list, ...prefixed('g', names)].join(', ')}
from (
${indented(keyedSelect(statementOf(context), core, null))}
) as c
join all_groups as g on g."hash of group" = ${hashText(keys)}${same.join('')}
where ${odd}`
}

/** Every group with what it is known by, from the rows of the input and the tables of values. */
function allGroups(context: StageContext, { stored, tables }: Kept): string {
  const { stage } = stored
  const { plan, values } = tables
  const names = keyNamesOf(stage)
  const rows = inputRows(statementOf(context), stage, tables, 'new')
  const own = [
    ...names,
    `${groupHash(names)} as "hash of group"`,
    'count(*) as "rows"',
    ...plan.accumulators.map(({ name, total }) => `${total} as ${name}`),
  ]
  const groups = `select ${own.join(', ')}
from (
${indented(rows)}
) as changed
group by ${names.join(', ')}`
  if (plan.distinct.length === 0) return groups
  const counted = plan.distinct.flatMap(({ number, accumulators }) =>
    accumulators.map(({ name }) => `coalesce(v${String(number)}.${name}, 0) as ${name}`),
  )
  const joins = plan.distinct.map(({ number, accumulators }) => {
    const list = accumulators.map(({ name, total }) => `${total} as ${name}`)
    const alias = `v${String(number)}`
    return `left join (
  select ${[...names, '"hash of group"', ...list].join(', ')}
  from ${values[number - 1] ?? ''} as v
  group by ${[...names, '"hash of group"'].join(', ')}
) as ${alias} on ${alias}."hash of group" = b."hash of group"${sameKeys(names, alias, 'b')}`
  })
  return `select b.*, ${counted.join(', ')}
from (
${indented(groups)}
) as b
${joins.join('\n')}`
}

/** The columns that say what groups are known by: those of the table of the stage that has them too, or more of them. */
export function groupColumnsWithin(
  plan: Accumulation,
  shown: (of: string) => { readonly name: string; readonly type: string } | null,
  free: (wanted: string) => string,
): readonly GroupColumn[] {
  const all = [{ name: '"rows"', type: 'bigint' }, ...allAccumulators(plan)]
  return all.map(({ name: of, type }) => {
    const output = shown(of)
    const isOutput = output !== null && family(output.type) === family(type)
    const name = isOutput ? output.name : free(`tidemark ${of.replaceAll('"', '')}`)
    return { name, type, of, isOutput }
  })
}

/** A type without its modifiers, which a value keeps whatever its column says. */
const family = (type: string): string => type.replace(/\(\d+(,\d+)?\)/, '')
