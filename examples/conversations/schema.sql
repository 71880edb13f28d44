-- The conversations dashboard: who answers whom, and the materialized view that was refreshed every five minutes.
create table prospectos (
  id int primary key generated always as identity,
  nombre text not null,
  coordinacion_id int,
  ejecutivo_id uuid
);
create table conversaciones_whatsapp (
  id int primary key generated always as identity,
  prospecto_id int not null references prospectos,
  estado text not null default 'activa',
  creada timestamptz not null default now()
);
create table mensajes_whatsapp (
  id bigint primary key generated always as identity,
  conversacion_id int not null references conversaciones_whatsapp,
  rol text not null,
  contenido text not null,
  enviado timestamptz not null default now()
);
create index on conversaciones_whatsapp (prospecto_id);
create index on mensajes_whatsapp (conversacion_id);

create materialized view mv_conversaciones_dashboard as
select c.id as conversacion_id, p.id as prospecto_id, p.nombre, p.coordinacion_id, p.ejecutivo_id, c.estado,
       count(m.id) as mensajes, max(m.enviado) as ultimo_mensaje
from conversaciones_whatsapp c
join prospectos p on p.id = c.prospecto_id
left join mensajes_whatsapp m on m.conversacion_id = c.id
group by c.id, p.id;
create unique index mv_conversaciones_dashboard_id on mv_conversaciones_dashboard (conversacion_id);
create index mv_conversaciones_dashboard_ejecutivo on mv_conversaciones_dashboard (ejecutivo_id);
