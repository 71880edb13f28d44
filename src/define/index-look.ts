import type { RelationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import { askedIndexPrefix } from '../model/names.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualifiedName } from '../postgres/identifier.ts'
import type { IndexedTable } from './index-statements.ts'

/**
 * A table and its partitions, the table first and each below its parent, with those of their indexes that have the
 * definition of a proposal, whatever they are called. PostgreSQL itself says what the definition is: of an index on an
 * empty copy of the table, in a transaction that leaves nothing.
 */
export async function lookAtTable(
  transaction: Queryable,
  { table, columns }: Pick<IndexProposal, 'table' | 'columns'>,
): Promise<readonly IndexedTable[]> {
  await transaction.query('savepoint look_at_table')
  await transaction.query(`create temporary table "tidemark index" (like ${qualifiedName(table)})`)
  await transaction.query(`create index on pg_temp."tidemark index" (${columns.join(', ')})`)
  const tables = await transaction.query<IndexedTable>(tablesQuery, [qualifiedName(table)])
  await transaction.query('rollback to savepoint look_at_table')
  return tables
}

const keyOf = (index: string): string =>
  `array(select pg_get_indexdef(${index}.indexrelid, k, false) from generate_series(1, ${index}.indnkeyatts) k)`

const tablesQuery = `
with wanted as (
  select x.*, i.relam from pg_index x join pg_class i on i.oid = x.indexrelid
   where x.indrelid = 'pg_temp."tidemark index"'::regclass),
tables as (
  select $1::regclass::oid as oid, null::oid as parent, 0 as level
   union all
  select t.relid, t.parentrelid, t.level from pg_partition_tree($1::regclass) t where t.relid <> $1::regclass)
select t.oid, t.parent, n.nspname as schema, c.relname as name,
  case c.relkind when 'p' then 'partitioned' when 'f' then 'foreign' else 'table' end as kind,
  coalesce((
    select json_agg(json_build_object('oid', i.oid::int8, 'schema', s.nspname, 'name', i.relname, 'valid', x.indisvalid,
             'attachedTo', h.inhparent::int8, 'beingMade', exists (
               select from pg_stat_progress_create_index p where p.index_relid = i.oid)) order by i.oid)
      from pg_index x
      join pg_class i on i.oid = x.indexrelid
      join pg_namespace s on s.oid = i.relnamespace
      join wanted w on w.relam = i.relam and w.indnatts = x.indnatts and w.indclass::text = x.indclass::text
        and w.indoption::text = x.indoption::text and w.indcollation::text = x.indcollation::text
        and ${keyOf('w')} = ${keyOf('x')}
      left join pg_inherits h on h.inhrelid = i.oid
     where x.indrelid = t.oid and x.indpred is null and not x.indisexclusion), '[]') as indexes
from tables t
join pg_class c on c.oid = t.oid
join pg_namespace n on n.oid = c.relnamespace
order by t.level, t.oid
`

/** An index that was made on request, as SQL names it and as it is dropped. */
export interface AskedIndex {
  readonly name: string
  readonly table: string
  readonly dropSql: string
}

/** The indexes that were made on request on tables other than `views`; of partitioned tables not those of each part. */
export function readAskedIndexes(
  queryable: Queryable,
  views: readonly RelationName[],
): Promise<readonly AskedIndex[]> {
  return queryable.query<AskedIndex>(
    `select format('%I.%I', n.nspname, i.relname) as name, format('%I.%I', n.nspname, c.relname) as "table",
       format('drop index %s%I.%I', case when i.relkind = 'i' then 'concurrently ' else '' end,
              n.nspname, i.relname) as "dropSql"
     from pg_index x
     join pg_class i on i.oid = x.indexrelid
     join pg_class c on c.oid = x.indrelid
     join pg_namespace n on n.oid = c.relnamespace
     where starts_with(i.relname, $1) and not i.relispartition
       and n.nspname not in ('tidemark', 'tidemark_state') and n.nspname || '.' || c.relname <> all ($2)
     order by 1`,
    [askedIndexPrefix, views],
  )
}
