-- What apply has made, and the guard of what Tidemark alone may write.

alter table tidemark.artifact add column digest text not null default '';
comment on column tidemark.artifact.digest is 'digest of the SQL that made the object; another one means that it is to be made anew';

-- On state tables, before every statement that writes. It keeps people from mistakes; it is no fence against
-- the owner of the table, who could as well drop it. The refresh of a view sets tidemark.refreshing to its name,
-- for its transaction alone.
create function tidemark.guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('tidemark.refreshing', true) = tg_argv[0] then return null; end if;
  raise exception using errcode = 'object_not_in_prerequisite_state',
    message = format('view %s is maintained by Tidemark; its rows are written by refreshes only', tg_argv[0]),
    hint = format('Change the tables that it reads, or refresh it: call tidemark.run(%L)', tg_argv[0]);
end $$;
