import { executeText, listText, partOf, valueText } from './assemble.ts'
import { absentText } from '../algebra/determine.ts'
import type { GroupTables } from './accumulate.ts'
import { accumulateQueries, coreOfGroups, repairGroups } from './accumulate.ts'
import { touchedColumn, touchedVariable } from './check.ts'
import { cutStatements, isWantedOrNull, partitionKeys } from './cut.ts'
import { difference, imageOf, resultSelect } from './difference.ts'
import { refreshFirstRows } from './first-rows.ts'
import { ownGroupsSelect, refreshOwnGroups } from './own-groups.ts'
import type { Statement } from './relation.ts'
import {
  conditionText,
  expressionText,
  hashText,
  indented,
  itemOf,
  keyedSelect,
  outputList,
  restrictedItem,
  selectOf,
} from './relation.ts'
import { columnOf } from '../algebra/expression.ts'
import type { Partition } from '../algebra/relation.ts'
import { isConstant } from '../algebra/relation.ts'
import type { StageContext, StoredStage } from './stored-stage.ts'
import {
  assemblyOf,
  keyVariables,
  restrictionOf,
  resultVariables,
  sameKey,
  statementOf,
  tableList,
  valuesStatements,
  withText,
} from './stored-stage.ts'
import { sqlName } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'

/** The SELECT of everything that a stage stores, hash included. */
export function fullSelect(context: StageContext, stored: StoredStage): string {
  if (stored.groups?.within != null) return ownGroupsSelect(context, stored)
  const statement = statementOf(context)
  const core =
    stored.groups === null
      ? coreSelect(statement, stored, false)
      : groupedCore(statement, stored, stored.groups)
  return rowsSelect(stored, core)
}

/** The core from its groups, which were filled before; groups that cannot be added up, if there are any, afresh. */
function groupedCore(statement: Statement, { stage }: StoredStage, tables: GroupTables): string {
  const { plan, groups } = tables
  if (plan.special.length === 0 || stage.core.kind !== 'aggregate') {
    return coreOfGroups(stage, tables, groups)
  }
  const odd = plan.special.map((name) => `${name} > 0`).join(' or ')
  const plain = coreOfGroups(stage, tables, `(select * from ${groups} where not (${odd})) as g`)
  const keys = stage.core.keys.map(({ id }) => sqlName(id))
  const these =
    keys.length === 0
      ? ''
      : `\n  and ${hashText(keys)} in (select "hash of group" from ${groups} where ${odd})`
  return `${plain}
union all
select *
from (
${indented(keyedSelect(statement, stage.core, null))}
) as afresh
where (select exists (select from ${groups} where ${odd}))${these}`
}

function coreSelect(statement: Statement, stored: StoredStage, restricted: boolean): string {
  const { core, linear } = stored.stage
  if (linear) return selectOf(statement, core)
  return keyedSelect(statement, core, restricted ? restrictionOf(stored) : null)
}

function rowsSelect(stored: StoredStage, core: string): string {
  const { stage, hash } = stored
  const where = stage.having.length === 0 ? '' : `\nwhere ${conditionText(stage.having)}`
  const rows = `select ${tableList(stored) || '1 as one'}\nfrom (\n${indented(core)}\n) as core${where}`
  if (hash === null) return rows
  return `select r.*, ${hashOf(stored, 'r')} as ${sqlName(hash)}\nfrom (\n${indented(rows)}\n) as r`
}

/** The hash by which rows of a stage are found. */
function hashOf({ stage, keyNames, outputs }: StoredStage, alias: string): string {
  if (stage.linear) return `hashtextextended(${imageOf(outputs, alias)}, 0)`
  return hashText(keyNames.map((name) => `${alias}.${sqlName(name)}`))
}

/**
 * The statement that brings a stage up to date from the changes of its inputs, into came, altered, went (and its own
 * changes).
 *
 * A linear stage: its changes are added up by image; what is less than nothing is taken out, what is more is put in.
 *
 * Any other: the keys at which an input changed, whatever the sign; the rows of these keys computed afresh; what is
 * stored under these keys; the difference is written. A row with another key cannot have changed, for a row of the
 * core depends only on the rows of the input with its key.
 */
export function refreshStatements(context: StageContext, stored: StoredStage): readonly string[] {
  if (stored.stage.linear) return [`${applyChanges(context, stored)};`]
  if (stored.stage.core.kind === 'partition')
    return partitionStatements(context, stored, stored.stage.core)
  if (stored.stage.firstRows !== undefined)
    return refreshFirstRows(context, stored, () => rewrite(context, stored))
  if (stored.groups === null) return [recompute(context, stored, 'touched')]
  if (stored.groups.within !== null)
    return refreshOwnGroups(context, stored, () => rewrite(context, stored))
  return accumulate(context, stored, stored.groups)
}

/**
 * A stage that is kept up by weight: the groups from what changed, the rows from the groups. Where an extremum went, or
 * a value cannot be added up, the group is computed afresh after that; both changes together are the change.
 */
function accumulate(
  context: StageContext,
  stored: StoredStage,
  tables: GroupTables,
): readonly string[] {
  const { stage, table, hash, changeType, changes } = stored
  const statement = statementOf(context, assemblyOf(stage))
  const queries = accumulateQueries(statement, stage, tables)
  const fresh = rowsSelect(stored, coreOfGroups(stage, tables, 'groups'))
  const there =
    hash === null
      ? `select s.ctid as "place of row", s.* from ${table} as s`
      : `select s.ctid as "place of row", s.*
from change as k
join ${table} as s on ${sameKey(stored, 'k', '"hash of group"')}`
  const own = [
    ...queries,
    `fresh as materialized (\n${indented(fresh)}\n)`,
    `stored as materialized (\n${indented(there)}\n)`,
    ...difference(stored),
  ]
  const sql = `${withText(statement, own)}
${resultSelect(stored).replace(/\nfrom difference$/, '')},
  (select array_agg("hash of group") from groups where lost${stage.key.length === 0 ? ' or "rows" = 0' : ' and "rows" > 0'}),
  (select array_agg("hash of group") from groups where "rows" <= 0),
  ${['(select coalesce(bool_or("rows" < 0), false) from groups)', ...touchedColumn(stored, { from: 'change', by: 'id', hash: '"hash of group"' }, statement.assembly)].join(',\n  ')}
from difference`
  const into = [
    resultVariables(stored),
    '"lost groups"',
    '"empty groups"',
    'broken',
    ...touchedVariable(stored),
  ].join(', ')
  const main = `${executeText(statement.assembly, sql, into)};`
  const [side] = inputKeys(stage)
  const repairStatement = statementOf(context)
  const from =
    side === undefined ? '' : restrictedItem(repairStatement, side, restrictionOf(stored))
  const repair = repairGroups(stage, tables, from)
  const find =
    stage.key.length === 0 ? '' : `${indented(keysStatement(context, stored, 'lost'), '      ')};\n`
  const again = `  -- What is not known of a group any more is computed afresh.
  if "lost groups" is not null then
    declare
      "came before" bigint := came; "altered before" bigint := altered; "went before" bigint := went;${changeType === null ? '' : `\n      "changes before" ${changeType}[] := ${changes};`}
    begin
${find}${repair === null ? '' : `${indented(repair, '      ')};\n`}${indented(rewrite(context, stored), '      ')};
      came := came + "came before"; altered := altered + "altered before"; went := went + "went before";${changeType === null ? '' : `\n      ${changes} := "changes before" || ${changes};`}
    end;
  end if;`
  const clean =
    stage.key.length === 0
      ? []
      : [
          `if "empty groups" is not null then
  delete from ${tables.groups} where "hash of group" = any ("empty groups") and "rows" = 0;
end if;`,
        ]
  return [main, ...clean, again.replaceAll(/^ {2}/gm, '')]
}

function applyChanges(context: StageContext, stored: StoredStage): string {
  const { stage, outputs, table, hash, changeType } = stored
  const statement = statementOf(context, assemblyOf(stage))
  const changed = itemOf(statement, stage.core, 'delta')
  // By id until they are written: the user's own names may be anything.
  const list = stage.outputs.map(({ id }) => sqlName(id))
  const image = `row(${list.map((id) => `c.${id}`).join(', ')})::text collate "C"`
  const hashName = sqlName(hash ?? 'hash')
  const own = [
    `-- What changed, rows that look alike added up.
net as materialized (
  select ${[...list.map((id) => `tidemark.first(${id}) as ${id}`), 'image', `${textHash('image')} as hash`, 'sum(w) as w'].join(', ')}
  from (
    select c.*, ${image} as image
    from (
      select ${[outputList(stage.outputs), `${changed.alias}.w as w`].filter((part) => part !== '').join(', ')}
      from ${indented(changed.sql, '      ').trimStart()}
    ) as c
  ) as c
  group by image
  having sum(w) <> 0
)`,
    `gone as materialized (
  select place
  from (
    select s.ctid as place, n.w, row_number() over (partition by n.hash, n.image) as turn
    from net as n
    join ${table} as s on s.${hashName} = n.hash and ${imageOf(outputs, 's')} = n.image
    where n.w < 0
  ) as found
  where turn <= -w
)`,
    `removed as (
  delete from ${table} as s
  where s.ctid = any (array(select place from gone))
  returning 1
)`,
    `added as (
  insert into ${table} (${[...outputs.map(({ name }) => sqlName(name)), hashName].join(', ')})
  select ${[...list.map((id) => `n.${id}`), 'n.hash'].join(', ')}
  from net as n
  cross join generate_series(1, n.w)
  where n.w > 0
    -- Rows go before rows come, for the sake of unique indexes.
    and (select count(*) from removed) >= 0
  returning 1
)`,
  ]
  const sql = `${withText(statement, own)}
select
  (select count(*) from added),
  0,
  (select count(*) from removed),
${
  changeType === null
    ? ''
    : `  (select array_agg(row(${[...list.map((id) => `n.${id}`), 'n.w'].join(', ')})::${changeType}) from net as n),
`
}  -- More went than there was: what is stored is not what it should be.
  ${[
    '(select coalesce(-sum(w), 0) from net where w < 0) <> (select count(*) from removed)',
    ...touchedColumn(stored, { from: 'net', by: 'id', hash: 'hash' }, statement.assembly),
  ].join(',\n  ')}`
  const into = [resultVariables(stored), 'broken', ...touchedVariable(stored)].join(', ')
  return executeText(statement.assembly, sql, into)
}

const textHash = (name: string): string => `hashtextextended(${name}, 0)`

/** Which keys: all at which something changed, or only those of groups that were lost. */
type Touched = 'touched' | 'lost'

/**
 * The keys are put into variables first: PostgreSQL then knows how many there are when it plans how to find their rows.
 */
function recompute(context: StageContext, stored: StoredStage, touched: Touched): string {
  const { stage } = stored
  if (stage.key.length === 0) return `${rewrite(context, stored)};`
  return `${keysStatement(context, stored, touched)};
${rewrite(context, stored)};`
}

/** More changed keys than this are worth a look at how many there are altogether. */
const fewPartitions = 100

/**
 * The rows of the keys at which something changed, computed afresh from sources that are cut to these keys. When it is
 * more than half of many keys, everything is computed afresh instead.
 */
function partitionStatements(
  context: StageContext,
  stored: StoredStage,
  core: Partition,
): readonly string[] {
  const { keyNames, table } = stored
  const list = keyNames.map((name) => sqlName(name)).join(', ')
  return [
    `${keysStatement(context, stored, 'touched')};`,
    ...cutStatements(core, keyVariables(stored), context.names.typeOf),
    `if cardinality(${partitionKeys}) > ${String(fewPartitions)}
   and 2 * cardinality(${partitionKeys}) > (select count(*) from (select from ${table} group by ${list}) as every_key) then
  since := null;
else
${indented(rewrite(context, stored))};
end if;`,
  ]
}

function rewrite(context: StageContext, stored: StoredStage): string {
  const statement = statementOf(context)
  const fresh = rowsSelect(stored, coreSelect(statement, stored, true))
  const own = [
    `-- The rows as they have to be.
fresh as materialized (
${indented(fresh)}
)`,
    `-- The rows as they are stored.
stored as materialized (
${indented(storedSelect(stored))}
)`,
    ...difference(stored),
  ]
  const { core } = stored.stage
  if (core.kind !== 'partition' || core.proven) {
    return `${withText(statement, own)}
${resultSelect(stored)}
into ${resultVariables(stored)}`
  }
  const by = stored.keyNames.map((name) => `f.${sqlName(name)}`).join('')
  const wanted = isWantedOrNull(by, context.names.typeOf(columnOf(core.by)))
  return `${withText(statement, own)}
${resultSelect(stored).replace(/\nfrom difference$/, '')},
  -- A row of another key than the sources were cut to: the declared keys are wrong.
  (select coalesce(bool_or(${wanted} is not true), false) from fresh as f)
from difference
into ${resultVariables(stored)}, broken`
}

/** Every key at which an input changed, old and new. */
function keysStatement(context: StageContext, stored: StoredStage, touched: Touched): string {
  const { stage, keyType } = stored
  const statement = statementOf(context, assemblyOf(stage))
  const names = stage.key.map(({ id }) => sqlName(id))
  const terms = inputKeys(stage)
    .filter(({ input }) => !isConstant(input))
    .map(({ input, key }) => {
      const item = itemOf(statement, input, 'delta')
      const list = key.map(
        (expression, at) => `${expressionText(expression)} as ${names[at] ?? ''}`,
      )
      return partOf(statement.assembly, [item.gate], (gates) =>
        [`select ${list.join(', ')} from ${item.sql}`, ...gates].join(' where '),
      )
    })
  const { keys, keysWithNull } = keyVariables(stored)
  const lost =
    touched === 'lost'
      ? `\n  having ${hashText(names)} = any (${valueText(statement.assembly, '"lost groups"')})`
      : ''
  const ctes = statement.ctes.length === 0 ? '' : `${withText(statement, [])}\n`
  const sql = `${ctes}select array_agg(key) filter (where not has_null), array_agg(key) filter (where has_null)
from (
  select row(${[...names, hashText(names)].join(', ')})::${keyType ?? ''} as key, ${names.map((name, at) => absentText(name, stored.keyTypes[at])).join(' or ')} as has_null
  from (
${indented(listText(statement.assembly, terms, '\nunion all\n'), '    ')}
  ) as c
  group by ${names.join(', ')}${lost}
) as k`
  const found = `-- The keys at which something changed.
${executeText(statement.assembly, sql, `${keys}, ${keysWithNull}`)}`
  // Whoever asks for them ends the last statement.
  return [`${found};`, ...valuesStatements(context, stored)].join('\n').replace(/;$/, '')
}

function storedSelect(stored: StoredStage): string {
  const { stage, table, hash, foundByKey } = stored
  if (hash === null || stage.key.length === 0)
    return `select s.ctid as "place of row", s.* from ${table} as s`
  const { keys, keysWithNull } = keyVariables(stored)
  const found = (from: string): string => `select s.ctid as "place of row", s.*
from unnest(${from}) as k
join ${table} as s on ${sameKey(stored, 'k', 'hash')}`
  if (foundByKey) return found(keys)
  return `${found(keys)}
union all
${found(keysWithNull)}
where ${keysWithNull} is not null`
}

/** The columns of a stage by name, for scans of it in a statement that computes it in place. */
export function inlineSelect(context: StageContext, stage: Stage): string {
  const statement = statementOf(context)
  const core = stage.linear
    ? selectOf(statement, stage.core)
    : keyedSelect(statement, stage.core, null)
  const where = stage.having.length === 0 ? '' : `\nwhere ${conditionText(stage.having)}`
  return `select ${outputList(stage.outputs) || '1 as one'}\nfrom (\n${indented(core)}\n) as core${where}`
}
