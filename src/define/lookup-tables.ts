import type { RelationName } from '../model/ids.ts'
import { partsOf } from '../model/ids.ts'
import type { IndexProposal, LookupTable } from '../model/index-proposal.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualifiedName } from '../postgres/identifier.ts'

interface TableRow {
  readonly name: RelationName
  readonly rows: number | null
  readonly partitioned: boolean
  readonly indexed: readonly string[]
  readonly distinct: Readonly<Record<string, number>>
}

/** What decides whether rows of tables can be looked up: sizes, indexes, how many values columns have. Reads only. */
export async function readLookupTables(
  queryable: Queryable,
  names: readonly RelationName[],
): Promise<ReadonlyMap<RelationName, LookupTable>> {
  if (names.length === 0) return new Map()
  const parts = names.map((name) => partsOf(name))
  const rows = await queryable.query<TableRow>(tablesQuery, [
    parts.map(({ schema }) => schema),
    parts.map(({ name }) => name),
  ])
  return new Map(
    rows.map(({ distinct, ...row }) => [
      row.name,
      { ...row, distinct: new Map(Object.entries(distinct)) },
    ]),
  )
}

/**
 * The proposals that PostgreSQL would take: an expression that is not immutable makes no index. Tried on empty copies
 * among temporary objects, below a savepoint that is rolled back.
 */
export async function possibleIndexes(
  transaction: Queryable,
  proposals: readonly IndexProposal[],
): Promise<readonly IndexProposal[]> {
  const possible: IndexProposal[] = []
  for (const proposal of proposals) {
    const isPlain = proposal.columns.every((column) => !column.includes('('))
    if (isPlain || (await isPossible(transaction, proposal))) possible.push(proposal)
  }
  return possible
}

async function isPossible(
  transaction: Queryable,
  { table, columns }: IndexProposal,
): Promise<boolean> {
  await transaction.query('savepoint possible_index')
  try {
    await transaction.query(
      `create temporary table "tidemark index" (like ${qualifiedName(table)})`,
    )
    await transaction.query(`create index on pg_temp."tidemark index" (${columns.join(', ')})`)
    return true
  } catch {
    return false
  } finally {
    await transaction.query(
      'rollback to savepoint possible_index; release savepoint possible_index',
    )
  }
}

const tablesQuery = `
select n.nspname || '.' || c.relname as name,
  c.relkind = 'p' as partitioned,
  -- The parent of partitions has no rows of its own, and is analysed by hand only.
  (select sum(part.reltuples)::float8
     from (select case when c.relkind = 'p' then null else c.oid end as oid
           union all
           select t.relid from pg_partition_tree(c.oid) t where c.relkind = 'p' and t.isleaf) members
     join pg_class part on part.oid = members.oid and part.reltuples >= 0) as rows,
  array(
    select pg_get_indexdef(i.indexrelid, 1, true)
      from pg_index i
      join pg_class x on x.oid = i.indexrelid
      join pg_am a on a.oid = x.relam
     where i.indrelid = c.oid and i.indisvalid and i.indpred is null and a.amname in ('btree', 'hash')
     order by 1) as indexed,
  coalesce((
    select json_object_agg(s.attname, case when s.n_distinct >= 0 then s.n_distinct
                                           else -s.n_distinct * greatest(c.reltuples, 0) end)
      from pg_stats s
     where s.schemaname = n.nspname and s.tablename = c.relname and not s.inherited and c.reltuples > 0
       and s.n_distinct <> 0), '{}') as distinct
from unnest($1::text[], $2::text[]) as w (schema, name)
join pg_namespace n on n.nspname = w.schema
join pg_class c on c.relnamespace = n.oid and c.relname = w.name
order by 1
`
