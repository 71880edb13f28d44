-- The journal of invalidations: what caches outside of the database have to forget, in an order that everybody agrees on.
--
-- A namespace depends on tables and maintained views. What became of these is in their change logs, and what code asks for
-- (tidemark.invalidate) in invalidation_request; both are written in the writer's own transaction, and share nothing with
-- other writers. Whoever polls and finds rows beyond the cursor of the namespace *sequences* them: gives each tag a position.
--
-- Why whoever sees a position sees all before it. Positions are given under an advisory lock that is held until the
-- transaction has committed, and the statement that gives them takes its snapshot under the lock. So it sees the positions
-- of all who came before, goes on from the last, and becomes visible after them: what any snapshot sees is a prefix.
--
-- Why a poll that returned has told of every commit that was visible when it was sent. It takes a snapshot first, then reads
-- the cursor, which is a snapshot too, then looks for rows of transactions that its own snapshot sees and the cursor does
-- not. There are none: then all that it sees has a position. There are some: then the statement that sequences is later and
-- sees them as well; it moves the cursor to the very snapshot in which it read the logs, so none is left out and none is
-- taken twice. The positions are read last, by a later statement, which sees what a poll beside it has sequenced meanwhile,
-- so that a log emptied in between hides nothing. A transaction that was open at the time is neither in the one snapshot nor
-- in the other, and is found by the first poll after its commit.
create table tidemark.cache (
  name text primary key,
  -- Advisory lock key: whoever sequences holds it to the end of the transaction.
  lock_key int not null generated always as identity unique,
  -- Tables and views that the namespace depends on; what of them makes which tags is in its poll function.
  sources text[] not null,
  views text[] not null,
  rules jsonb not null,
  retain_ms bigint not null,
  roles text[] not null,
  digest text not null
);
comment on table tidemark.cache is 'namespaces of caches outside of the database';

-- Moves with every sequencing, so it is apart from the declaration.
create table tidemark.cache_state (
  cache text primary key references tidemark.cache (name) on delete cascade,
  -- Another one: nothing that was known under the former holds.
  epoch text not null default gen_random_uuid(),
  -- The cursor: commits that it sees have positions.
  snapshot pg_snapshot not null,
  -- Of each view the number of the refresh up to which its changes have positions.
  refreshes jsonb not null default '{}',
  position bigint not null default 0,
  -- Positions up to this one are no longer kept.
  forgotten bigint not null default 0,
  sequenced_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- What has a position. An invalidation by several transactions at once names the lowest and the highest id of them: it is
-- visible in a snapshot for certain when all between are.
create table tidemark.invalidation (
  cache text not null,
  position bigint not null,
  -- `tag`: every entry that bears it. `key`: the entry of this name.
  kind text not null,
  name text not null,
  verb text not null,
  first_xid xid8 not null,
  last_xid xid8 not null,
  at timestamptz not null,
  primary key (cache, position)
);

-- What code asks for, until it has a position.
create table tidemark.invalidation_request (
  cache text not null,
  xid xid8 not null default pg_current_xact_id(),
  tags text[] not null,
  keys text[] not null,
  verb text not null
);
create index invalidation_request_xid on tidemark.invalidation_request (cache, xid);

-- A value of a column as it stands in a tag. The TypeScript twin is in src/invalidate/tags.ts; a test holds both equal.
create function tidemark.tag_value(text) returns text
language sql immutable parallel safe as $$
  select coalesce(
    replace(replace(replace(replace(replace($1, '%', '%25'), ',', '%2C'), '=', '%3D'), ':', '%3A'), chr(10), '%0A'), '\N')
$$;

-- A snapshot as it is without what the transaction `me` has done or will yet do.
create function tidemark.snapshot_without(snap pg_snapshot, me xid8) returns pg_snapshot
language sql immutable parallel safe as $$
  select case when me is null or me >= pg_snapshot_xmax(snap) then snap
         else format('%s:%s:%s', least(me, pg_snapshot_xmin(snap)), pg_snapshot_xmax(snap),
                (select string_agg(x::text, ',' order by x) from (select pg_snapshot_xip(snap) as x union select me) xs))::pg_snapshot end
$$;

-- What a poll answers: news in one row.
create type tidemark.invalidation_news as (
  epoch text,
  -- Told is everything up to this position.
  position bigint,
  -- False: what was invalidated since cannot be told; everything that is held has to go.
  complete boolean,
  -- True: there is more behind this position; poll again at once.
  more boolean,
  -- Every commit that this snapshot sees is told of, once there is no more.
  snapshot pg_snapshot,
  -- Why commits may be missing; null when none can. While there is a problem nothing that is held may be taken for true.
  problem text,
  -- [position, kind, name, verb, first_xid, last_xid], …
  invalidations json,
  -- What of which source is told, {source: [[column, …], …]}: in the first answer, and whenever it is not complete.
  rules jsonb
);

-- The answer to a poll, as this statement sees the journal.
create function tidemark.tell_news(cache_name text, since bigint, since_epoch text, most int, seen pg_snapshot, blind text)
returns tidemark.invalidation_news
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare news tidemark.invalidation_news;
begin
  select s.epoch, coalesce(case when t.told = most then t.last end, s.position), k.complete,
         coalesce(t.told = most and t.last < s.position, false), seen,
         coalesce(blind, (
           select format('%s: %s, %s', coalesce(src.status, 'not_captured'), u.source, coalesce(src.status_reason, 'run tidemark apply'))
             from tidemark.cache c cross join unnest(c.sources) u (source) left join tidemark.source src on src.name = u.source
            where c.name = cache_name and src.status is distinct from 'captured' limit 1)),
         coalesce(t.rows, '[]'),
         case when since is null or not k.complete then (select c.rules from tidemark.cache c where c.name = cache_name) end
    into news
    from tidemark.cache_state s
    cross join lateral (
      select since is null or since between s.forgotten and s.position and coalesce(since_epoch = s.epoch, true) as complete) k
    left join lateral (
      select count(*) as told, max(i.position) as last,
             json_agg(json_build_array(i.position, i.kind, i.name, i.verb, i.first_xid::text, i.last_xid::text) order by i.position) as rows
        from (select * from tidemark.invalidation j
               where j.cache = cache_name and j.position > since and j.position <= s.position
               order by j.position limit most) i) t on k.complete and since < s.position
   where s.cache = cache_name;
  return news;
end $$;

-- What is new since a position, in one round trip: `since` and `since_epoch` as the last answer told, null to begin. Nothing
-- new: reads only. Something new: gives it positions first. In a transaction of its own (autocommit): positions that are rolled
-- back would be given again, to others. INVOKER: who may poll a namespace is who may execute its function.
create function tidemark.poll_invalidations(
  namespace text, since bigint default null, since_epoch text default null, max int default 10000)
returns tidemark.invalidation_news
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare news tidemark.invalidation_news;
begin
  execute format('select * from tidemark.%I($1, $2, $3)', tidemark.cache_function('poll', namespace)) into news using since, since_epoch, max;
  return news;
end $$;

-- The same as rows, for people and for languages without JSON.
create function tidemark.invalidations(namespace text, since bigint default 0, max int default 10000)
returns table ("position" bigint, kind text, name text, verb text, first_xid xid8, last_xid xid8)
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select (n ->> 0)::bigint, n ->> 1, n ->> 2, n ->> 3, (n ->> 4)::xid8, (n ->> 5)::xid8
  from tidemark.poll_invalidations(namespace, since, null, max) p, json_array_elements(p.invalidations) n
$$;

-- What a reader gives to a cache that is to have the write of this transaction: its id, for a transaction that has written. Of one
-- that has not, the snapshot: all that is visible now.
create function tidemark.token() returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select coalesce(pg_current_xact_id_if_assigned()::text, pg_current_snapshot()::text)
$$;

-- Asks that everything with one of these tags, and the entries of these keys, be forgotten: in the caller's own transaction, so
-- that a rollback takes the wish back, and none of what it changed is seen before. `remove`: may not be served again. `expire`:
-- may be, until there is a new one.
create function tidemark.invalidate(namespace text, tags text[], verb text default 'remove', keys text[] default '{}') returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  execute format('select tidemark.%I($1, $2, $3)', tidemark.cache_function('invalidate', namespace)) using tags, verb, keys;
end $$;

-- The name of a function of a namespace. Says it where there is no such namespace.
create function tidemark.cache_function(what text, namespace text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare function_name text := tidemark.object_name(what || ' ' || namespace);
begin
  if not exists (select from pg_proc p where p.pronamespace = 'tidemark'::regnamespace and p.proname = function_name) then
    perform tidemark.fail('TIDEMARK_CACHE_UNKNOWN', format('No cache is called %s', namespace),
      'Declare it under caches in the configuration, and run tidemark apply.');
  end if;
  return function_name;
end $$;

create function tidemark.ask_invalidation(namespace text, tags text[], verb text, keys text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if verb is null or verb not in ('remove', 'expire') then
    perform tidemark.fail('TIDEMARK_USAGE', format('%s is no way to invalidate', coalesce(quote_literal(verb), 'NULL')),
      'Write remove or expire.');
  end if;
  tags := array_remove(coalesce(tags, '{}'), null);
  keys := array_remove(coalesce(keys, '{}'), null);
  insert into tidemark.invalidation_request (cache, tags, keys, verb)
  select namespace, tags, keys, verb where cardinality(tags) + cardinality(keys) > 0;
end $$;

-- How far the keys of another program's cache are deleted: everything up to this position.
create table tidemark.foreign_cache (
  cache text not null references tidemark.cache (name) on delete cascade,
  name text not null,
  epoch text,
  position bigint,
  primary key (cache, name)
);

create function tidemark.move_foreign(namespace text, cursor_name text, new_epoch text, new_position bigint)
returns table (epoch text, "position" bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  if new_epoch is not null then
    return query update tidemark.foreign_cache f set epoch = new_epoch, position = new_position
                  where f.cache = namespace and f.name = cursor_name returning f.epoch, f.position;
    return;
  end if;
  if not exists (select from tidemark.foreign_cache f where f.cache = namespace and f.name = cursor_name) then
    insert into tidemark.foreign_cache (cache, name) values (namespace, cursor_name) on conflict do nothing;
  end if;
  return query select f.epoch, f.position from tidemark.foreign_cache f
                where f.cache = namespace and f.name = cursor_name for update skip locked;
end $$;

-- The cursor of a foreign cache, held until the transaction ends, so that of several nodes one deletes; no row: another one
-- holds it. With a place: the cursor moves there.
create function tidemark.follow_foreign(namespace text, cursor_name text, new_epoch text default null, new_position bigint default null)
returns table (epoch text, "position" bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  return query execute format('select * from tidemark.%I($1, $2, $3)', tidemark.cache_function('foreign', namespace))
    using cursor_name, new_epoch, new_position;
end $$;

-- Entries that nodes share where there is no Redis. What a crash empties is loaded anew.
create unlogged table tidemark.shared_entry (
  cache text not null,
  key text not null,
  epoch text not null,
  -- The position at its lease: what has one beyond it, of its tags, came after it was read.
  position bigint not null,
  tags text[] not null,
  payload bytea not null,
  leased_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (cache, key)
);
create index shared_entry_expires on tidemark.shared_entry (expires_at);

create unlogged table tidemark.shared_lease (
  cache text not null,
  key text not null,
  holder text not null,
  epoch text not null,
  position bigint not null,
  leased_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (cache, key)
);

-- What a load failed with, for those who waited for it. Like an entry it stands until something invalidates it.
create unlogged table tidemark.shared_failure (
  cache text not null,
  key text not null,
  epoch text not null,
  position bigint not null,
  failure text not null,
  -- At the earliest: who began to wait later loads anew.
  failed_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (cache, key)
);

-- By tag and key: what was invalidated since an entry was read. Names may be longer than an index takes.
create index invalidation_name on tidemark.invalidation (cache, hashtextextended(name, 0), position);

create type tidemark.shared_answer as (
  epoch text, "position" bigint, leased boolean, standing text, age_ms float8, payload bytea, tags text[], stored boolean,
  failure text, failure_ms float8);

-- How an entry stands that was read at a position. In one snapshot, so that nothing is forgotten between two looks.
create function tidemark.standing_since(namespace text, entry_key text, entry_tags text[], entry_epoch text, since bigint) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case when s.epoch <> entry_epoch or s.forgotten > since or i.removed then 'removed' when i.expired then 'expired' else 'valid' end
  from tidemark.cache_state s
  cross join lateral (
    select bool_or(j.verb = 'remove') as removed, bool_or(j.verb = 'expire') as expired
    from tidemark.invalidation j
    where j.cache = namespace and j.position > since and j.name = any (entry_tags || entry_key)
      and hashtextextended(j.name, 0) = any (array(select hashtextextended(n, 0) from unnest(entry_tags || entry_key) n))
      and (j.kind = 'tag' or j.name = entry_key)) i
  where s.cache = namespace
$$;

-- One operation of the shared store: `read` answers the entry, if it stands, or what a load failed with while the caller waited (`since_ms`), or
-- gives the lease to the holder for `ms`, unless that is 0; `fill` stores for who has the lease, if nothing of its tags was invalidated since it was given; `fail` gives it
-- back with what its load failed with, after `since_ms`; `release` gives it back.
create function tidemark.use_store(
  namespace text, what text, entry_key text, lease_holder text, entry_tags text[], content bytea, ms float8, renew boolean, since_ms float8,
  failed text)
returns tidemark.shared_answer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  answer tidemark.shared_answer;
  entry tidemark.shared_entry;
  lease tidemark.shared_lease;
  span interval := ms * interval '1 millisecond';
begin
  -- First: what is looked at below is at this position or beyond.
  select s.epoch, s.position into answer.epoch, answer.position from tidemark.cache_state s where s.cache = namespace;
  answer.leased := false;
  answer.stored := false;
  if what = 'read' then
    loop
      select * into entry from tidemark.shared_entry e
       where e.cache = namespace and e.key = entry_key and e.expires_at > clock_timestamp();
      if found then
        answer.standing := tidemark.standing_since(namespace, entry_key, entry.tags, entry.epoch, entry.position);
      end if;
      if answer.standing in ('valid', 'expired') then
        answer.payload := entry.payload;
        answer.tags := entry.tags;
        answer.age_ms := extract(epoch from clock_timestamp() - entry.leased_at) * 1000;
        if answer.leased and not renew then
          delete from tidemark.shared_lease l where l.cache = namespace and l.key = entry_key and l.holder = lease_holder;
          answer.leased := false;
        end if;
      end if;
      exit when answer.payload is not null and not renew;
      if since_ms > 0 then
        select f.failure, extract(epoch from clock_timestamp() - f.failed_at) * 1000 into answer.failure, answer.failure_ms
          from tidemark.shared_failure f
         where f.cache = namespace and f.key = entry_key and f.expires_at > clock_timestamp()
           and f.failed_at > clock_timestamp() - since_ms * interval '1 millisecond'
           and tidemark.standing_since(namespace, entry_key, entry_tags, f.epoch, f.position) = 'valid';
        if found and answer.leased then
          delete from tidemark.shared_lease l where l.cache = namespace and l.key = entry_key and l.holder = lease_holder;
          answer.leased := false;
        end if;
      end if;
      exit when answer.leased or answer.failure is not null or ms = 0;
      insert into tidemark.shared_lease as l (cache, key, holder, epoch, position, leased_at, expires_at)
      values (namespace, entry_key, lease_holder, answer.epoch, answer.position, clock_timestamp(), clock_timestamp() + span)
      on conflict (cache, key) do update
        set holder = excluded.holder, epoch = excluded.epoch, position = excluded.position, leased_at = excluded.leased_at,
            expires_at = excluded.expires_at
        where l.holder = excluded.holder or l.expires_at <= clock_timestamp()
           or tidemark.standing_since(namespace, entry_key, '{}', l.epoch, l.position) = 'removed';
      answer.leased := found;
      -- Who had the lease may have stored an entry, or failed, while this waited for it: one more look.
      exit when not answer.leased;
    end loop;
    return answer;
  end if;
  delete from tidemark.shared_lease l where l.cache = namespace and l.key = entry_key and l.holder = lease_holder returning * into lease;
  if what = 'fill' and found and lease.expires_at > clock_timestamp()
     and tidemark.standing_since(namespace, entry_key, entry_tags, lease.epoch, lease.position) = 'valid' then
    insert into tidemark.shared_entry as e (cache, key, epoch, position, tags, payload, leased_at, expires_at)
    values (namespace, entry_key, lease.epoch, lease.position, entry_tags, content, lease.leased_at, clock_timestamp() + span)
    on conflict (cache, key) do update
      set epoch = excluded.epoch, position = excluded.position, tags = excluded.tags, payload = excluded.payload,
          leased_at = excluded.leased_at, expires_at = excluded.expires_at;
    answer.stored := true;
  end if;
  if what = 'fail' and lease.expires_at > clock_timestamp() then
    insert into tidemark.shared_failure as f (cache, key, epoch, position, failure, failed_at, expires_at)
    values (namespace, entry_key, lease.epoch, lease.position, failed, lease.leased_at + since_ms * interval '1 millisecond',
            clock_timestamp() + span)
    on conflict (cache, key) do update
      set epoch = excluded.epoch, position = excluded.position, failure = excluded.failure, failed_at = excluded.failed_at,
          expires_at = excluded.expires_at;
  end if;
  return answer;
end $$;

-- The same for who may poll the namespace.
create function tidemark.shared_store(
  namespace text, what text, entry_key text, lease_holder text, entry_tags text[] default '{}', content bytea default null,
  ms float8 default 0, renew boolean default false, since_ms float8 default 0, failed text default null)
returns tidemark.shared_answer
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare answer tidemark.shared_answer;
begin
  execute format('select * from tidemark.%I($1, $2, $3, $4, $5, $6, $7, $8, $9)', tidemark.cache_function('store', namespace))
  into answer using what, entry_key, lease_holder, entry_tags, content, ms, renew, since_ms, failed;
  return answer;
end $$;

-- Ticks: what is shared and whose time has run out, a little at a time.
create function tidemark.expire_shared() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from tidemark.shared_entry e where (e.cache, e.key) in (
    select o.cache, o.key from tidemark.shared_entry o where o.expires_at <= clock_timestamp() order by o.expires_at limit 5000
    for update skip locked);
  delete from tidemark.shared_lease l where (l.cache, l.key) in (
    select o.cache, o.key from tidemark.shared_lease o where o.expires_at <= clock_timestamp() limit 5000 for update skip locked);
  delete from tidemark.shared_failure f where (f.cache, f.key) in (
    select o.cache, o.key from tidemark.shared_failure o where o.expires_at <= clock_timestamp() limit 5000 for update skip locked);
$$;

-- Begins the journal of a namespace anew: everybody who holds something of it has to let go of it.
create function tidemark.renew_cache(cache_name text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.cache_state as s (cache, snapshot, refreshes)
  select c.name, tidemark.snapshot_now(),
         (select coalesce(jsonb_object_agg(v.view, v.refreshes), '{}') from tidemark.view_state v where v.view = any (c.views))
  from tidemark.cache c where c.name = cache_name
  on conflict (cache) do update
    -- a position further, so that who asks without an epoch is told as well
    set epoch = gen_random_uuid(), snapshot = excluded.snapshot, refreshes = excluded.refreshes,
        position = s.position + 1, forgotten = s.position + 1, sequenced_at = clock_timestamp();
  delete from tidemark.invalidation i where i.cache = cache_name;
$$;

-- A new life of the database: ids of transactions of the former one mean nothing here.
create function tidemark.renew_caches() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from tidemark.invalidation_request;
  select tidemark.renew_cache(c.name) from tidemark.cache c;
$$;

-- Lets go of a namespace that keeps a log from being emptied, because nobody could sequence it for a minute: its caches begin
-- anew, which costs a load of what is asked for, where letting go of a view costs a refresh of all of it.
create function tidemark.let_go_of_caches(source_name text) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c record;
  gone int := 0;
begin
  for c in
    select k.name from tidemark.cache k join tidemark.cache_state s on s.cache = k.name
     where source_name = any (k.sources) and s.sequenced_at < clock_timestamp() - interval '1 minute'
       and exists (select from unnest(tidemark.log_tables(source_name)) l where not tidemark.is_consumed_by(l, s.snapshot))
       for update of s skip locked
  loop
    perform tidemark.renew_cache(c.name);
    gone := gone + 1;
  end loop;
  return gone;
end $$;

-- Ticks: sequences namespaces that nobody has sequenced for a while, so that no log waits for a cache that sleeps, and
-- forgets what is older than it has to be kept.
create function tidemark.look_after_caches() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c record;
  forgotten_to bigint;
  looked_after int := 0;
begin
  for c in select s.cache as name from tidemark.cache_state s
            where s.sequenced_at < clock_timestamp() - interval '5 seconds' loop
    begin
      perform tidemark.poll_invalidations(c.name);
      looked_after := looked_after + 1;
    exception when others then null;  -- a source has gone; apply says so, and bound_logs lets go of the namespace
    end;
  end loop;
  for c in select k.name, k.retain_ms, s.forgotten, s.position, s.snapshot
             from tidemark.cache k join tidemark.cache_state s on s.cache = k.name loop
    -- A little at a time; at most a million are kept.
    select max(i.position) into forgotten_to
      from (select j.position, j.at from tidemark.invalidation j
             where j.cache = c.name and j.position > c.forgotten order by j.position limit 20000) i
     where i.at < now() - c.retain_ms * interval '1 millisecond' or i.position <= c.position - 1000000;
    if forgotten_to is not null then
      update tidemark.cache_state s set forgotten = forgotten_to where s.cache = c.name and s.forgotten < forgotten_to;
      delete from tidemark.invalidation i where i.cache = c.name and i.position <= forgotten_to;
    end if;
    delete from tidemark.invalidation_request r where r.cache = c.name and r.xid < pg_snapshot_xmin(c.snapshot);
  end loop;
  perform tidemark.expire_shared();
  return looked_after;
end $$;

-- What caches have to see: a bucket is emptied when every view and every cache reflects all of it.
create function tidemark.cache_horizons(source_name text) returns setof pg_snapshot
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.snapshot from tidemark.cache c join tidemark.cache_state s on s.cache = c.name where source_name = any (c.sources)
$$;

-- The refresh of a view that all its readers reflect, views and caches: changes up to it are not needed again. A reader without
-- a cursor computes everything afresh and needs none.
create function tidemark.reflected_by_all(view_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(min(r.refresh), (select s.refreshes from tidemark.view_state s where s.view = view_name))
  from (select c.refresh from tidemark.input_cursor c where c.input = view_name
        union all
        select (s.refreshes ->> view_name)::bigint from tidemark.cache c join tidemark.cache_state s on s.cache = c.name
         where view_name = any (c.views)) r
$$;

-- How each namespace stands, for people.
create view tidemark.caches as
  select c.name, s.epoch, s.position, s.position - s.forgotten as kept, s.sequenced_at, c.sources || c.views as depends_on
  from tidemark.cache c left join tidemark.cache_state s on s.cache = c.name;

call tidemark.close_to_public();
