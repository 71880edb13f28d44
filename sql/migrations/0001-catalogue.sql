-- The catalogue: what is declared, what each view reflects, what is to be done, what was done.
-- Tables are singular; the plural views over them (schedules, runs …) are for people.
-- Everything is found by name: a dump restores, a plan is text, a message can be read.

-- Which database this is. A restored, copied or promoted one carries the row of another and is recognised.
create table tidemark.installation (
  singleton boolean primary key default true check (singleton),
  id uuid not null default gen_random_uuid(),
  system_identifier bigint not null,
  database_oid oid not null,
  timeline text not null,
  -- A database whose next transaction id is below this one has been set back.
  highest_xid xid8 not null,
  installed_at timestamptz not null default now()
);

-- Settings that functions read: max_log_bytes, quarantine_after, sample_ms …
create table tidemark.setting (
  name text primary key,
  value text not null
);

-- Tables whose commits are captured. `name` is what it was called when captured and stays the key
-- of logs, gaps and tidemarks; `relation` follows renames.
create table tidemark.source (
  name text primary key,
  relation regclass not null,
  mode text not null check (mode in ('marks', 'rows')),
  columns text[] not null,
  -- captured: every commit is in the log. bypassed: somebody stopped it. broken: something it relies on changed.
  -- released: the log grew beyond its bound and was let go.
  status text not null default 'captured' check (status in ('captured', 'bypassed', 'broken', 'released')),
  status_reason text,
  -- Digest of the program that was installed, and of the catalogue rows it relies on.
  digest text not null,
  fingerprint text,
  captured_at timestamptz not null default now()
);

-- A change that cannot be told from the log: something was done while capture did not hold.
-- Every view of the source is unknown until a refresh whose snapshot sees the gap. Append-only.
create table tidemark.gap (
  source text not null,
  xid xid8 not null default pg_current_xact_id(),
  reason text not null,
  at timestamptz not null default clock_timestamp()
);

-- Looks at the clock: a commit that a look does not see is younger than the look.
create table tidemark.sample (
  at timestamptz not null,
  snapshot pg_snapshot not null
);
create index sample_at on tidemark.sample (at);

-- Views refreshed together at one snapshot. A view that shares none has a group of its own name.
create table tidemark.refresh_group (
  name text primary key,
  -- Advisory lock key: whoever refreshes the group holds it to the end of the transaction.
  lock_key int not null generated always as identity unique,
  timeout_ms int,
  failures int not null default 0,
  quarantined_at timestamptz,
  quarantine_reason text
);

create table tidemark.view (
  name text primary key,
  group_name text not null references tidemark.refresh_group (name) on update cascade,
  -- Order of refresh within the group: inputs before the views that read them.
  position int not null default 0,
  presentation text not null check (presentation in ('view', 'table', 'matview')),
  adopted boolean not null default false,
  strategy text not null default 'full' check (strategy in ('incremental', 'partition', 'full')),
  method text not null check (method in ('diff', 'refresh')),
  query text not null,
  digest text not null,
  key_columns text[],
  -- Calls now() or a volatile function: the result moves without a commit.
  time_dependent boolean not null default false,
  -- Reads what cannot be captured; the state is unknown with this reason.
  unknown_reason text,
  -- Qualified, quoted names: what readers select from, what holds the rows, what refreshes them.
  relation text not null,
  state text not null,
  maintain text not null,
  target_ms bigint not null,
  very_stale_ms bigint not null,
  -- {"hours": …, "target_ms": …}: another target inside business hours; its spans are in target_window.
  business_target jsonb,
  policy text not null default 'deadline' check (policy in ('deadline', 'eager', 'budget')),
  budget_seconds_per_hour numeric,
  verify text not null default 'off' check (verify in ('off', 'sample', 'full')),
  refresh_roles text[] not null default '{}',
  refreshes_per_hour int,
  fallback text,
  paused_at timestamptz,
  paused_by text,
  pause_reason text,
  declared_at timestamptz not null default now()
);

-- What a view reads directly: captured tables …
create table tidemark.view_source (
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  source text not null references tidemark.source (name) on update cascade,
  columns text[] not null default '{}',
  primary key (view, source)
);
create index view_source_source on tidemark.view_source (source);

-- … and other views.
create table tidemark.view_input (
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  input text not null references tidemark.view (name) on update cascade,
  primary key (view, input)
);

-- What a view reflects: for each base source the snapshot whose commits are in it.
-- via = '' for a table read directly, else the view that it came through, whose map was inherited.
create table tidemark.tidemark (
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  source text not null,
  via text not null default '',
  snapshot pg_snapshot not null,
  as_of timestamptz not null,
  primary key (view, source, via)
);

-- What is known of a view beside its map: moves with every refresh, so it is apart from the declaration.
create table tidemark.view_state (
  view text primary key references tidemark.view (name) on delete cascade on update cascade,
  populated boolean not null default false,
  as_of timestamptz,
  -- The snapshot of the last refresh, also of a view that reads no captured table.
  snapshot pg_snapshot,
  refreshed_at timestamptz,
  row_count bigint,
  refreshes bigint not null default 0,
  checks bigint not null default 0,
  mismatches bigint not null default 0
);

-- Target in force during a span, where business hours change it; computed ahead by the engine.
create table tidemark.target_window (
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  target_ms bigint not null,
  primary key (view, starts_at)
);

-- A wish to refresh a group. At most one waits and one runs; wishes that meet a waiting one join it.
create table tidemark.request (
  request_id bigint primary key generated always as identity,
  group_name text not null references tidemark.refresh_group (name) on delete cascade on update cascade,
  status text not null default 'pending' check (status in ('pending', 'running')),
  -- 0 critical, 1 normal, 2 background
  lane smallint not null default 1,
  due timestamptz not null default now(),
  deadline timestamptz,
  force boolean not null default false,
  trigger_type text not null,
  triggered_by text not null,
  reasons jsonb not null default '[]',
  requests int not null default 1,
  attempt int not null default 0,
  -- Changes with every claim and every theft: who holds an old one cannot finish.
  token bigint not null default 0,
  requested_at timestamptz not null default now(),
  claimed_at timestamptz,
  worker text,
  pid int
);
create unique index request_pending on tidemark.request (group_name) where status = 'pending';
create unique index request_running on tidemark.request (group_name) where status = 'running';

-- One execution for one view. Written before it begins, so that a run that dies is seen.
create table tidemark.run (
  run_id bigint primary key generated always as identity,
  group_name text not null,
  view text not null,
  request_id bigint,
  trigger_type text not null,
  triggered_by text not null,
  reasons jsonb not null default '[]',
  status text not null default 'running'
    check (status in ('running', 'completed', 'skipped', 'failed', 'cancelled', 'timed_out', 'lost', 'queued')),
  strategy text not null,
  method text not null,
  worker text,
  pid int,
  requested_at timestamptz not null default now(),
  -- The oldest commit that the view did not reflect when the run was asked for.
  oldest_commit_at timestamptz,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  duration_ms bigint,
  rows_total bigint,
  rows_inserted bigint,
  rows_updated bigint,
  rows_deleted bigint,
  -- Rows in which the view and its query differed when the refresh checked itself; null: not checked.
  differing bigint,
  snapshot pg_snapshot,
  as_of timestamptz,
  waited_for text,
  reason text,
  error text,
  error_code text
);
create index run_view on tidemark.run (view, run_id desc);
create index run_running on tidemark.run (group_name) where status = 'running';
create index run_started on tidemark.run (started_at);
create index run_group on tidemark.run (group_name, request_id desc);

create table tidemark.schedule (
  schedule_id int primary key generated always as identity,
  name text not null unique,
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  cron text not null,
  zone text not null,
  business_hours jsonb,
  catch_up interval not null default interval '1 hour',
  lane smallint not null default 1,
  force boolean not null default false,
  active boolean not null default true,
  paused_by text,
  pause_reason text,
  -- Changes when the declaration does; slots computed from another one are computed anew.
  digest text not null,
  slots_digest text
);

-- Every instant at which a schedule is due, computed ahead, and what became of it.
create table tidemark.slot (
  schedule_id int not null references tidemark.schedule (schedule_id) on delete cascade,
  slot_at timestamptz not null,
  outcome text check (outcome in ('fired', 'collapsed', 'skipped', 'missed')),
  reason text,
  decided_at timestamptz,
  decided_by text,
  primary key (schedule_id, slot_at)
);
create index slot_open on tidemark.slot (slot_at) where outcome is null;

create table tidemark.event_rule (
  name text primary key,
  view text not null references tidemark.view (name) on delete cascade on update cascade,
  source text not null references tidemark.source (name) on update cascade,
  condition text not null,
  changes text[] not null,
  lane smallint not null default 1,
  batch_ms bigint not null default 0
);

-- Written by capture triggers inside the writer's transaction; taken by whoever ticks.
create table tidemark.event (
  rule text not null,
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp()
);

-- Objects that apply made, so that destroy takes away exactly these; and what they stood in place of.
create table tidemark.artifact (
  kind text not null,
  name text not null,
  owner_noun text not null,
  owner_name text not null,
  -- SQL that brings back what was there before adoption; empty when nothing was.
  restore jsonb not null default '[]',
  made_at timestamptz not null default now(),
  primary key (kind, name)
);
