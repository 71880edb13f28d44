-- Universal transactions: payments of three channels in one materialized view for the CEO's dashboard.
create table cpg_pos (id int primary key generated always as identity, cliente text not null, monto_total numeric(12, 2) not null, fecha timestamptz not null default now());
create table cpg_consignment (like cpg_pos including all);
create table cpg_online (like cpg_pos including all);

create materialized view universal_transactions_mv as
select 'pos' as origen, id, cliente, monto_total, fecha from cpg_pos
union all select 'consignment', id, cliente, monto_total, fecha from cpg_consignment
union all select 'online', id, cliente, monto_total, fecha from cpg_online;
create unique index universal_transactions_mv_key on universal_transactions_mv (origen, id);
