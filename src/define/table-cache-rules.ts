import { identifier, literal, qualifiedName } from '../postgres/identifier.ts'
import type { BoundCacheRule, Names, TableCache } from './table-cache.ts'
import { allKeys, barrierHash, definer, list, namesOf } from './table-cache.ts'

/**
 * The functions of a rule over a row of its table are bound to columns by number: they follow renames, and PostgreSQL
 * refuses to drop a column that they read. The trigger function names no column of the user's.
 */
export function ruleFunctions(
  cache: TableCache,
  rule: BoundCacheRule,
  n: number,
): readonly string[] {
  const names = namesOf(cache.name)
  const row = qualifiedName(rule.on)
  const watched =
    rule.columns === null
      ? '$1'
      : `row(${rule.columns.map((column) => `($1).${identifier(column)}`).join(', ')})`
  const typed = rule.known.map(({ name, type }) => `k.${identifier(name)}::${type}`)
  return [
    `create function ${names.image(n)}(${row}) returns ${row} language sql immutable parallel safe
begin atomic select $1; end`,
    `create function ${names.watched(n)}(${row}) returns record language sql immutable parallel safe
begin atomic select ${watched}::record; end`,
    `create function ${names.keys(n)}(${row})
returns table (${rule.known.map(({ name, type }) => `${identifier(name)} ${type}`).join(', ')})
language sql stable
begin atomic select ${typed.join(', ')} from (${rule.query}) k; end`,
    emptyFunction(cache, rule, n),
  ]
}

function emptyFunction(cache: TableCache, rule: BoundCacheRule, n: number): string {
  const names = namesOf(cache.name)
  const leave = leaveBarriers(cache, rule)
  const arms =
    rule.firing === 'statement' ? statementArms(names, n, leave) : rowArms(names, n, leave)
  const all = leave(`select ${rule.known.map(({ type }) => `null::${type}`).join(', ')}`, true)
  const body = `  if tg_op = 'TRUNCATE' then
    ${all}
${arms}
  end if;`
  const guarded = rule.mayFail
    ? `  begin
${body}
  exception when others then
    -- No key of what was written: everything is untrue.
    raise warning 'a rule of cache table % failed, all of it is emptied: %', ${literal(cache.name)}, sqlerrm;
    ${all}
  end;`
    : body
  return `create function ${names.empty(n)}() returns trigger
language plpgsql ${definer}
as $f$
declare hashes int[];
begin
${guarded}
  if hashes is not null then
    perform tidemark.note_barriers(${literal(cache.name)}, hashes, ${allKeys(cache)});
  end if;
  return null;
end
$f$`
}

/** Leaves barriers for keys that a query gives, once in each transaction; `hashes` are those of their locks. */
const leaveBarriers =
  (cache: TableCache, rule: BoundCacheRule) =>
  (keys: string, whole = false): string => {
    const { barriers } = namesOf(cache.name)
    const known = list(rule.known)
    const told = rule.known.map(({ name }) => `k.${identifier(name)} is not null`)
    const same = cache.key.map(({ name }) =>
      rule.known.some((column) => column.name === name)
        ? `b.${identifier(name)} is not distinct from k.${identifier(name)}`
        : `b.${identifier(name)} is null`,
    )
    return `with added as (
      insert into ${barriers} as a (${known}, ".source")
      select k.*, ${literal(rule.on)} from (${keys}) k (${known})
      where ${whole ? '' : `${told.join(' and ')} and `}not exists (
        select from ${barriers} b where b.".xid" = pg_current_xact_id() and b.".source" = ${literal(rule.on)}
          and ${same.join(' and ')})
      returning ${barrierHash(cache, 'a')} as hash)
    select array_agg(distinct added.hash order by added.hash) into hashes from added;`
  }

/** Rows of an update are paired by their place, as capture does; whatever the pairing, what it leaves out is equal on both sides. */
function statementArms(names: Names, n: number, leave: (keys: string) => string): string {
  const of = (rows: string): string =>
    `select distinct k.* from ${rows} r cross join lateral ${names.keys(n)}(row(r.*)) k`
  const side = (rows: string): string =>
    `(select row_number() over () as place, ${names.image(n)}(row(r.*)) as image from ${rows} r)`
  return `  elsif tg_op = 'INSERT' then
    ${leave(of('new_rows'))}
  elsif tg_op = 'DELETE' then
    ${leave(of('old_rows'))}
  else
    ${leave(`select distinct k.* from (
        select o.image as before, n.image as after from ${side('old_rows')} o full join ${side('new_rows')} n using (place)
        where (${names.watched(n)}(o.image) *<> ${names.watched(n)}(n.image)) is not false) p
      cross join lateral (select p.before as image union all select p.after) e
      cross join lateral ${names.keys(n)}(e.image) k
      where e.image is distinct from null`)}`
}

function rowArms(names: Names, n: number, leave: (keys: string) => string): string {
  const of = (row: string): string => `select k.* from ${names.keys(n)}(${row}) k`
  return `  elsif tg_op = 'INSERT' then
    ${leave(of('new'))}
  elsif tg_op = 'DELETE' then
    ${leave(of('old'))}
  elsif ${names.watched(n)}(old) *<> ${names.watched(n)}(new) then
    ${leave(`${of('old')} union ${of('new')}`)}`
}

/** The triggers of a rule on its table. */
export function triggersOf(cache: TableCache, rule: BoundCacheRule, n: number): readonly string[] {
  const names = namesOf(cache.name)
  const table = qualifiedName(rule.on)
  const create = (event: string, events: string, how: string): readonly string[] => [
    `create trigger ${names.trigger(n, event)} after ${events} on ${table}
${how} execute function ${names.empty(n)}()`,
    `alter table ${table} enable always trigger ${names.trigger(n, event)}`,
  ]
  const truncate = create('truncate', 'truncate', 'for each statement')
  if (rule.firing === 'row')
    return [...create('row', 'insert or update or delete', 'for each row'), ...truncate]
  const before = 'old table as old_rows'
  const after = 'new table as new_rows'
  return [
    ...create('insert', 'insert', `referencing ${after} for each statement`),
    ...create('update', 'update', `referencing ${before} ${after} for each statement`),
    ...create('delete', 'delete', `referencing ${before} for each statement`),
    ...truncate,
  ]
}
