import { captureNames, objectName } from '../model/names.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { textArray } from './catalogue-rows.ts'
import { roleName } from './recreate.ts'
import { ruleFunctions, ruleSignatures, triggersOf } from './table-cache-rules.ts'
import type { KeyColumn, TableCache } from './table-cache.ts'
import { allKeys, barrierHash, definer, hashOf, list, namesOf, shapesOf } from './table-cache.ts'

/** Statements that make a cache table one, and those that leave nothing of it. */
export interface TableCacheProgram {
  readonly install: readonly string[]
  readonly uninstall: readonly string[]
}

const buckets = [0, 1, 2] as const

/** Compiles a cache table into SQL. Equal ones give equal text. Existing rows go: nobody knows when they were read. */
export function tableCacheProgram(cache: TableCache): TableCacheProgram {
  const names = namesOf(cache.name)
  const { roles } = cache
  const callable = [
    `${names.fillBegin}(text[])`,
    `${names.fillEnd}(jsonb)`,
    `${names.clean}(interval)`,
  ]
  const closed = [
    ...callable,
    `${names.sweep}()`,
    `${names.forget}()`,
    `${names.fence}()`,
    ...cache.rules.flatMap((rule, n) => ruleSignatures(cache, rule, n)),
  ]
  const uninstall = uninstallSql(cache)
  return {
    install: [
      ...uninstall,
      ...barrierTable(cache),
      ...cache.rules.flatMap((rule, n) => ruleFunctions(cache, rule, n)),
      sweepFunction(cache),
      forgetFunction(cache),
      fillBeginFunction(cache),
      fillEndFunction(cache),
      cleanFunction(cache),
      ...fence(cache),
      ...cache.rules.flatMap((rule, n) => triggersOf(cache, rule, n)),
      ...closed.map((signature) => `revoke all on function ${signature} from public`),
      ...roles.flatMap((role) =>
        callable.map((signature) => `grant execute on function ${signature} to ${roleName(role)}`),
      ),
      `delete from ${qualifiedName(cache.name)}`,
    ],
    uninstall,
  }
}

/** Finds functions by name alone: the table that one takes may have another name by now. Their triggers go with them. */
function uninstallSql({ name, rules }: TableCache): readonly string[] {
  const bare = [
    `sweep ${name}`,
    `forget barriers of ${name}`,
    `fence ${name}`,
    `fill begin ${name}`,
    `fill end ${name}`,
    `clean ${name}`,
    ...rules.flatMap((_, n) => [
      `empty ${name} by ${n}`,
      `rule ${n} of cache ${name}; run tidemark plan`,
      `source of ${n} of ${name}`,
      `keys by ${n} of ${name}`,
    ]),
  ]
  return [
    `do $do$
declare found record;
begin
  for found in
    select t.tgrelid::regclass as relation, t.tgname as name
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where p.pronamespace = 'tidemark'::regnamespace and t.tgparentid = 0
      and p.proname = any (${textArray(bare.map(objectName))})
  loop
    execute format('drop trigger %I on %s', found.name, found.relation);
  end loop;
  for found in
    select p.oid::regprocedure as function from pg_proc p
    where p.pronamespace = 'tidemark'::regnamespace and p.proname = any (${textArray(bare.map(objectName))})
  loop
    execute format('drop function %s', found.function);
  end loop;
end $do$`,
    ...rules.map((_, n) => `drop type if exists ${namesOf(name).reads(n)}`),
    `drop table if exists ${namesOf(name).barriers}`,
  ]
}

function barrierTable({ name, key }: TableCache): readonly string[] {
  const { barriers } = namesOf(name)
  return [
    `create table ${barriers} (
  ${key.map((column) => `${identifier(column.name)} ${column.type}`).join(',\n  ')},
  ".source" text not null,
  ".xid" xid8 not null default pg_current_xact_id(),
  ".late" boolean not null default current_setting('transaction_isolation') <> 'read committed'
)`,
    `create index on ${barriers} (${list(key)})`,
    `create index on ${barriers} (".xid")`,
    `create index on ${barriers} (".xid") where ".late"`,
    `revoke all on table ${barriers} from public`,
  ]
}

/** Keys of rows of the cache that barriers concern, of each shape by a lookup of its own. */
function concerned(cache: TableCache, barriers: string): string {
  const { key, name } = cache
  return shapesOf(cache)
    .map((known) => {
      const conditions = key.map((column) => {
        const place = `b.${identifier(column.name)}`
        return known.includes(column)
          ? `c.${identifier(column.name)} = ${place}`
          : `${place} is null`
      })
      return `select ${list(key, 'c.')} from ${qualifiedName(name)} c join ${namesOf(name).barriers} b
        on ${conditions.join(' and ')} where ${barriers}`
    })
    .join('\n      union ')
}

/** Deletes rows that barriers concern, in the order of their keys. */
const deleteConcerned = (cache: TableCache, barriers: string, waiting = ''): string => {
  const { key, name } = cache
  const table = qualifiedName(name)
  const same = key.map((column) => `c.${identifier(column.name)} = u.${identifier(column.name)}`)
  return `with untrue as materialized (
      ${concerned(cache, barriers)}
    ), locked as materialized (
      select c.ctid as place from ${table} c join untrue u on ${same.join(' and ')}
      order by ${list(key, 'c.')} for update of c${waiting}
    )
    delete from ${table} c where c.ctid = any (array(select place from locked));`
}

function sweepFunction(cache: TableCache): string {
  const names = namesOf(cache.name)
  const mine = `b.".xid" = pg_current_xact_id()`
  return `create function ${names.sweep}() returns void
language plpgsql ${definer}
as $f$
declare
  h int;
  hashes int[] := array(select distinct ${barrierHash(cache, 'b')} from ${names.barriers} b where ${mine} order by 1);
begin
  foreach h in array tidemark.lockable(hashes, ${allKeys(cache)}) loop
    if not tidemark.fills_ended(h) then update ${names.barriers} b set ".late" = true where ${mine}; end if;
  end loop;
  begin
    ${deleteConcerned(cache, mine)}
  exception
    when undefined_table or undefined_column then
      raise warning 'cache table % is no longer what it was; run tidemark plan', ${literal(cache.name)};
    when serialization_failure or lock_not_available or deadlock_detected then
      -- The write goes on; the next tick deletes them.
      update ${names.barriers} b set ".late" = true where ${mine};
  end;
end
$f$`
}

/** Whether some view that fills read lacks what left barrier \`b\`: its tidemark does not see it, and the log has its rows. */
function lacking({ rules, views }: TableCache): string {
  const sources = new Set(rules.filter(({ captured }) => captured).map(({ on }) => on))
  if (views.length === 0 || sources.size === 0) return 'false'
  const logged = [...sources].map((source) => {
    const logs = buckets.map(
      (bucket) =>
        `exists (select from ${qualified('tidemark', captureNames.log(source, bucket))} l where l.xid = b.".xid")`,
    )
    return `(b.".source" = ${literal(source)} and (${logs.join(' or ')}))`
  })
  return `(exists (select from tidemark.tidemark t
             where t.view = any (${textArray(views)}) and t.source = b.".source" and not pg_visible_in_snapshot(b.".xid", t.snapshot))
           and (${logged.join('\n             or ')}))`
}

function forgetFunction(cache: TableCache): string {
  const names = namesOf(cache.name)
  return `create function ${names.forget}() returns void
language plpgsql ${definer}
as $f$
declare
  seen pg_snapshot := tidemark.seen_by_all_fills(${cache.fillWithinMs});
  settled tid[];
begin
  if exists (select from ${names.barriers} b where b.".late") then
    -- Nobody fills these now; whoever fills them from now on sees the barrier.
    settled := array(select b.ctid from ${names.barriers} b where b.".late" and tidemark.is_free(7427, ${barrierHash(cache, 'b')}));
    ${deleteConcerned(cache, 'b.".late"', ' skip locked')}
    update ${names.barriers} b set ".late" = false
     where b.ctid = any (settled) and not exists (${concernedBy(cache)});
  end if;
  delete from ${names.barriers} b
   where not b.".late" and pg_visible_in_snapshot(b.".xid", seen) and not ${lacking(cache)};
end
$f$`
}

/** Rows of the cache that barrier \`b\` concerns. */
function concernedBy({ key, name }: TableCache): string {
  const conditions = key.map(
    (column) =>
      `(b.${identifier(column.name)} is null or b.${identifier(column.name)} = c.${identifier(column.name)})`,
  )
  return `select from ${qualifiedName(name)} c where ${conditions.join(' and ')}`
}

/** A variable with a value of a key; no column has such a name. */
const variable = (i: number): string => `"key ${i}"`

/** Variables with the key of a fill, by its columns. */
const keyVariables = ({ key }: TableCache, from: string): string =>
  key.map(({ type }, i) => `  ${variable(i)} ${type} := ${from}[${i + 1}];`).join('\n')

/** Barriers for the key of a fill: of each shape by a lookup of its own. */
function standing(cache: TableCache): string {
  const { barriers } = namesOf(cache.name)
  return shapesOf(cache)
    .map((known) => {
      const conditions = cache.key.map((column, i) =>
        known.includes(column)
          ? `b.${identifier(column.name)} = ${variable(i)}`
          : `b.${identifier(column.name)} is null`,
      )
      return `select b.".source", b.".xid" from ${barriers} b where ${conditions.join(' and ')}`
    })
    .join('\n      union all ')
}

const wrongKey = ({
  name,
  key,
}: TableCache): string => `  if cardinality(key) is distinct from ${key.length} then
    perform tidemark.fail('TIDEMARK_USAGE', ${literal(`The key of ${name} has ${key.length} columns`)},
      ${literal(`Give them in this order: ${key.map((column) => column.name).join(', ')}.`)});
  end if;`

/** One statement, so that token, tidemarks and barriers are of one snapshot. */
function fillBeginFunction(cache: TableCache): string {
  const { name, views } = cache
  const unknown =
    views.length === 0
      ? 'false'
      : `exists (select from unnest(${textArray(views)}) v (name) left join tidemark.view_state s on s.view = v.name
          where s.populated is not true or s.snapshot is null or s.let_go_reason is not null)
       or exists (select from tidemark.tidemark t join tidemark.gap g on g.source = t.source
          where t.view = any (${textArray(views)}) and not pg_visible_in_snapshot(g.xid, t.snapshot))
       or exists (select from tidemark.tidemark t join tidemark.source s on s.name = t.source
          where t.view = any (${textArray(views)}) and s.status <> 'captured')`
  return `create function ${namesOf(name).fillBegin}(key text[]) returns text
language plpgsql ${definer}
as $f$
declare
${keyVariables(cache, 'key')}
  token text;
begin
${wrongKey(cache)}
  select json_build_object('cache', ${literal(name)}, 'key', key, 'snapshot', pg_current_snapshot()::text, 'at', clock_timestamp())::text
  into token
  where not (${unknown})
    and not exists (select from (${standing(cache)}) b where ${lacking(cache)});
  return token;
end
$f$`
}

function fillEndFunction(cache: TableCache): string {
  const { name, fillWithinMs } = cache
  const hashes = shapesOf(cache).map((known) =>
    hashOf(cache, (column) =>
      known.includes(column) ? `${variable(cache.key.indexOf(column))}::text` : 'null',
    ),
  )
  return `create function ${namesOf(name).fillEnd}(fill jsonb) returns boolean
language plpgsql ${definer}
as $f$
declare
  key text[] := array(select jsonb_array_elements_text(fill -> 'key'));
${keyVariables(cache, 'key')}
  seen pg_snapshot := (fill ->> 'snapshot')::pg_snapshot;
  hashes int[] := array[${hashes.join(', ')}];
  h int;
begin
  -- One that sees no commit since it began would not see a barrier either.
  if current_setting('transaction_isolation') <> 'read committed'
     or clock_timestamp() > (fill ->> 'at')::timestamptz + interval '${fillWithinMs} milliseconds' then
    return false;
  end if;
  foreach h in array hashes loop
    if not pg_try_advisory_xact_lock_shared(7427, h) then return false; end if;
  end loop;
  foreach h in array hashes loop
    if not tidemark.is_free(7426, h) then return false; end if;
  end loop;
  if exists (select from (${standing(cache)}) b where not pg_visible_in_snapshot(b.".xid", seen)) then return false; end if;
  perform set_config('tidemark.fill', ${permit(cache, (_, i) => variable(i))}, true);
  return true;
end
$f$`
}

/** What the transaction of a fill remembers: the row that it may store. */
const permit = (
  { name, key }: TableCache,
  value: (column: KeyColumn, i: number) => string,
): string =>
  `jsonb_build_array(${[literal(name), ...key.map((column, i) => `${value(column, i)}::text`)].join(', ')})::text`

function fence(cache: TableCache): readonly string[] {
  const { name, unfenced } = cache
  const table = qualifiedName(name)
  const fenceName = namesOf(name).fence
  const refusal =
    unfenced === 'skip'
      ? `raise notice 'a row of % was not stored: nothing says that it is not from before a write; use tidemark.fill_begin and fill_end', ${literal(name)};
  return null;`
      : `perform tidemark.fail('TIDEMARK_FILL_UNFENCED', ${literal(`A row of ${name} was written without a fill`)},
    'Ask tidemark.fill_begin before reading, and tidemark.fill_end in the transaction that stores.');
  return null;`
  return [
    `create function ${fenceName}() returns trigger
language plpgsql ${definer}
as $f$
begin
  if current_setting('tidemark.fill', true) = ${permit(cache, (column) => `new.${identifier(column.name)}`)} then return new; end if;
  ${refusal}
end
$f$`,
    `create trigger "tidemark fence" before insert or update on ${table}
for each row execute function ${fenceName}()`,
  ]
}

function cleanFunction(cache: TableCache): string {
  const { name, updatedAt, ttlMs, timeZone } = cache
  const table = qualifiedName(name)
  const head = `create function ${namesOf(name).clean}(max_age interval) returns bigint
language plpgsql ${definer} set timezone = ${literal(timeZone)}
as $f$
declare gone bigint := 0;
begin`
  if (updatedAt === null) {
    return `${head}
  perform tidemark.fail('TIDEMARK_USAGE', ${literal(`Nothing says how old the rows of ${name} are`)}, 'Name the column under updatedAt.');
  return gone;
end
$f$`
  }
  const ttl = ttlMs === null ? 'null::interval' : `interval '${ttlMs} milliseconds'`
  return `${head}
  with locked as materialized (
    select c.ctid as place from ${table} c where c.${identifier(updatedAt)} < now() - coalesce(max_age, ${ttl})
    order by ${list(cache.key, 'c.')} for update skip locked
  )
  delete from ${table} c where c.ctid = any (array(select place from locked));
  get diagnostics gone = row_count;
  return gone;
end
$f$`
}
