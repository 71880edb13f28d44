import type { Accumulation, Accumulator, DistinctValues } from './accumulate.ts'
import { declared } from './accumulate.ts'
import type { Mode, Statement } from './emit-relation.ts'
import { expressionText, hashText, indented, itemOf } from './emit-relation.ts'
import type { Output } from './relation.ts'
import { isConstant } from './relation.ts'
import { sqlName } from './sql-text.ts'
import type { ColumnType } from '../model/view.ts'
import type { Stage } from './stages.ts'
import { inputKeys } from './stages.ts'

/** Where the groups of a stage are kept. */
export interface GroupTables {
  readonly plan: Accumulation
  /** A row for each group, as SQL. */
  readonly groups: string
  /** For each set of values that count once: a row for each value of each group, as SQL. */
  readonly values: readonly string[]
  /** Types of the parts of the key. */
  readonly keyTypes: readonly ColumnType[]
}

const keyNames = ({ key }: Stage): readonly string[] => key.map(({ id }) => sqlName(id))

/** The columns of the tables: key, hash, how many rows, and what is added up. */
export function groupColumns(stage: Stage, { plan, keyTypes }: GroupTables): readonly string[] {
  return [
    ...keyNames(stage).map(
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
    ...keyNames(stage).map(
      (name, at) => `${name} ${keyTypes[at] === undefined ? 'text' : declared(keyTypes[at])}`,
    ),
    '"hash of group" bigint',
    `value ${declared(type)}`,
    '"hash of value" bigint',
    '"times" bigint',
  ]
}

const allAccumulators = ({ accumulators, distinct }: Accumulation): readonly Accumulator[] => [
  ...accumulators,
  ...distinct.flatMap((values) => values.accumulators),
]

const groupHash = (names: readonly string[]): string => (names.length === 0 ? '0' : hashText(names))

/** Rows of the input with key, values and weight: what changed, or all of them, each once. */
function inputRows(statement: Statement, stage: Stage, { plan }: GroupTables, mode: Mode): string {
  const terms = inputKeys(stage).flatMap(({ input, key }) => {
    if (mode === 'delta' && isConstant(input)) return []
    const item = itemOf(statement, input, mode)
    const names = keyNames(stage)
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

const same = (names: readonly string[], one: string, other: string): string =>
  names.map((name) => `\n    and ${one}.${name} is not distinct from ${other}.${name}`).join('')

/**
 * Queries of WITH that bring the table of groups up to date from what changed. `groups` has the rows touched, as they
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
  const names = keyNames(stage)
  const by = names.length === 0 ? '' : `\n  group by ${names.join(', ')}`
  const changed = inputRows(statement, stage, tables, 'delta')
  const extrema = plan.accumulators.filter(({ merge }) => merge !== 'add')
  const change = [
    ...names,
    `${groupHash(names)} as "hash of group"`,
    'coalesce(sum(w), 0) as "rows"',
    ...plan.accumulators.map(({ name, change: sql }) => `${sql} as ${name}`),
    ...extrema.map(({ name, gone }) => `${gone ?? 'null'} as ${goneName(name)}`),
  ]
  const merged = plan.accumulators.map((accumulator) => mergedText(accumulator))
  const distinct = plan.distinct.flatMap((values) => distinctQueries(stage, tables, values))
  const values = plan.distinct.flatMap(({ number, accumulators }) =>
    accumulators.map(({ name }) => ({ name, from: `came_${String(number)}` })),
  )
  const joins = plan.distinct.map(({ number }) => joinOfValues(number, names)).join('')
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
  const lost = lostText(plan, 'g')
  return [
    `-- Rows of the input that came (w > 0) and went (w < 0).
changed as (
${indented(changed)}
)`,
    ...distinct,
    `-- What that means for each group.
change as materialized (
  select c.*${values.map(({ name, from }) => `, ${from}.${name} as ${goneName(from + name)}`).join('')}
  from (
    select ${change.join(', ')}
    from changed${by.replaceAll('\n', '\n  ')}
  ) as c${joins}
)`,
    `moved as (
  update ${groups} as g
  set ${set.join(',\n    ')}
  from change as c
  where g."hash of group" = c."hash of group"${same(names, 'g', 'c')}
  returning ${[...columns.map((name) => `g.${name}`), ...values.map(({ name }) => `g.${name}`), `${lost} as lost`].join(', ')}
)`,
    `founded as (
  insert into ${groups} as g (${[...columns, ...values.map(({ name }) => name)].join(', ')})
  select ${[...columns.map((name) => `c.${name}`), ...values.map(({ name, from }) => `coalesce(c.${goneName(from + name)}, 0)`)].join(', ')}
  from change as c
  where not exists (
    select from ${groups} as g where g."hash of group" = c."hash of group"${same(names, 'g', 'c')}
  )
  returning *
)`,
    `groups as materialized (
  select * from moved
  union all
  select f.*, ${lostText(plan, 'f')} as lost
  from founded as f
  join change as c on c."hash of group" = f."hash of group"${same(names, 'c', 'f')}
)`,
  ]
}

/** Joins to the changes of groups what values that came or went mean for them. */
function joinOfValues(number: number, names: readonly string[]): string {
  const from = `came_${String(number)}`
  return `\n  left join ${from} on ${from}."hash of group" = c."hash of group"${same(names, from, 'c')}`
}

const goneName = (name: string): string => `"gone ${name.replaceAll('"', '')}"`

function mergedText({ name, merge }: Accumulator): { readonly name: string; readonly sql: string } {
  return { name, sql: merge === 'add' ? `g.${name} + c.${name}` : `${merge}(g.${name}, c.${name})` }
}

/** After the update, the row has the new values: the better of old and come. */
function lostText({ accumulators, special }: Accumulation, row: 'g' | 'f'): string {
  const parts = [
    ...accumulators.flatMap(({ name, merge }) =>
      merge === 'add'
        ? []
        : [
            `coalesce(c.${goneName(name)} ${merge === 'least' ? '<=' : '>='} ${row}.${name}, false)`,
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
  const names = keyNames(stage)
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
    `counted_${at} as (
  update ${table} as v
  set "times" = v."times" + c."times"
  from value_${at} as c
  where v."hash of value" = c."hash of value" and v.value = c.value${same(names, 'v', 'c')}
  returning ${[...list.map((name) => `v.${name}`), 'v."times"', 'v."times" - c."times" as before'].join(', ')}
)`,
    `met_${at} as (
  insert into ${table} as v (${[...list, '"times"'].join(', ')})
  select ${[...list.map((name) => `c.${name}`), 'c."times"'].join(', ')}
  from value_${at} as c
  where not exists (
    select from ${table} as v
    where v."hash of value" = c."hash of value" and v.value = c.value${same(names, 'v', 'c')}
  )
  returning ${[...list, '"times"', '0::bigint as before'].join(', ')}
)`,
    `came_${at} as (
  select ${[...names, '"hash of group"', ...accumulators.map(({ name, change }) => `${change} as ${name}`)].join(', ')}
  from (
    select ${[...names, '"hash of group"', 'value', '("times" > 0)::int - (before > 0)::int as w'].join(', ')}
    from (select * from counted_${at} union all select * from met_${at}) as v
  ) as v
  where w <> 0
  group by ${[...names, '"hash of group"'].join(', ')}
)`,
  ]
}

/** The core of a stage as its groups say it, over `groups` of {@link accumulateQueries} or over the table itself. */
export function coreOfGroups(stage: Stage, { plan }: GroupTables, from: string): string {
  const { core } = stage
  if (core.kind !== 'aggregate') throw new Error('only aggregates have groups')
  const names = keyNames(stage)
  const columns = [
    ...core.keys.map(({ id }: Output, at) => `${names[at] ?? ''} as ${sqlName(id)}`),
    ...core.calls.map(
      ({ id }) =>
        `${plan.results.find((result) => result.id === id)?.sql ?? 'null'} as ${sqlName(id)}`,
    ),
  ]
  // Without a key there is one row, also of no rows.
  const where = names.length === 0 ? '' : `\nwhere "rows" > 0`
  return `select ${columns.length === 0 ? '1 as one' : columns.join(', ')}\nfrom ${from}${where}`
}

/** The statements that fill the tables of a stage anew. */
export function buildGroups(
  newStatement: () => Statement,
  stage: Stage,
  tables: GroupTables,
): readonly string[] {
  const { plan, groups, values } = tables
  const names = keyNames(stage)
  const by = names.length === 0 ? '' : `\ngroup by ${names.join(', ')}`
  const rows = inputRows(newStatement(), stage, tables, 'new')
  const list = [...names, '"hash of group"', '"rows"', ...plan.accumulators.map(({ name }) => name)]
  const own = [
    ...names,
    groupHash(names),
    'count(*)',
    ...plan.accumulators.map(({ total }) => total),
  ]
  const statements = [
    `truncate ${groups}`,
    `insert into ${groups} (${list.join(', ')})
select ${own.join(', ')}
from (
${indented(rows)}
) as changed${by}`,
  ]
  for (const { number, value, counts, accumulators } of plan.distinct) {
    const table = values[number - 1] ?? ''
    const again = inputRows(newStatement(), stage, tables, 'new')
    statements.push(
      `truncate ${table}`,
      `insert into ${table} (${[...names, '"hash of group"', 'value', '"hash of value"', '"times"'].join(', ')})
select ${[...names, groupHash(names), value, hashText([...names, value]), 'count(*)'].join(', ')}
from (
${indented(again)}
) as changed
where ${counts}
group by ${[...names, value].join(', ')}`,
      `update ${groups} as g
set ${accumulators.map(({ name }) => `${name} = coalesce(c.${name}, 0)`).join(', ')}
from (
  select ${[`g.ctid as place`, ...accumulators.map(({ name }) => `c.${name}`)].join(', ')}
  from ${groups} as g
  left join (
    select ${[...names, '"hash of group"', ...accumulators.map(({ name, total }) => `${total} as ${name}`)].join(', ')}
    from ${table} as v
    group by ${[...names, '"hash of group"'].join(', ')}
  ) as c on c."hash of group" = g."hash of group"${same(names, 'c', 'g')}
) as c
where g.ctid = c.place`,
    )
  }
  statements.push(`analyze ${groups}`)
  return statements
}

/** The statement that computes the extrema of lost groups afresh, `from` being the rows of the input in them. */
export function repairGroups(stage: Stage, tables: GroupTables, from: string): string | null {
  const { plan, groups } = tables
  const extrema = plan.accumulators.filter(({ merge }) => merge !== 'add')
  if (extrema.length === 0) return null
  const names = keyNames(stage)
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
where g."hash of group" = c."hash of group"${same(names, 'g', 'c')}`
}
