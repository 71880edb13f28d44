-- Progress in sales campaigns: one row for each user and campaign, computed when it is missing, over three materialized views
-- that were refreshed every five to ten minutes.
create table usuarios (
  id uuid primary key default gen_random_uuid(),
  email text not null unique,
  nombre text not null
);
create table campaigns (
  id int primary key generated always as identity,
  nombre text not null,
  polizas_meta int not null
);
create table candidatos (
  id int primary key generated always as identity,
  email_agente text not null,
  nombre text not null,
  mes_conexion text
);
create table polizas (
  id int primary key generated always as identity,
  usuario_id uuid not null references usuarios,
  prima numeric(12, 2) not null,
  estado text not null default 'VIGENTE',
  creada timestamptz not null default now()
);
create table clientes (
  id int primary key generated always as identity,
  usuario_id uuid not null references usuarios,
  nombre text not null
);
create table prospectos (
  id int primary key generated always as identity,
  usuario_id uuid not null references usuarios,
  estado text not null default 'pendiente'
);
create table planificaciones (
  id int primary key generated always as identity,
  usuario_id uuid not null references usuarios,
  semana int not null,
  bloques jsonb not null default '[]'
);
create table campaigns_custom_metrics (
  id int primary key generated always as identity,
  campaign_id int not null references campaigns,
  usuario_id uuid not null references usuarios,
  valor numeric not null
);
create table user_segments (
  usuario_id uuid not null references usuarios,
  segmento text not null,
  primary key (usuario_id, segmento)
);
create index on polizas (usuario_id);
create index on clientes (usuario_id);
create index on prospectos (usuario_id);

-- The cache.
create table campaign_progress (
  usuario_id uuid not null references usuarios,
  campaign_id int not null references campaigns,
  elegible boolean not null,
  polizas int not null,
  computed_at timestamptz not null default now(),
  primary key (usuario_id, campaign_id)
);
create index on campaign_progress (computed_at);

create materialized view vw_polizas_metricas as
select usuario_id, count(*) as polizas, sum(prima) as prima
from polizas where estado = 'VIGENTE' group by usuario_id;
create unique index on vw_polizas_metricas (usuario_id);

create materialized view vw_cancelaciones_indices as
select usuario_id, count(*) filter (where estado = 'CANCELADA') as canceladas, count(*) as todas
from polizas group by usuario_id;
create unique index on vw_cancelaciones_indices (usuario_id);

create materialized view vw_rc_metricas as
select usuario_id, estado, count(*) as prospectos
from prospectos group by usuario_id, estado;
create unique index on vw_rc_metricas (usuario_id, estado);
