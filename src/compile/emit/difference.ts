import { hashText, indented } from './relation.ts'
import { sameValue } from './restriction.ts'
import type { StoredColumn, StoredStage } from './stored-stage.ts'
import { isRewritten, pairingColumns } from './stored-stage.ts'
import { sqlName } from '../syntax/sql-text.ts'

/** A row as text: equal for rows that look alike. */
export const imageOf = (columns: readonly StoredColumn[], alias: string): string =>
  `row(${columns.map(({ name }) => `${alias}.${sqlName(name)}`).join(', ')})::text collate "C"`

/** Queries of WITH: rows of `fresh` and of `stored`, paired one to one, where they differ; then what is written. */
export function difference(stored: StoredStage): readonly string[] {
  const { outputs, hiddenKey, table, hash } = stored
  const columns = [...outputs, ...hiddenKey].map(({ name }) => sqlName(name))
  const all = [...columns, ...(hash === null ? [] : [sqlName(hash)])]
  const pairing = pairingColumns(stored)
  const pair = (alias: string): string =>
    pairing === null
      ? `hashtextextended(${imageOf([...outputs, ...hiddenKey], alias)}, 0)`
      : hashText(pairing.map((name) => `${alias}.${sqlName(name)}`))
  // The cast makes it one value: rows as they stand would be compared field by field, and by other operators.
  const image = (alias: string): string =>
    `row(${columns.map((name) => `${alias}.${name}`).join(', ')})::record`
  const inPlace = isRewritten(stored)
  // What a group counts stands beside its row and stays where it is: the row has to be that of the same key. One hash is not enough:
  // a composite value all of whose fields are NULL has the hash of NULL. Elsewhere all that a row has is written.
  const partners =
    stored.groups?.within == null
      ? ['s."turn of row" = n."turn of row"']
      : stored.keyNames.map((name, at) =>
          sameValue(
            `s.${sqlName(name)}`,
            `n.${sqlName(name)}`,
            stored.keyTypes[at] ?? { equality: null },
          ),
        )
  const side = (from: string): string =>
    `select *, row_number() over (partition by "pair of row") as "turn of row" from (select ${from}.*, ${pair(from)} as "pair of row" from ${from}) as p`
  return [
    `difference as materialized (
  select n."pair of row" is not null as "is new", s."place of row", ${[...all.map((name) => `n.${name}`), ...columns.map((name, at) => `s.${name} as "old ${String(at + 1)}"`)].join(', ')}
  from (${side('fresh')}) as n
  full join (${side('stored')}) as s on ${['s."pair of row" = n."pair of row"', ...partners].join(' and ')}
  where n."pair of row" is null or s."pair of row" is null or ${image('n')} *<> ${image('s')}
)`,
    `removed as (
  delete from ${table} as s
  where s.ctid = any (array(select "place of row" from difference where ${inPlace ? 'not "is new"' : '"place of row" is not null'}))
  returning 1
)`,
    ...(inPlace
      ? [
          `rewritten as (
  update ${table} as s
  set ${all.map((name) => `${name} = d.${name}`).join(', ')}
  from difference as d
  where s.ctid = d."place of row" and d."is new"
  returning 1
)`,
        ]
      : []),
    `added as (
  insert into ${table} (${all.join(', ')})
  select ${all.map((name) => `d.${name}`).join(', ')}
  from difference as d
  where d."is new"${inPlace ? ' and d."place of row" is null' : ''}
    -- Rows go before rows come, for the sake of unique indexes.
    and (select count(*) from removed) >= 0
  returning 1
)`,
  ]
}

/** The SELECT of what {@link resultVariables} take, from `difference`. */
export function resultSelect(stored: StoredStage): string {
  const { outputs, changeType } = stored
  const counts = `select
  count(*) filter (where "is new" and "place of row" is null),
  count(*) filter (where "is new" and "place of row" is not null),
  count(*) filter (where not "is new")`
  if (changeType === null) return `${counts}\nfrom difference`
  const now = outputs.map(({ name }) => `d.${sqlName(name)}`)
  const before = outputs.map((_, at) => `d."old ${String(at + 1)}"`)
  return `${counts},
  (
    select array_agg(c.change)
    from (
      select row(${[...now, '1'].join(', ')})::${changeType} as change from difference as d where d."is new"
      union all
      select row(${[...before, '-1'].join(', ')})::${changeType} from difference as d where d."place of row" is not null
    ) as c
  )
from difference`
}

/** A statement that tells of changes, which are added to what was told before. */
export function alsoTold({ changeType, changes }: StoredStage, statement: string): string {
  const before = changeType === null ? '' : `\n  "changes before" ${changeType}[] := ${changes};`
  const both = changeType === null ? '' : `\n  ${changes} := "changes before" || ${changes};`
  return `declare
  "came before" bigint := came; "altered before" bigint := altered; "went before" bigint := went;${before}
begin
${indented(statement)}
  came := came + "came before"; altered := altered + "altered before"; went := went + "went before";${both}
end;`
}
