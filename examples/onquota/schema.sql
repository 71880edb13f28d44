-- OnQuota: quotes, expenses and clients of tenants, and the dashboard over them.
create type sale_status as enum ('DRAFT', 'SENT', 'ACCEPTED', 'REJECTED');

create table clients (
  id bigint primary key generated always as identity,
  tenant_id uuid not null,
  name text not null
);

create table quotes (
  id bigint primary key generated always as identity,
  tenant_id uuid not null,
  client_id bigint not null references clients (id) on delete cascade,
  status sale_status not null default 'DRAFT',
  total numeric(12, 2) not null,
  created_at timestamptz not null default now()
);
create index on quotes (tenant_id, status);

create table expenses (
  id bigint primary key generated always as identity,
  tenant_id uuid not null,
  spent_on date not null default current_date,
  amount numeric(12, 2) not null
);
create index on expenses (tenant_id, spent_on);
