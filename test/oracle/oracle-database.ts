import { migrate } from '../../src/define/migrate.ts'
import type { Database, Session } from '../../src/postgres/connection.ts'
import { openDatabase, openSession, serverVersion } from '../../src/postgres/connection.ts'
import { identifier } from '../../src/postgres/identifier.ts'
import { sessionsMax } from './generate-history.ts'

/**
 * What is said of a query whose rows the server gives otherwise, and as the view has them, where it reads all partitions. PostgreSQL 18.4
 * takes none of a default partition for `a = any ('{4}') and a is not null`, and makes the second of a max(a) itself.
 */
export const prunedWrongly = 'the server gives other rows where it prunes partitions'

/**
 * Refreshes a view by its program, as a run does, and compares it with its query; what either raises is told. A query
 * that is null is not compared with: that the view can be read is all that is seen.
 */
const functions = `
create schema if not exists oracle;
create or replace function oracle.refresh(name text, maintain text, since pg_snapshot, as_of timestamptz,
  out fault text, out method text, out differing int)
language plpgsql as $$
declare
  result record;
  place text;
begin
  execute format('select * from %s(false, $1, $2)', maintain) into result using since, as_of;
  method := result.method;
  differing := result.differing;
  perform tidemark.move_cursors(name);
  update tidemark.view_state s
  set refreshes = s.refreshes + 1,
      row_count = coalesce(result.rows_total, s.row_count + result.rows_inserted - result.rows_deleted)
  where s.view = name;
exception when others then
  get stacked diagnostics place = pg_exception_context;
  fault := sqlstate || ' ' || sqlerrm || e'\\n' || left(place, 2000);
end $$;
create or replace function oracle.compare(query text, relation text,
  out own_fault text, out fault text, out rows int, out differing int, out examples text)
language plpgsql set timezone = 'UTC' set jit = off set max_parallel_workers_per_gather = 0 as $$
declare
  sums text := format(
    'select coalesce(sum(n), 0), count(*) filter (where w <> 0),
            string_agg(case when w > 0 then ''+'' else '''' end || w || '' '' || t, e''\\n'') filter (where w <> 0 and nr <= 6)
     from (select t, sum(w) as w, count(*) filter (where w < 0) as n, row_number() over (order by sum(w) = 0, t) as nr
           from (select row(q.*)::text as t, -1 as w from (%s) q
                 union all select row(v.*)::text, 1 from %s v) x
           group by t) y', coalesce(query, 'select * from ' || relation), relation);
  unpruned int;
begin
  execute sums into rows, differing, examples;
  if differing > 0 then
    perform set_config('enable_partition_pruning', 'off', true);
    execute sums into rows, unpruned;
    perform set_config('enable_partition_pruning', 'on', true);
    if unpruned = 0 then own_fault := '${prunedWrongly}'; end if;
  end if;
exception when others then
  fault := sqlerrm;
  begin
    execute format('select count(*) from (select row(q.*)::text from (%s) q) x', coalesce(query, 'select * from ' || relation)) into rows;
  exception when others then
    own_fault := sqlerrm;
  end;
end $$`

/** A database with Tidemark in it and the sessions of a history. */
export interface OracleDatabase {
  readonly database: Database
  /** Where the views are compared. */
  readonly reader: Session
  readonly sessions: readonly Session[]
  readonly serverVersion: number
  /** Ends the sessions; the database is whose opened it. */
  readonly closeSessions: () => Promise<void>
}

/** A blocked statement gives up this soon: whoever blocks it never moves meanwhile. */
const lockTimeoutMs = 15
const statementTimeoutMs = 5_000

/** Makes a database of this name with Tidemark in it, in place of one that is there; returns its address. */
export async function createOracleDatabase(adminUrl: string, name: string): Promise<string> {
  const admin = await openSession(adminUrl)
  await admin.query(`drop database if exists ${identifier(name)} with (force)`)
  await admin.query(`create database ${identifier(name)}`)
  await admin.close()
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const database = openDatabase(url.href)
  await migrate(database)
  await database.query('create extension citext schema public')
  await database.close()
  return url.href
}

/** Opens the sessions on a database that has Tidemark. */
export async function openOracleDatabase(url: string, database: Database): Promise<OracleDatabase> {
  const sessions = await Promise.all(Array.from({ length: sessionsMax }, () => openSession(url)))
  for (const session of sessions) {
    await session.query(
      `set lock_timeout = ${lockTimeoutMs}; set statement_timeout = ${statementTimeoutMs}; set timezone = 'UTC'`,
    )
  }
  const reader = await openSession(url)
  await reader.query(functions)
  await reader.query(`set timezone = 'UTC'; set jit = off; set max_parallel_workers_per_gather = 0;
    set client_min_messages = error`)
  const closeSessions = async (): Promise<void> => {
    await Promise.all([...sessions, reader].map((session) => session.close()))
  }
  return {
    database,
    reader,
    sessions,
    serverVersion: await serverVersion(reader),
    closeSessions,
  }
}
