import type { Accumulation, Accumulator, DistinctValues } from '../algebra/accumulate.ts'
import { declared } from '../algebra/accumulate.ts'
import type { Mode, Statement } from './relation.ts'
import { refillStatements } from './refill.ts'
import { expressionText, hashText, indented, itemOf } from './relation.ts'
import type { Output } from '../algebra/relation.ts'
import { isConstant } from '../algebra/relation.ts'
import { sqlName } from '../syntax/sql-text.ts'
import type { ColumnType } from '../../model/view.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'

/** Where the groups of a stage are kept. */
export interface GroupTables {
  readonly plan: Accumulation
  /** A row for each group, as SQL. */
  readonly groups: string
  /** For each set of values that count once: a row for each value of each group, as SQL. */
  readonly values: readonly string[]
  /** Types of the parts of the key. */
  readonly keyTypes: readonly ColumnType[]
  /** Where the table of the stage itself has the groups: their columns in it; null where they have a table apart. */
  readonly within: readonly GroupColumn[] | null
}

/** A column of the table of a stage that has what its groups are known by. */
export interface GroupColumn {
  readonly name: string
  readonly type: string
  /** The column as SQL where groups are computed: `"rows"`, `"count 1"`. */
  readonly of: string
  /** It is a column of the result as well, which shows just that. */
  readonly isOutput: boolean
}

/** The names of the parts of the key, as SQL. */
export const keyNamesOf = ({ key }: Stage): readonly string[] => key.map(({ id }) => sqlName(id))

/** The columns of the tables: key, hash, how many rows, and what is added up. */
export function groupColumns(stage: Stage, { plan, keyTypes }: GroupTables): readonly string[] {
  return [
    ...keyNamesOf(stage).map(
      (name, at) => `${name} ${keyTypes[at] === undefined ? 'text' : declared(keyTypes[at])}`,
    ),
    '"hash of group" bigint',
    '"rows" bigint',
    ...allAccumulators(plan).map(({ name, type }) => `${name} ${type}`),
  ]
}

/** The columns of a table of values. */
export function valueColumns(
  stage: Stage,
  { keyTypes }: GroupTables,
  { type }: DistinctValues,
): readonly string[] {
  return [
    ...keyNamesOf(stage).map(
      (name, at) => `${name} ${keyTypes[at] === undefined ? 'text' : declared(keyTypes[at])}`,
    ),
    '"hash of group" bigint',
    `value ${declared(type)}`,
    '"hash of value" bigint',
    '"times" bigint',
  ]
}

/** Accumulators of all values, and of those that count once each. */
export const allAccumulators = ({
  accumulators,
  distinct,
}: Accumulation): readonly Accumulator[] => [
  ...accumulators,
  ...distinct.flatMap((values) => values.accumulators),
]

/** The hash of the key of a group. */
export const groupHash = (names: readonly string[]): string =>
  names.length === 0 ? '0' : hashText(names)

/** Rows of the input with key, values and weight: what changed, or all of them, each once. */
export function inputRows(
  statement: Statement,
  stage: Stage,
  { plan }: Pick<GroupTables, 'plan'>,
  mode: Mode,
): string {
  const terms = inputKeys(stage).flatMap(({ input, key }) => {
    if (mode === 'delta' && isConstant(input)) return []
    const item = itemOf(statement, input, mode)
    const names = keyNamesOf(stage)
    const list = [
      ...key.map((expression, at) => `${expressionText(expression)} as ${names[at] ?? ''}`),
      ...plan.inputs.map(({ name, expression }) => `${expressionText(expression)} as ${name}`),
      item.weighted ? `${item.alias}.w` : '1::bigint as w',
    ]
    return [`select ${list.join(', ')}\nfrom ${item.sql}`]
  })
  const computed = plan.inputs.some(({ expression }) => !('ColumnRef' in expression))
  // Else what is added up would be computed anew for each sum and count.
  return terms.join('\nunion all\n') + (computed ? '\noffset 0' : '')
}

/** Conditions of a join that two keys are the same, after others. */
export const sameKeys = (names: readonly string[], one: string, other: string): string =>
  names.map((name) => `\n    and ${one}.${name} is not distinct from ${other}.${name}`).join('')

/** How `change` is read. */
interface ChangeRead {
  /** In one place. */
  readonly once: boolean
  /** Nothing but the table of the stage is joined to it: PostgreSQL is to take the groups to be few. */
  readonly few: boolean
}

/**
 * True of every group, and taken by PostgreSQL to be true of few. Of more than 200 keys without statistics it has to fear
 * that they are all alike, and would rather hash the whole table that they are looked up in than these.
 */
const fewGroups = 'least(count(*), 1) = 1'

/**
 * Queries of WITH that say what changed: `changed` has the rows of the input that came and went, `change` what that means
 * for each group. The tables of values are written.
 */
export function changeQueries(
  statement: Statement,
  stage: Stage,
  tables: GroupTables,
  { once, few }: ChangeRead = { once: false, few: false },
): readonly string[] {
  const { plan } = tables
  const names = keyNamesOf(stage)
  const having = few ? `\n  having ${fewGroups}` : ''
  const by = names.length === 0 ? '' : `\n  group by ${names.join(', ')}${having}`
  const changed = inputRows(statement, stage, tables, 'delta')
  const extrema = plan.accumulators.filter(({ merge }) => merge !== 'add')
  const change = [
    ...names,
    `${groupHash(names)} as "hash of group"`,
    'coalesce(sum(w), 0)::bigint as "rows"',
    ...plan.accumulators.map(({ name, change: sql }) => `${sql} as ${name}`),
    ...extrema.map(({ name, gone }) => `${gone ?? 'null'} as ${goneName(name)}`),
  ]
  const distinct = plan.distinct.flatMap((values) => distinctQueries(stage, tables, values))
  const joins = plan.distinct.map(({ number }) => joinOfValues(number, names)).join('')
  return [
    `-- Rows of the input that came (w > 0) and went (w < 0).
changed as (
${indented(changed)}
)`,
    ...distinct,
    `-- What that means for each group.
change as ${once ? '' : 'materialized '}(
  select c.*${valuesOf(plan)
    .map(({ name, from }) => `, ${from}.${name} as ${goneName(from + name)}`)
    .join('')}
  from (
    select ${change.join(', ')}
    from changed${by.replaceAll('\n', '\n  ')}
  ) as c${joins}
)`,
  ]
}

/** What is added up of values that count once each, and the query that says what came of it. */
const valuesOf = ({
  distinct,
}: Accumulation): readonly { readonly name: string; readonly from: string }[] =>
  distinct.flatMap(({ number, accumulators }) =>
    accumulators.map(({ name }) => ({ name, from: `came_${String(number)}` })),
  )

/**
 * Queries of WITH that bring a table of groups up to date from what changed. `groups` has the rows touched, as they
 * are now, with `lost`: an extremum may have gone, or there are values that cannot be added up.
 *
 * A minimum is the lesser of the stored one and the least that came, unless a value as small as that has gone: then
 * nothing is known of it. That it was not taken away again is what the comparison says, for what came and went is in
 * both.
 */
export function accumulateQueries(
  statement: Statement,
  stage: Stage,
  tables: GroupTables,
): readonly string[] {
  const { plan, groups } = tables
  const names = keyNamesOf(stage)
  const merged = plan.accumulators.map((accumulator) => mergedText(accumulator))
  const values = valuesOf(plan)
  const set = [
    '"rows" = g."rows" + c."rows"',
    ...merged.map(({ name, sql }) => `${name} = ${sql}`),
    ...values.map(
      ({ name, from }) => `${name} = g.${name} + coalesce(c.${goneName(from + name)}, 0)`,
    ),
  ]
  const columns = [
    ...names,
    '"hash of group"',
    '"rows"',
    ...plan.accumulators.map(({ name }) => name),
  ]
  const lost = lostText(plan, 'g', 'c')
  return [
    ...changeQueries(statement, stage, tables),
    `moved as (
  update ${groups} as g
  set ${set.join(',\n    ')}
  from change as c
  where g."hash of group" = c."hash of group"${sameKeys(names, 'g', 'c')}
  returning ${[...columns.map((name) => `g.${name}`), ...values.map(({ name }) => `g.${name}`), `${lost} as lost`].join(', ')}
)`,
    `founded as (
  insert into ${groups} as g (${[...columns, ...values.map(({ name }) => name)].join(', ')})
  select ${[...columns.map((name) => `c.${name}`), ...values.map(({ name, from }) => `coalesce(c.${goneName(from + name)}, 0)`)].join(', ')}
  from change as c
  where not exists (
    select from ${groups} as g where g."hash of group" = c."hash of group"${sameKeys(names, 'g', 'c')}
  )
  returning *
)`,
    `groups as materialized (
  select * from moved
  union all
  select f.*, ${lostText(plan, 'f', 'c')} as lost
  from founded as f
  join change as c on c."hash of group" = f."hash of group"${sameKeys(names, 'c', 'f')}
)`,
  ]
}

/** Joins to the changes of groups what values that came or went mean for them. */
function joinOfValues(number: number, names: readonly string[]): string {
  const from = `came_${String(number)}`
  return `\n  left join ${from} on ${from}."hash of group" = c."hash of group"${sameKeys(names, from, 'c')}`
}

/** The column that has the best of the values that went. */
export const goneName = (name: string): string => `"gone ${name.replaceAll('"', '')}"`

function mergedText({ name, merge }: Accumulator): { readonly name: string; readonly sql: string } {
  return { name, sql: merge === 'add' ? `g.${name} + c.${name}` : `${merge}(g.${name}, c.${name})` }
}

/**
 * SQL that is true of a group that has to be looked at again: its row has the new values, the better of old and come,
 * and the row of the change those that went.
 */
export function lostText(
  { accumulators, special }: Accumulation,
  row: string,
  change: string,
): string {
  const parts = [
    ...accumulators.flatMap(({ name, merge }) =>
      merge === 'add'
        ? []
        : [
            `coalesce(${change}.${goneName(name)} ${merge === 'least' ? '<=' : '>='} ${row}.${name}, false)`,
          ],
    ),
    ...special.map((name) => `${row}.${name} > 0`),
  ]
  return parts.length === 0 ? 'false' : parts.join(' or ')
}

/** Values of which each counts once: how often each occurs now, and which came or went for it. */
function distinctQueries(
  stage: Stage,
  { values: tables }: GroupTables,
  values: DistinctValues,
): readonly string[] {
  const names = keyNamesOf(stage)
  const { number, value, counts, accumulators } = values
  const table = tables[number - 1] ?? ''
  const at = String(number)
  const list = [...names, '"hash of group"', 'value', '"hash of value"']
  const by = names.length === 0 ? '' : `${names.join(', ')}, `
  return [
    `value_${at} as materialized (
  select ${[...names, `${groupHash(names)} as "hash of group"`, `${value} as value`, `${hashText([...names, value])} as "hash of value"`, 'sum(w) as "times"'].join(', ')}
  from changed
  where ${counts}
  group by ${by}${value}
  having sum(w) <> 0
)`,
    `-- Each with how often it occurred.
known_${at} as materialized (
  select ${[...list.map((name) => `c.${name}`), 'c."times"', 'v.ctid as place', 'coalesce(v."times", 0) as before'].join(', ')}
  from value_${at} as c
  left join ${table} as v on v."hash of value" = c."hash of value" and v.value = c.value${sameKeys(names, 'v', 'c')}
)`,
    `counted_${at} as (
  update ${table} as v
  set "times" = k.before + k."times"
  from known_${at} as k
  where v.ctid = k.place and k.before + k."times" <> 0
)`,
    `spent_${at} as (
  delete from ${table} as v
  where v.ctid = any (array(select place from known_${at} where before + "times" = 0 and place is not null))
)`,
    `met_${at} as (
  insert into ${table} (${[...list, '"times"'].join(', ')})
  select ${[...list, '"times"'].join(', ')}
  from known_${at}
  where place is null
)`,
    `came_${at} as (
  select ${[...names, '"hash of group"', ...accumulators.map(({ name, change }) => `${change} as ${name}`)].join(', ')}
  from (
    select ${[...names, '"hash of group"', 'value', '(before + "times" > 0)::int - (before > 0)::int as w'].join(', ')}
    from known_${at}
  ) as v
  where w <> 0
  group by ${[...names, '"hash of group"'].join(', ')}
)`,
  ]
}

/** The columns of the core of a stage as its groups say them. */
export function groupColumnsOfCore(
  stage: Stage,
  { plan }: Pick<GroupTables, 'plan'>,
): readonly string[] {
  const { core } = stage
  if (core.kind !== 'aggregate') throw new Error('only aggregates have groups')
  const names = keyNamesOf(stage)
  return [
    ...core.keys.map(({ id }: Output, at) => `${names[at] ?? ''} as ${sqlName(id)}`),
    ...core.calls.map(
      ({ id }) =>
        `${plan.results.find((result) => result.id === id)?.sql ?? 'null'} as ${sqlName(id)}`,
    ),
  ]
}

/** The core of a stage as its groups say it, over `groups` of {@link accumulateQueries} or over the table itself. */
export function coreOfGroups(stage: Stage, tables: GroupTables, from: string): string {
  const columns = groupColumnsOfCore(stage, tables)
  // Without a key there is one row, also of no rows.
  const where = stage.key.length === 0 ? '' : `\nwhere "rows" > 0`
  return `select ${columns.length === 0 ? '1 as one' : columns.join(', ')}\nfrom ${from}${where}`
}

/** The statements that fill the tables of values of a stage anew. */
export function buildValues(
  newStatement: () => Statement,
  stage: Stage,
  tables: GroupTables,
): readonly string[] {
  const names = keyNamesOf(stage)
  return tables.plan.distinct.flatMap(({ number, value, counts }) => {
    const table = tables.values[number - 1] ?? ''
    const rows = inputRows(newStatement(), stage, tables, 'new')
    return [
      `truncate ${table}`,
      `insert into ${table} (${[...names, '"hash of group"', 'value', '"hash of value"', '"times"'].join(', ')})
select ${[...names, groupHash(names), value, hashText([...names, value]), 'count(*)'].join(', ')}
from (
${indented(rows)}
) as changed
where ${counts}
group by ${[...names, value].join(', ')}`,
    ]
  })
}

/** The statements that fill a table of groups anew, from the tables of values and the rows of the input. */
export function buildGroups(
  newStatement: () => Statement,
  stage: Stage,
  tables: GroupTables,
): readonly string[] {
  const { plan, groups, values } = tables
  const names = keyNamesOf(stage)
  const by = names.length === 0 ? '' : `\ngroup by ${names.join(', ')}`
  const rows = inputRows(newStatement(), stage, tables, 'new')
  const list = [...names, '"hash of group"', '"rows"', ...plan.accumulators.map(({ name }) => name)]
  const own = [
    ...names,
    groupHash(names),
    'count(*)',
    ...plan.accumulators.map(({ total }) => total),
  ]
  const counted = plan.distinct.map(
    ({ number, accumulators }) => `update ${groups} as g
set ${accumulators.map(({ name }) => `${name} = coalesce(c.${name}, 0)`).join(', ')}
from (
  select ${[`g.ctid as place`, ...accumulators.map(({ name }) => `c.${name}`)].join(', ')}
  from ${groups} as g
  left join (
    select ${[...names, '"hash of group"', ...accumulators.map(({ name, total }) => `${total} as ${name}`)].join(', ')}
    from ${values[number - 1] ?? ''} as v
    group by ${[...names, '"hash of group"'].join(', ')}
  ) as c on c."hash of group" = g."hash of group"${sameKeys(names, 'c', 'g')}
) as c
where g.ctid = c.place`,
  )
  const insert = `insert into ${groups} (${list.join(', ')})
select ${own.join(', ')}
from (
${indented(rows)}
) as changed${by}`
  return refillStatements(groups, insert, counted)
}

/** The statement that computes the extrema of lost groups afresh, `from` being the rows of the input in them. */
export function repairGroups(stage: Stage, tables: GroupTables, from: string): string | null {
  const { plan, groups } = tables
  const extrema = plan.accumulators.filter(({ merge }) => merge !== 'add')
  if (extrema.length === 0) return null
  const names = keyNamesOf(stage)
  const [side] = inputKeys(stage)
  const list = [
    ...(side?.key ?? []).map(
      (expression, at) => `${expressionText(expression)} as ${names[at] ?? ''}`,
    ),
    ...plan.inputs.map(({ name, expression }) => `${expressionText(expression)} as ${name}`),
    '1::bigint as w',
  ]
  const by = names.length === 0 ? '' : `\n  group by ${names.join(', ')}`
  return `update ${groups} as g
set ${extrema.map(({ name }) => `${name} = c.${name}`).join(', ')}
from (
  select ${[...names, `${groupHash(names)} as "hash of group"`, ...extrema.map(({ name, change }) => `${change} as ${name}`)].join(', ')}
  from (
    select ${list.join(', ')}
    from ${indented(from, '    ').trimStart()}
  ) as changed${by}
) as c
where g."hash of group" = c."hash of group"${sameKeys(names, 'g', 'c')}`
}
