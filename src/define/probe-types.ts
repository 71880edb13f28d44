import type { ColumnType } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { sqlstateOf } from '../postgres/sqlstate.ts'

interface TypeRow {
  readonly type: string
  readonly collation: string | null
  readonly image_equal: boolean
  readonly hashable: boolean
  readonly float: boolean
  readonly equality: string | null
}

/** Each is a view for a moment, on which the server holds a lock; of locks it has some thousands. */
const probesMax = 500

/**
 * The types of the columns of queries, as the server finds them; none of a query with a column that no table can have, as one of
 * max(record) in PostgreSQL 18.
 *
 * Runs in the caller's transaction, below a savepoint that is rolled back. Tidemark's own functions need not exist:
 * stand-ins among temporary objects take their place. Throws what PostgreSQL says of a query that it refuses.
 */
export async function probeTypes(
  transaction: Queryable,
  queries: readonly string[],
): Promise<readonly (readonly ColumnType[])[]> {
  const types: (readonly ColumnType[])[] = []
  for (let at = 0; at < queries.length; at += probesMax) {
    const some = queries.slice(at, at + probesMax)
    const found = await storable(() => probeSome(transaction, some))
    if (found !== null) types.push(...found)
    else for (const query of some) types.push(await probeOne(transaction, query))
  }
  return types
}

/** SQLSTATE of a view with a column of a pseudo-type. */
const invalidTable = '42P16'

/** Null where a column is of a type that is none of tables. */
async function storable<Result>(probe: () => Promise<Result>): Promise<Result | null> {
  return probe().catch((error: unknown) => {
    if (sqlstateOf(error) === invalidTable) return null
    throw error
  })
}

async function probeOne(transaction: Queryable, query: string): Promise<readonly ColumnType[]> {
  const [types] = (await storable(() => probeSome(transaction, [query]))) ?? []
  return types ?? []
}

async function probeSome(
  transaction: Queryable,
  queries: readonly string[],
): Promise<readonly (readonly ColumnType[])[]> {
  await transaction.query('savepoint probe_types')
  try {
    const created = queries.map(
      (sql, at) =>
        `create temporary view "tidemark probe ${String(at)}" as ${sql.replaceAll(/\btidemark\.(first|only)\(/g, 'pg_temp.$1(')}`,
    )
    const statements = [`set local search_path = pg_catalog`, standIns, ...created, typesQuery]
    const rows = await transaction.query<TypeRow & { probe: string }>(statements.join(';\n'))
    return queries.map((_, at) =>
      rows
        .filter(({ probe }) => probe === `tidemark probe ${String(at)}`)
        .map((row) => typeOf(row)),
    )
  } finally {
    const back = 'rollback to savepoint probe_types; release savepoint probe_types'
    await transaction.query(back).catch(() => [])
  }
}

const typeOf = (row: TypeRow): ColumnType => ({
  type: row.type,
  collation: row.collation,
  imageEqual: row.image_equal,
  hashable: row.hashable,
  float: row.float,
  equality: row.equality,
})

const standIns = `
create function pg_temp.first_step(anyelement, anyelement) returns anyelement
  language sql immutable strict as 'select $1';
create aggregate pg_temp.first(anyelement) (sfunc = pg_temp.first_step, stype = anyelement);
create function pg_temp.only(anyelement, bigint) returns anyelement language sql immutable as 'select $1'`

/**
 * Types whose equal values look alike. Not among them: numeric without a scale (1.0 = 1.00), floats (0 = -0), interval
 * (1 day = 24:00), timetz, jsonb, citext, char without a length, and what nothing is known of.
 */
const alike = `'bool', 'int2', 'int4', 'int8', 'oid', 'text', 'varchar', 'name', 'char', 'date', 'time', 'timestamp',
  'timestamptz', 'uuid', 'bytea', 'macaddr', 'macaddr8', 'inet', 'cidr', 'money', 'bit', 'varbit', 'pg_lsn', 'xid', 'xid8',
  'int4range', 'int8range', 'daterange', 'tsrange', 'tstzrange', 'int4multirange', 'int8multirange', 'datemultirange',
  'tsmultirange', 'tstzmultirange'`

const typesQuery = `
with recursive probed as (
  select c.relname as probe, a.attnum, a.atttypid, a.atttypmod, a.attcollation
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  where c.relnamespace = pg_my_temp_schema() and c.relname like 'tidemark probe %' and a.attnum > 0
),
-- Domains, arrays and composites as what they are made of.
part (probe, attnum, typid, typmod, coll) as (
  select probe, attnum, atttypid, atttypmod, attcollation from probed
  union all
  select p.probe, p.attnum, x.typid, x.typmod, x.coll
  from part p
  join pg_type t on t.oid = p.typid
  cross join lateral (
    select case when t.typtype = 'd' then t.typbasetype else t.typelem end as typid,
      case when t.typtype = 'd' and p.typmod < 0 then t.typtypmod else p.typmod end as typmod, p.coll
    where t.typtype = 'd' or (t.typcategory = 'A' and t.typelem <> 0)
    union all
    select a.atttypid, a.atttypmod, a.attcollation
    from pg_attribute a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) as x
),
leaf as (
  select p.*, t.typname, t.typtype, t.typnamespace = 'pg_catalog'::regnamespace as builtin
  from part p
  join pg_type t on t.oid = p.typid
  where t.typtype not in ('d', 'c') and not (t.typcategory = 'A' and t.typelem <> 0)
),
base as (
  select p.probe, p.attnum, p.typid
  from part p
  join pg_type t on t.oid = p.typid
  where t.typtype <> 'd'
)
select p.probe, p.attnum, format_type(p.atttypid, p.atttypmod) as type,
  (select format('%I.%I', n.nspname, k.collname) from pg_collation k join pg_namespace n on n.oid = k.collnamespace
    where k.oid = p.attcollation and p.attcollation <> (select t.typcollation from pg_type t where t.oid = p.atttypid)) as collation,
  coalesce(bool_and(
    (l.typtype = 'e' or (l.builtin and l.typname in (${alike}))
      or (l.builtin and l.typname in ('numeric', 'bpchar') and l.typmod >= 0))
    and coalesce((select k.collisdeterministic from pg_collation k where k.oid = l.coll), true)), false) as image_equal,
  coalesce(bool_and(
    l.typtype in ('e', 'r', 'm') or exists (
      select from pg_opclass o
      where o.opcmethod = (select m.oid from pg_am m where m.amname = 'hash') and o.opcdefault
        and (o.opcintype = l.typid or (l.typname = 'varchar' and l.builtin)))), false) as hashable,
  coalesce(bool_or(l.builtin and l.typname in ('float4', 'float8')), false) as float,
  (
    select n.nspname || '.' || o.oprname
    from base b
    join pg_type t on t.oid = b.typid
    join pg_opclass k on k.opcmethod = (select m.oid from pg_am m where m.amname = 'btree') and k.opcdefault
      and (k.opcintype = b.typid
        or (k.opcintype = 'text'::regtype and b.typid = 'varchar'::regtype)
        or (k.opcintype = 'anyarray'::regtype and t.typcategory = 'A')
        or (k.opcintype = 'anyenum'::regtype and t.typtype = 'e')
        or (k.opcintype = 'anyrange'::regtype and t.typtype = 'r')
        or (k.opcintype = 'anymultirange'::regtype and t.typtype = 'm')
        or (k.opcintype = 'record'::regtype and t.typtype = 'c'))
    join pg_amop a on a.amopfamily = k.opcfamily and a.amopstrategy = 3
      and a.amoplefttype = k.opcintype and a.amoprighttype = k.opcintype
    join pg_operator o on o.oid = a.amopopr
    join pg_namespace n on n.oid = o.oprnamespace
    where b.probe = p.probe and b.attnum = p.attnum
    limit 1
  ) as equality
from probed p
left join leaf l on l.probe = p.probe and l.attnum = p.attnum
group by p.probe, p.attnum, p.atttypid, p.atttypmod, p.attcollation
order by p.probe, p.attnum
`
