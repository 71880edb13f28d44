import type { Queryable } from '../../src/postgres/connection.ts'

/**
 * A captured table and two views of it, installed by hand: what tests of requests, runs and freshness
 * need, without the compiler and the planner. `public.orders(id, region, amount)` with ten rows;
 * `public.by_region` in a group of its own, `public.total` in another, both with target `targetMs`.
 */
export async function installHandMade(sql: Queryable['query'], targetMs = 60_000): Promise<void> {
  await sql(`
    create table public.orders (id int primary key, region text, amount numeric);
    insert into public.orders select g, 'r' || g % 5, g from generate_series(1, 10) g;`)
  await captureByHand(sql, 'orders', { region: 'text', amount: 'numeric' })
  await installView(sql, {
    name: 'by_region',
    query: 'select region, count(*) as n, sum(amount) as total from public.orders group by region',
    targetMs,
  })
  await installView(sql, {
    name: 'total',
    query: 'select count(*) as n, sum(amount) as total from public.orders',
    targetMs,
  })
}

/** `public.observed(id int)` captured and `public.seen`, a view of its ids, with target `targetMs`. */
export async function installObserved(sql: Queryable['query'], targetMs: number): Promise<void> {
  await sql('create table public.observed (id int not null)')
  await captureByHand(sql, 'observed', { id: 'int' })
  await installView(sql, {
    name: 'seen',
    query: 'select id from public.observed',
    targetMs,
    source: 'public.observed',
  })
}

/** Captures `public.<table>` by marks: columns by name and type. */
async function captureByHand(
  sql: Queryable['query'],
  table: string,
  columns: Readonly<Record<string, string>>,
): Promise<void> {
  const names = Object.keys(columns)
  const image = `tidemark."image public.${table}"`
  await sql(`
    create type ${image} as (${names.map((name) => `${name} ${columns[name] ?? ''}`).join(', ')});
    create function tidemark."public.${table} is captured; run tidemark plan"(public.${table})
      returns ${image} language sql immutable
      begin atomic select row(${names.map((name) => `($1).${name}`).join(', ')})::${image}; end;
    create table tidemark."log 0 public.${table}" (xid xid8 not null default pg_current_xact_id(), w smallint not null);
    create table tidemark."log 1 public.${table}" (like tidemark."log 0 public.${table}" including defaults);
    create table tidemark."log 2 public.${table}" (like tidemark."log 0 public.${table}" including defaults);
    create function tidemark."capture public.${table}"() returns trigger
      language plpgsql security definer set search_path = pg_catalog, pg_temp as $f$
      begin
        case (pg_current_xact_id()::text::bigint >> 14) % 3
          when 0 then insert into tidemark."log 0 public.${table}" (w) values (0);
          when 1 then insert into tidemark."log 1 public.${table}" (w) values (0);
          else insert into tidemark."log 2 public.${table}" (w) values (0);
        end case;
        return null;
      end $f$;
    create trigger capture after insert or update or delete or truncate on public.${table}
      for each statement execute function tidemark."capture public.${table}"();
    alter table public.${table} enable always trigger capture;
    insert into tidemark.source (name, relation, mode, columns, digest)
      values ('public.${table}', 'public.${table}', 'marks', '{${names.join(',')}}', 'by hand');
    select tidemark.trust('public.${table}');`)
}

/** A view over `public.orders` whose refresh deletes all and inserts all. */
export interface HandMadeView {
  readonly name: string
  readonly query: string
  readonly targetMs: number
  /** `public.orders` unless told. */
  readonly source?: string
}

/** Installs one more view over `public.orders`. */
export async function installView(sql: Queryable['query'], view: HandMadeView): Promise<void> {
  const { name, query, targetMs } = view
  await sql(`
    create table tidemark_state."public.${name}" as ${query} with no data;
    create view public.${name} as select * from tidemark_state."public.${name}";
    create function tidemark_state."maintain public.${name}"(verify boolean, since pg_snapshot, out rows_total bigint,
        out rows_inserted bigint, out rows_updated bigint, out rows_deleted bigint, out differing bigint, out method text)
      language plpgsql security definer set search_path = pg_catalog, pg_temp as $f$
      begin
        -- a test holds this lock to stop a refresh in its middle
        perform pg_advisory_xact_lock_shared(4711);
        delete from tidemark_state."public.${name}";
        get diagnostics rows_deleted = row_count;
        insert into tidemark_state."public.${name}" ${query};
        get diagnostics rows_total = row_count;
        rows_inserted := rows_total;
        rows_updated := 0;
        perform pg_advisory_xact_lock_shared(4712);
      end $f$;
    insert into tidemark.refresh_group (name) values ('public.${name}');
    insert into tidemark.view (name, group_name, presentation, method, query, digest, relation, state, maintain, target_ms, very_stale_ms)
      values ('public.${name}', 'public.${name}', 'view', 'diff', '${query.replaceAll("'", "''")}', 'by hand',
              'public.${name}', 'tidemark_state."public.${name}"', 'tidemark_state."maintain public.${name}"',
              ${String(targetMs)}, ${String(targetMs * 2)});
    insert into tidemark.view_source values ('public.${name}', '${view.source ?? 'public.orders'}', '{}');`)
}

/** Rows in which a view and its query differ, as bags. */
export async function differing(sql: Queryable['query'], name: string): Promise<number> {
  const [view] = await sql<{ query: string }>(`select query from tidemark.view where name = $1`, [
    `public.${name}`,
  ])
  const query = view?.query ?? ''
  const [row] = await sql<{ n: number }>(
    `select count(*)::int as n from (
       (select * from public.${name} except all (${query}))
       union all ((${query}) except all select * from public.${name})) d`,
  )
  return row?.n ?? -1
}
