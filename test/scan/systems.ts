import type { Queryable } from '../../src/postgres/connection.ts'

type Sql = Queryable['query']

/** System A: a cache table that triggers empty, over materialized views that cron refreshes. */
const campaigns = `
create table usuarios (id uuid primary key default gen_random_uuid(), email text unique, rol text);
create table candidatos (id bigserial primary key, email_agente text, mes_conexion text, nombre text);
create table polizas (id bigserial primary key, usuario_id uuid, prima numeric, estatus text, creada timestamptz default now());
create table clientes (id bigserial primary key, usuario_id uuid, nombre text);
create table prospectos (id bigserial primary key, usuario_id uuid, etapa text);
create table planificaciones (id bigserial primary key, usuario_id uuid, semana date);
create table campaigns_custom_metrics (id bigserial primary key, usuario_id uuid, valor numeric);
create table user_segments (id bigserial primary key, usuario_id uuid, segmento text);
create table campaign_progress (
  usuario_id uuid, campaign_id bigint, progress jsonb, eligible boolean,
  last_updated timestamptz default now(), primary key (usuario_id, campaign_id));

create materialized view vw_polizas_metricas as
  select usuario_id, count(*) as polizas, sum(prima) as prima from polizas where estatus = 'vigente' group by usuario_id;
create materialized view vw_cancelaciones_indices as
  select usuario_id, count(*) filter (where estatus = 'cancelada')::numeric / count(*) as indice from polizas group by usuario_id;
create materialized view vw_rc_metricas as
  select usuario_id, count(*) as rc from prospectos where etapa = 'rc' group by usuario_id;

create function refresh_metricas() returns void language plpgsql as $f$
begin
  -- refresh materialized view nothing_of_this_kind
  refresh materialized view vw_polizas_metricas;
  refresh materialized view vw_cancelaciones_indices;
  refresh materialized view vw_rc_metricas;
end $f$;

create function invalidate_campaign_cache() returns trigger language plpgsql security definer as $f$
begin
  delete from campaign_progress where usuario_id = coalesce(new.usuario_id, old.usuario_id);
  return null;
end $f$;
create function invalidate_campaign_cache_by_email() returns trigger language plpgsql as $f$
begin
  delete from campaign_progress cp using usuarios u
   where u.email = coalesce(new.email_agente, old.email_agente) and cp.usuario_id = u.id;
  return null;
end $f$;
create trigger candidatos_cache after insert or update or delete on candidatos
  for each row execute function invalidate_campaign_cache_by_email();
${[
  'polizas',
  'clientes',
  'prospectos',
  'planificaciones',
  'campaigns_custom_metrics',
  'user_segments',
]
  .map(
    (table) => `create trigger ${table}_cache after insert or update or delete on ${table}
  for each row execute function invalidate_campaign_cache();`,
  )
  .join('\n')}

create function clean_stale_campaign_cache(max_age interval default interval '5 minutes') returns bigint
language plpgsql as $f$
declare n bigint;
begin
  delete from campaign_progress where last_updated < now() - max_age;
  get diagnostics n = row_count;
  return n;
end $f$;

insert into usuarios (email) select 'agente' || i || '@example.com' from generate_series(1, 20) i;
insert into polizas (usuario_id, prima, estatus)
  select id, 1000, 'vigente' from usuarios, generate_series(1, 10);
`

/** System B: a dashboard that pg_cron refreshes concurrently every five minutes. */
const conversations = `
create table prospectos_whatsapp (id bigserial primary key, ejecutivo_id uuid, coordinacion text, nombre text);
create table conversaciones_whatsapp (id bigserial primary key, prospecto_id bigint, abierta boolean, actualizada timestamptz);
create table mensajes_whatsapp (id bigserial primary key, conversacion_id bigint, texto text, enviado timestamptz default now());
create view conversaciones_abiertas as select * from conversaciones_whatsapp where abierta;
create materialized view mv_conversaciones_dashboard as
  select c.id, p.ejecutivo_id, p.coordinacion, count(m.id) as mensajes, max(m.enviado) as ultimo
  from conversaciones_abiertas c
  join prospectos_whatsapp p on p.id = c.prospecto_id
  left join mensajes_whatsapp m on m.conversacion_id = c.id
  group by c.id, p.ejecutivo_id, p.coordinacion;
create unique index mv_conversaciones_dashboard_id on mv_conversaciones_dashboard (id);
create index mv_conversaciones_dashboard_ejecutivo on mv_conversaciones_dashboard (ejecutivo_id);
create view conversaciones_por_ejecutivo as
  select ejecutivo_id, count(*) as conversaciones from mv_conversaciones_dashboard group by ejecutivo_id;
insert into prospectos_whatsapp (ejecutivo_id, nombre)
  select 'd7847ffa-0758-4eb2-a97b-f80e54886531', 'p' || i from generate_series(1, 29) i;
insert into conversaciones_whatsapp (prospecto_id, abierta) select id, true from prospectos_whatsapp;
refresh materialized view mv_conversaciones_dashboard;
`

/** System C: hourly and in business hours by cron, at once by event, with a log of its own. */
const transactions = `
create table cpg_consignment (id bigserial primary key, monto_total numeric not null, fecha timestamptz default now());
create table cpg_pos (id bigserial primary key, monto_total numeric not null, fecha timestamptz default now());
create materialized view universal_transactions_mv as
  select 'consignment' as origen, id, monto_total, fecha from cpg_consignment
  union all
  select 'pos', id, monto_total, fecha from cpg_pos;
create unique index universal_transactions_mv_key on universal_transactions_mv (origen, id);
create table mv_refresh_log (
  id bigserial primary key, view_name text not null, refresh_started_at timestamptz not null,
  refresh_duration_ms int, rows_affected bigint, status text, trigger_type text, triggered_by text,
  error text, created_at timestamptz default now());
create table mv_refresh_triggers (
  id bigserial primary key, source_table text, priority text, refresh_requested boolean default true,
  processed_at timestamptz, created_at timestamptz default now());

create function refresh_universal_transactions_logged(trigger_type text, triggered_by text)
returns table (refresh_id bigint, duration_ms int, rows_affected bigint, status text) language plpgsql as $f$
declare started timestamptz := clock_timestamp();
begin
  execute format('refresh materialized view concurrently %I', 'universal_transactions_mv');
  return query insert into mv_refresh_log (view_name, refresh_started_at, refresh_duration_ms, status, trigger_type, triggered_by)
    values ('universal_transactions_mv', started, (extract(epoch from clock_timestamp() - started) * 1000)::int, 'completed', $1, $2)
    returning mv_refresh_log.id, refresh_duration_ms, mv_refresh_log.rows_affected, mv_refresh_log.status;
end $f$;
create function queue_mv_refresh() returns trigger language plpgsql as $f$
begin
  if new.monto_total >= 10000 then
    insert into mv_refresh_triggers (source_table, priority) values (tg_table_name, 'critical');
  end if;
  return new;
end $f$;
create trigger high_value_refresh after insert or update on cpg_consignment
  for each row execute function queue_mv_refresh();
create function process_pending_mv_refreshes() returns int language plpgsql as $f$
begin
  if exists (select from mv_refresh_triggers where refresh_requested and processed_at is null) then
    perform refresh_universal_transactions_logged('event', 'worker');
    update mv_refresh_triggers set processed_at = now() where processed_at is null;
    return 1;
  end if;
  return 0;
end $f$;
insert into cpg_consignment (monto_total) select i * 100 from generate_series(1, 90) i;
insert into mv_refresh_log (view_name, refresh_started_at, refresh_duration_ms, rows_affected, status, trigger_type)
  select 'universal_transactions_mv', now() - i * interval '1 hour', 1000 + i * 10, 12543,
         case when i = 5 then 'failed' else 'completed' end, 'cron'
  from generate_series(0, 23) i;
`

/** What none of the three has, and what must not be taken for a cache. */
const others = `
create schema mart;
create materialized view mart."Ventas 2024" as select 1 as uno with no data;
create materialized view mart.sesiones_hoy as
  select count(*) as n from polizas where creada > now() - interval '1 day';
create table sessions (id uuid primary key, user_id bigint, expires_at timestamptz);
create function purge_sessions() returns void language sql as $f$ delete from sessions where expires_at < now() $f$;
create table kpi_cache (key text primary key, value jsonb, expires_at timestamptz);
create table order_lines (id bigint, order_id bigint);
create table orders (id bigint primary key);
create function delete_lines() returns trigger language plpgsql as $f$
begin delete from order_lines where order_id = old.id; return old; end $f$;
create trigger lines_go_too after delete on orders for each row execute function delete_lines();
`

/** Makes systems A, B and C, as their documents describe them, in one database. */
export async function createSystems(sql: Sql): Promise<void> {
  for (const part of [campaigns, conversations, transactions, others]) await sql(part)
}

/** Jobs of the three systems, as their documents schedule them. */
export const jobs = [
  {
    name: 'refresh-conversaciones-dashboard',
    schedule: '*/5 * * * *',
    command: 'REFRESH MATERIALIZED VIEW CONCURRENTLY mv_conversaciones_dashboard',
  },
  { name: 'refresh-metricas', schedule: '*/10 * * * *', command: 'SELECT refresh_metricas();' },
  {
    name: 'clean-campaign-cache',
    schedule: '*/10 * * * *',
    command: 'SELECT clean_stale_campaign_cache();',
  },
  {
    name: 'refresh-universal-transactions-hourly',
    schedule: '0 * * * *',
    command: `SELECT refresh_universal_transactions_logged('cron', 'hourly_job')`,
  },
  {
    name: 'refresh-universal-transactions-frequent',
    schedule: '*/15 9-18 * * 1-5',
    command: `SELECT refresh_universal_transactions_logged('cron', 'frequent_job')`,
  },
  {
    name: 'process-mv-refresh-events',
    schedule: '*/5 * * * *',
    command: 'SELECT process_pending_mv_refreshes()',
  },
] as const

/**
 * The tables of pg_cron made by hand, with its columns, its rights and its row security: for servers that
 * do not have it. `scan-pg-cron.pg.test.ts` looks at the real one.
 */
export async function createCronByHand(sql: Sql): Promise<void> {
  await sql(`
    create schema cron;
    create table cron.job (
      jobid bigserial primary key, schedule text not null, command text not null,
      nodename text default 'localhost', nodeport int default 5432,
      database text default current_database(), username text default current_user,
      active boolean default true, jobname name);
    create table cron.job_run_details (
      jobid bigint, runid bigserial primary key, job_pid int, database text default current_database(),
      username text default current_user, command text, status text, return_message text,
      start_time timestamptz, end_time timestamptz);
    alter table cron.job enable row level security;
    create policy cron_job_policy on cron.job using (username = current_user);`)
  for (const { name, schedule, command } of jobs) {
    await sql('insert into cron.job (jobname, schedule, command) values ($1, $2, $3)', [
      name,
      schedule,
      command,
    ])
  }
}

/** A day of runs of job 1 at its schedule; the last `failing` of them failed. */
export async function addRuns(sql: Sql, failing: number): Promise<void> {
  await sql(
    `insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
     select 1, 1000 + i, current_database(), current_user, 'x',
            case when i > 288 - $1 then 'failed' else 'succeeded' end,
            case when i > 288 - $1 then E'ERROR:  canceling statement due to lock timeout\\nCONTEXT: x' else 'REFRESH MATERIALIZED VIEW' end,
            now() - (289 - i) * interval '5 minutes',
            now() - (289 - i) * interval '5 minutes' + (1000 + i) * interval '1 millisecond'
     from generate_series(1, 288) i`,
    [failing],
  )
}
