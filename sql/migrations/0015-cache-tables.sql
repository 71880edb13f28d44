-- Tables of users that are caches: a row is there and right, or it is not there.
--
-- A *rule* says which rows a change of a source makes untrue. The writer's transaction leaves a *barrier* for their keys, with
-- its id, and deletes the rows when it commits. Whoever fills a row asks first (fill_begin), reads and computes, and asks
-- again (fill_end) in the transaction that stores it. Four things make that safe:
--
-- 1. What a fill has read. Its token is the snapshot taken before it read anything. A barrier of a transaction that this
--    snapshot does not see refuses the fill: what it read may be from before that write.
-- 2. What it read it from. No token is given while a view that fills read lacks a transaction that left a barrier for the key:
--    its tidemark does not see it and the change log has its rows. So a refresh lifts a barrier by no act of its own.
-- 3. Writers that are still open, whose barriers nobody sees yet. From its first change until it has ended, a writer holds a
--    shared lock for each key (class 7426); a fill is refused while somebody holds it.
-- 4. Fills that are still open, whose rows nobody sees yet. From its second question until it has ended, a fill holds a shared
--    lock for its key (class 7427); a writer that commits waits for it before it looks for rows to delete.
--
-- Writers never wait for one another over this: locks of a class that both hold are shared. Rows are deleted when the
-- transaction commits, all of them in the order of their keys, so that two writers cannot wait for each other in a circle,
-- whatever they wrote in whichever order; and each meets rows that were filled since its statement. Fills never wait.
--
-- A writer of REPEATABLE READ or SERIALIZABLE does not see rows that were filled since its snapshot. Its barriers say so
-- (`late`), and the next tick deletes the rows: until then, a quarter of a second, such a row is served. So does a writer that has
-- waited two seconds for a fill that was left open.
create table tidemark.cache_table (
  name text primary key,
  -- Qualified, quoted name of the table.
  relation text not null,
  key_columns text[] not null,
  sources text[] not null,
  views text[] not null,
  updated_at text,
  ttl_ms bigint,
  fill_within_ms bigint not null,
  unfenced text not null check (unfenced in ('skip', 'refuse')),
  roles text[] not null,
  digest text not null,
  -- Statements that take away all that apply made for it.
  uninstall jsonb not null,
  cleaned_at timestamptz
);
comment on table tidemark.cache_table is 'tables of users that are caches; barriers are in tidemark."barriers of <table>"';

-- A row is there from the first change of a transaction that concerns a cache table to its commit, which deletes what is
-- untrue: nobody ever sees one.
create table tidemark.sweep (
  cache text not null,
  xid xid8 not null default pg_current_xact_id()
);

-- At commit; the first call sweeps for all statements of the transaction.
create function tidemark.sweep_at_commit() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from tidemark.sweep s where s.cache = new.cache and s.xid = pg_current_xact_id();
  if found then execute format('select tidemark.%I()', tidemark.object_name('sweep ' || new.cache)); end if;
  return null;
end $$;
create constraint trigger sweep after insert on tidemark.sweep deferrable initially deferred
  for each row execute function tidemark.sweep_at_commit();
alter table tidemark.sweep enable always trigger sweep;

-- What the lock of a key is called, NULL for columns that are not known; all NULL is the lock of all keys. A collision costs a
-- refused fill.
create function tidemark.key_hash(cache text, variadic parts text[]) returns int
language sql immutable parallel safe as $$
  select hashtext(cache || chr(31) || array_to_string(parts, chr(31), chr(30)))
$$;

-- Of more keys than this, the lock of all keys is taken instead.
create function tidemark.lockable(hashes int[], all_keys int) returns int[]
language sql immutable parallel safe as $$
  select case when cardinality(hashes) > 32 then array[all_keys] else hashes end
$$;

-- Notes that this transaction has left barriers with these hashes: it writes, and will sweep.
create function tidemark.note_barriers(cache_name text, hashes int[], all_keys int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare h int;
begin
  foreach h in array tidemark.lockable(hashes, all_keys) loop perform pg_advisory_xact_lock_shared(7426, h); end loop;
  insert into tidemark.sweep (cache) values (cache_name);
end $$;

-- Whether nobody holds a lock of a key: writers that of class 7426, fills that of 7427. The lock is given back at once: it
-- belongs to a block that is rolled back.
create function tidemark.is_free(class int, hash int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not pg_try_advisory_xact_lock(class, hash) then return false; end if;
  raise exception using errcode = 'TM001';
exception when sqlstate 'TM001' then return true;
end $$;

-- Waits until fills of a key that are open have ended. Who stores a row and then leaves its transaction open for long does
-- not hold up writers for ever: false after two seconds.
create function tidemark.fills_ended(hash int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
begin
  perform pg_advisory_xact_lock(7427, hash);
  raise exception using errcode = 'TM001';
exception
  when sqlstate 'TM001' then return true;
  when lock_not_available then return false;
end $$;

-- Finds a cache table by what people call it.
create function tidemark.cache_table_named(text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare found_name text;
begin
  select c.name into found_name from tidemark.cache_table c where c.name = text or c.name = 'public.' || text
   order by c.name = text desc limit 1;
  if found_name is null then
    perform tidemark.fail('TIDEMARK_CACHE_UNKNOWN', format('No cache table is called %s', text),
      'Declare it under cacheTables in the configuration, and run tidemark apply.');
  end if;
  return found_name;
end $$;

-- Begins a fill: before anything is read for it. The key as texts, in the order in which it is declared. Null: what would be
-- read now is from before a write that emptied the row, so it could not be stored. INVOKER: who may fill a table is who may
-- execute its function.
create function tidemark.fill_begin(cache text, variadic key text[]) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare token text;
begin
  execute format('select tidemark.%I($1)', tidemark.object_name('fill begin ' || tidemark.cache_table_named(cache)))
  into token using key;
  return token;
end $$;

-- Ends a fill: true when the row may be stored, by this transaction and now. False: it would be from before a write.
create function tidemark.fill_end(token text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  fill jsonb := token::jsonb;
  allowed boolean := false;
begin
  if token is null then return false; end if;
  execute format('select tidemark.%I($1)', tidemark.object_name('fill end ' || tidemark.cache_table_named(fill ->> 'cache')))
  into allowed using fill;
  return allowed;
end $$;

-- Deletes rows that are older than `max_age`, of a cache table; without one, than its ttl. Returns how many.
create function tidemark.clean_stale(cache text, max_age interval default null) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare gone bigint;
begin
  execute format('select tidemark.%I($1)', tidemark.object_name('clean ' || tidemark.cache_table_named(cache)))
  into gone using max_age;
  return gone;
end $$;

-- The last look that was taken before every fill that may still end: what it sees, each of them sees.
create function tidemark.seen_by_all_fills(fill_within_ms bigint) returns pg_snapshot
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.snapshot from tidemark.sample s where s.at < now() - fill_within_ms * interval '1 millisecond' order by s.at desc limit 1
$$;

-- Ticks: rows that writers of REPEATABLE READ could not see, barriers that nobody needs again, rows that are too old.
create function tidemark.look_after_cache_tables() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
declare
  c tidemark.cache_table;
  looked_after int := 0;
begin
  for c in select * from tidemark.cache_table loop
    begin
      execute format('select tidemark.%I()', tidemark.object_name('forget barriers of ' || c.name));
      if c.ttl_ms is not null and coalesce(c.cleaned_at < now() - least(c.ttl_ms / 10, 10000) * interval '1 millisecond', true) then
        perform tidemark.clean_stale(c.name);
        update tidemark.cache_table t set cleaned_at = now() where t.name = c.name;
      end if;
      looked_after := looked_after + 1;
    exception when others then null;  -- somebody is at work on it, or it has gone; the next tick tries again
    end;
  end loop;
  return looked_after;
end $$;

-- A new life of the database: ids of transactions of the former one mean nothing here, so no row is known to be true.
create function tidemark.renew_cache_tables() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare c tidemark.cache_table;
begin
  for c in select * from tidemark.cache_table loop
    if to_regclass(c.relation) is not null then execute 'delete from ' || c.relation; end if;
    execute format('delete from tidemark.%I', tidemark.object_name('barriers of ' || c.name));
  end loop;
end $$;

call tidemark.close_to_public();
