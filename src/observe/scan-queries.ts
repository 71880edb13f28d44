import { identifier, literal } from '../postgres/identifier.ts'
import type { LogColumns } from './scan-log-tables.ts'
import type { Oid } from './scan-facts.ts'

/** Schemas whose relations and functions are not a user's own. */
const ownSchema = (alias: string): string =>
  `${alias}.nspname not in ('pg_catalog', 'information_schema', 'tidemark', 'tidemark_state', 'cron')
   and ${alias}.nspname !~ '^pg_(toast|temp)'`

const notOfExtension = (catalog: 'pg_class' | 'pg_proc', oid: string): string =>
  `not exists (select from pg_depend e
               where e.classid = '${catalog}'::regclass and e.objid = ${oid} and e.deptype = 'e')`

/** Numbers only, so they need no quotes. */
const oidList = (oids: readonly Oid[]): string => `'{${oids.join(',')}}'::oid[]`

/** Readable whether or not the role may look into the schema: the question itself never fails. */
const mayRead = `has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')`

/** The server, the database and the role. */
export const headQuery = `
select split_part(current_setting('server_version'), ' ', 1) as version,
       current_database()::text as database,
       current_user::text as role,
       pg_is_in_recovery() as standby,
       exists (select from pg_namespace where nspname = 'tidemark') as tidemark,
       clock_timestamp() as now,
       pg_postmaster_start_time() as "startedAt",
       (select stats_reset from pg_stat_database where datname = current_database()) as "countedSince",
       current_setting('cron.timezone', true) as "cronZone"`

/** Materialized views, without anything that would wait for a refresh that runs. */
export const viewsQuery: string = `
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
       pg_get_userbyid(c.relowner)::text as owner,
       pg_has_role(c.relowner, 'member') as "ownedByRole",
       ${mayRead} as readable,
       c.relispopulated as populated, c.relpages as pages, c.reltuples::float8 as tuples,
       pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
         + pg_stat_get_tuples_deleted(c.oid) as "rowsWritten",
       greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) as "analyzedAt",
       (select json_build_object('name', i.relname, 'columns',
                 (select json_agg(a.attname order by k.place)
                  from unnest(x.indkey::int2[]) with ordinality k (attnum, place)
                  join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
                  where k.place <= x.indnkeyatts))
        from pg_index x
        join pg_class i on i.oid = x.indexrelid
        where x.indrelid = c.oid and x.indisunique and x.indisvalid and x.indimmediate
          and x.indpred is null and x.indexprs is null
        order by x.indnkeyatts, i.relname
        limit 1) as unique,
       coalesce((select json_agg(distinct jsonb_build_object('schema', rn.nspname, 'name', r.relname))
                 from pg_depend d
                 join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
                 join pg_class r on r.oid = w.ev_class and r.oid <> c.oid
                 join pg_namespace rn on rn.oid = r.relnamespace
                 where d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid), '[]') as readers,
       coalesce((select json_agg(distinct p.oid::int8)
                 from pg_depend d
                 join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid and w.ev_class = c.oid
                 join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
                 join pg_namespace pn on pn.oid = p.pronamespace
                 where ${ownSchema('pn')}), '[]') as functions
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm' and ${ownSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}
order by n.nspname, c.relname`

/** Relations that somebody has locked against every reader: to ask for their size would be to wait. */
export const lockedQuery = `
select l.relation::int8 as oid
from pg_locks l
where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.granted
  and l.database = (select oid from pg_database where datname = current_database())`

/** Sizes and definitions; takes ACCESS SHARE on the views. */
export const detailsQuery = (oids: readonly Oid[]): string => `
select c.oid::int8 as oid, pg_table_size(c.oid) as "tableBytes", pg_indexes_size(c.oid) as "indexBytes",
       rtrim(pg_get_viewdef(c.oid), ';') as definition
from pg_class c
where c.oid = any (${oidList(oids)})`

/** What each view reads, through plain views and up to the next materialized view. */
export const readsQuery = (views: readonly Oid[]): string => `
with recursive edge as (
  select distinct w.ev_class as reader, d.refobjid as input
  from pg_depend d
  join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid and w.rulename = '_RETURN'
  where d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
),
walk as (
  select e.reader as view, e.input
  from edge e
  where e.reader = any (${oidList(views)})
  union
  select w.view, e.input
  from walk w
  join pg_class c on c.oid = w.input and c.relkind = 'v'
  join edge e on e.reader = w.input
)
select w.view::int8 as view, w.input::int8 as source
from walk w
join pg_class c on c.oid = w.input and c.relkind in ('r', 'p', 'f', 'm')
join pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema')
order by n.nspname, c.relname`

/** Relations that are read, their partitions together. */
export const sourcesQuery = (oids: readonly Oid[]): string => `
with recursive leaf as (
  select o.oid as root, o.oid from unnest(${oidList(oids)}) o (oid)
  union
  select l.root, i.inhrelid from leaf l join pg_inherits i on i.inhparent = l.oid
)
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
       case c.relkind when 'p' then 'partitioned' when 'f' then 'foreign' when 'm' then 'matview' else 'table' end as kind,
       (select json_agg(l.oid::int8) from leaf l where l.root = c.oid) as leaves,
       (select sum(p.relpages) from leaf l join pg_class p on p.oid = l.oid where l.root = c.oid)::int8 as pages,
       (select sum(pg_stat_get_tuples_inserted(l.oid) + pg_stat_get_tuples_updated(l.oid)
                   + pg_stat_get_tuples_deleted(l.oid))
        from leaf l where l.root = c.oid)::int8 as writes
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any (${oidList(oids)})
order by n.nspname, c.relname`

/** Size on disk with indexes; takes ACCESS SHARE on the tables. */
export const bytesQuery = (oids: readonly Oid[]): string => `
select o.oid::int8 as oid, pg_total_relation_size(o.oid::regclass) as bytes
from unnest(${oidList(oids)}) o (oid)`

/** Functions of users with their source text, the bodies of SQL functions included. */
export const functionsQuery: string = `
select p.oid::int8 as oid, n.nspname::text as schema, p.proname::text as name,
       pg_get_function_arguments(p.oid) as arguments,
       coalesce(nullif(p.prosrc, ''), pg_get_function_sqlbody(p.oid), '') as body
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang and l.lanname not in ('c', 'internal')
where p.prokind in ('f', 'p') and length(p.prosrc) < 100000
  and ${ownSchema('n')} and ${notOfExtension('pg_proc', 'p.oid')}
order by n.nspname, p.proname, p.oid
limit 5000`

/** Triggers of users; the definition only where there is a WHEN, for it takes a lock to tell it. */
export const triggersQuery = (withDefinitions: boolean): string => `
select t.tgrelid::int8 as table, n.nspname::text as "tableSchema", c.relname::text as "tableName",
       t.tgname::text as name, t.tgfoid::int8 as function, t.tgenabled <> 'D' as enabled,
       array_remove(array[case when t.tgtype & 4 > 0 then 'insert' end, case when t.tgtype & 16 > 0 then 'update' end,
                          case when t.tgtype & 8 > 0 then 'delete' end, case when t.tgtype & 32 > 0 then 'truncate' end],
                    null) as events,
       ${withDefinitions ? 'case when t.tgqual is not null then pg_get_triggerdef(t.oid, true) end' : 'null::text'} as definition
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_proc p on p.oid = t.tgfoid
join pg_namespace pn on pn.oid = p.pronamespace
where not t.tgisinternal and t.tgparentid = 0 and ${ownSchema('n')} and pn.nspname <> 'tidemark'
order by n.nspname, c.relname, t.tgname`

/** Tables of users with those of their columns by which a cache or a log can be told. */
export const tablesQuery: string = `
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
       c.relpages as pages, c.reltuples::float8 as tuples, ${mayRead} as readable,
       coalesce((select json_agg(json_build_object('name', a.attname, 'kind',
                   case t.typcategory when 'D' then 'time' when 'S' then 'text' when 'N' then 'number'
                                      when 'T' then 'interval' else 'other' end) order by a.attnum)
                 from pg_attribute a
                 join pg_type t on t.oid = a.atttypid
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                   and a.attname ~ '(expir|cache|_at$|_time$|ttl|last_|calculat|comput|refresh|update|view|duration|status|stale|valid)'),
                '[]') as columns
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and ${ownSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}
order by n.nspname, c.relname`

/** What the role may see of pg_cron; no row where it is not installed. */
export const cronAccessQuery = `
select has_schema_privilege(n.oid, 'usage') and has_table_privilege(j.oid, 'select') as jobs,
       coalesce(has_schema_privilege(n.oid, 'usage') and has_table_privilege(r.oid, 'select'), false) as runs,
       r.oid is not null as "hasRuns",
       row_security_active(j.oid) as "ownJobsOnly"
from pg_namespace n
join pg_class j on j.relnamespace = n.oid and j.relname = 'job'
left join pg_class r on r.relnamespace = n.oid and r.relname = 'job_run_details'
where n.nspname = 'cron'`

/** Jobs of this database. */
export const jobsQuery = `
select j.jobid::int8 as id, to_jsonb(j) ->> 'jobname' as name, j.schedule, j.command, j.active, j.username::text as role
from cron.job j
where j.database = current_database()
order by j.jobid`

/** A log that was never cleaned can be huge and has no index but its key: the newest runs must do. */
const jobRunsKept = 100_000

/** What pg_cron remembers of each job. */
export const jobRunsQuery: string = `
with recent as materialized (
  select r.jobid, r.status, r.return_message, coalesce(r.start_time, r.end_time) as at,
         extract(epoch from r.end_time - r.start_time)::float8 * 1000 as ms
  from cron.job_run_details r
  where r.database = current_database()
  order by r.runid desc
  limit ${jobRunsKept}
),
run as (
  select r.*, max(at) filter (where status = 'succeeded') over (partition by jobid) as succeeded_at
  from recent r
  where status in ('succeeded', 'failed')
)
select jobid::int8 as job,
       count(*) as runs,
       count(*) filter (where status = 'failed') as failed,
       count(*) filter (where status = 'failed' and at > coalesce(succeeded_at, '-infinity')) as "failedInARow",
       min(at) as since,
       percentile_cont(0.5) within group (order by ms) filter (where status = 'succeeded') as "medianMs",
       max(ms) filter (where status = 'succeeded') as "mostMs",
       max(at) filter (where status = 'succeeded') as "lastAt",
       (array_agg(ms order by at desc) filter (where status = 'succeeded'))[1] as "lastMs",
       max(at) filter (where status = 'failed') as "failureAt",
       (array_agg(return_message order by at desc) filter (where status = 'failed'))[1] as failure
from run
group by jobid`

/** The schema of pg_stat_statements, and whether the role sees the statements of others. */
export const statementsAccessQuery = `
select n.nspname::text as schema, pg_has_role('pg_read_all_stats', 'usage') as everybodys
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'`

/** Each REFRESH that was counted. `stats_since` is there from PostgreSQL 17 on. */
export const statementsQuery = (schema: string): string => `
select s.query, s.calls, s.mean_exec_time as "meanMs", s.max_exec_time as "mostMs",
       coalesce((to_jsonb(s) ->> 'stats_since')::timestamptz,
                (select stats_reset from ${identifier(schema)}.pg_stat_statements_info)) as since
from ${identifier(schema)}.pg_stat_statements s
where s.dbid = (select oid from pg_database where datname = current_database())
  and s.query ~* '^\\s*refresh\\s+materialized\\s+view'
order by s.calls desc`

/** What a log table of the user's says, by view. */
export function logQuery(
  table: { readonly sql: string; readonly name: string },
  log: LogColumns,
): string {
  const ok =
    log.status === null
      ? 'true'
      : `${identifier(log.status)}::text !~* 'fail|error|cancel|running|pending'`
  const failed =
    log.status === null ? 'false' : `${identifier(log.status)}::text ~* 'fail|error|cancel'`
  const ms = log.durationMs === null ? 'null::float8' : `${identifier(log.durationMs)}::float8`
  return `
with run as (
  select ${identifier(log.view)}::text as view, ${identifier(log.at)}::timestamptz as at, ${ms} as ms, ${ok} as ok, ${failed} as failed
  from ${table.sql}
  where ${identifier(log.view)} is not null and ${identifier(log.at)} is not null
)
select ${literal(table.name)} as table, view, count(*) filter (where ok or failed) as runs, count(*) filter (where failed) as failed,
       min(at) as since, max(at) filter (where ok) as "lastAt",
       (array_agg(ms order by at desc) filter (where ok))[1] as "lastMs",
       percentile_cont(0.5) within group (order by ms) filter (where ok) as "medianMs",
       max(ms) filter (where ok) as "mostMs"
from run
group by view
order by view
limit 1000`
}
