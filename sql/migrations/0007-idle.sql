-- Databases that sleep: an engine with `idle` stops asking when nothing has changed for a while, and is woken.
--
-- The sequence says whether an engine sleeps: 2 asleep, 1 awake. A sequence, because its value is not subject to snapshots:
-- a writer sees it at once, also one whose REPEATABLE READ snapshot is older than the sleep. An engine that lies down
-- waits until every transaction that was at work when it set the value has ended, and looks once more: from then on
-- every writer has seen the value.
create sequence tidemark.asleep as smallint minvalue 1 maxvalue 2 start 1;

-- Called by capture triggers and readers that find an engine asleep. Takes a look in the sleeper's stead, so that what is
-- written now is not dated to before the sleep. The look's time must precede its snapshot: a statement's own time does
-- under READ COMMITTED, only the transaction's does elsewhere.
create function tidemark.wake() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into tidemark.sample (at, snapshot)
  values (case when current_setting('transaction_isolation') = 'read committed' then statement_timestamp() else now() end,
          tidemark.snapshot_now());
  perform pg_notify('tidemark', 'wake');
end $$;

create function tidemark.is_asleep() returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select last_value = 2 from tidemark.asleep
$$;

-- True when nothing is to be done before `next_due`: no view behind, nothing asked for, nobody at work.
create function tidemark.is_idle() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return not exists (select from tidemark.request)
     and not exists (select from tidemark.event)
     and not exists (select from tidemark.freshness_of() f where f.staleness_ms is distinct from 0);
end $$;

-- Lies down; returns the snapshot whose transactions are to be waited for.
create function tidemark.lie_down() returns pg_snapshot
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform setval('tidemark.asleep', 2);
  return pg_current_snapshot();
end $$;

-- Everybody who was at work in `since` has ended.
create function tidemark.all_ended(since pg_snapshot) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select pg_snapshot_xmin(pg_current_snapshot()) >= pg_snapshot_xmax(since)
$$;

create function tidemark.get_up() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform setval('tidemark.asleep', 1);
  perform pg_notify('tidemark', 'awake');
end $$;

-- The next instant at which something is due by itself.
create function tidemark.next_due() returns timestamptz
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select min(d) from (
    select min(q.due) as d from tidemark.request q where q.status = 'pending'
    union all select min(x.slot_at) from tidemark.slot x where x.outcome is null) n
$$;

call tidemark.close_to_public();
