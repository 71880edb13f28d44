import { identifier, literal, qualifiedName } from '../postgres/identifier.ts'
import type { BoundCacheRule, Names, NeededColumn, TableCache } from './table-cache.ts'
import { allKeys, barrierHash, definer, list, namesOf } from './table-cache.ts'

/**
 * What a rule is made of. No parsed body has a row of the table in it: PostgreSQL would refuse columns with a default, and changes of
 * types, also of columns that the rule does not need. The holder selects those that it needs, by number, so PostgreSQL refuses to drop or
 * retype them, naming it; the key query reads a row of a type of ours, and the trigger function makes that row by names that it has compared.
 */
export function ruleFunctions(
  cache: TableCache,
  rule: BoundCacheRule,
  n: number,
): readonly string[] {
  const names = namesOf(cache.name)
  const row = qualifiedName(rule.on)
  const typed = rule.known.map(({ name, type }) => `k.${identifier(name)}::${type}`)
  const fields = readBy(rule).map(
    ({ name, type, collation }) =>
      `${identifier(name)} ${type}${collation === null ? '' : ` collate ${collation}`}`,
  )
  const type = [
    `create type ${names.reads(n)} as (${fields.join(', ')})`,
    `revoke all on type ${names.reads(n)} from public`,
  ]
  return [
    `create function ${names.holder(n)}() returns void language sql stable
begin atomic select ${list(rule.needs)} from ${row}; end`,
    `create function ${names.source(n)}() returns ${row} language plpgsql immutable parallel safe
as 'begin return null; end'`,
    ...(fields.length === 0 ? [] : type),
    `create function ${keysSignature(names, rule, n)}
returns table (${rule.known.map(({ name, type: of }) => `${identifier(name)} ${of}`).join(', ')})
language sql stable
begin atomic select ${typed.join(', ')} from (${rule.query}) k; end`,
    emptyFunction(cache, rule, n),
  ]
}

/** The functions of a rule as DDL names them. */
export function ruleSignatures(
  cache: TableCache,
  rule: BoundCacheRule,
  n: number,
): readonly string[] {
  const names = namesOf(cache.name)
  return [
    `${names.empty(n)}()`,
    `${names.holder(n)}()`,
    `${names.source(n)}()`,
    keysSignature(names, rule, n),
  ]
}

const readBy = ({ needs }: BoundCacheRule): readonly NeededColumn[] =>
  needs.filter(({ read }) => read)

const keysSignature = (names: Names, rule: BoundCacheRule, n: number): string =>
  `${names.keys(n)}(${readBy(rule).length === 0 ? '' : names.reads(n)})`

/**
 * The trigger function of a rule. Its statements name columns as they were called when it was made, as long as each number has its name;
 * else they are run with the names of today, in the order of the holder's columns. Names are read from the server's cache of the
 * catalogue, as statements are understood: the catalogue that a REPEATABLE READ writer sees may be from before a rename.
 */
function emptyFunction(cache: TableCache, rule: BoundCacheRule, n: number): string {
  const names = namesOf(cache.name)
  const leave = leaveBarriers(cache, rule)
  const unknown = `select ${rule.known.map(({ type }) => `null::${type}`).join(', ')}`
  const all = leave(unknown, { into: true, whole: true })
  const body = `  if tg_op = 'TRUNCATE' then
    ${all}
  elsif ${areNamed(rule)} then
    ${arms(ruleKeys(names, rule, { n, naming: byName }), leave)}
  else
    names := array(
      select ${nameOf('d.refobjid', 'd.refobjsubid')} from pg_depend d
      where d.classid = 'pg_proc'::regclass and d.objid = to_regproc(${literal(names.holder(n))})
        and d.refclassid = 'pg_class'::regclass and d.refobjid = source and d.refobjsubid > 0
      order by d.refobjsubid);
    if cardinality(names) <> ${String(rule.needs.length)} then
      -- One was dropped with CASCADE, or this transaction does not see the holder.
      ${all}
    else
      ${renamedArms(ruleKeys(names, rule, { n, naming: byPlace }), leave)}
    end if;
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
declare
  hashes int[];
  names text[];
  -- By its type, which follows its renames.
  source regclass := to_regclass(pg_typeof(${names.source(n)}())::text);
begin
${guarded}
  if hashes is not null then
    perform tidemark.note_barriers(${literal(cache.name)}, hashes, ${allKeys(cache)});
  end if;
  return null;
end
$f$`
}

const nameOf = (relation: string, attnum: string): string =>
  `(pg_identify_object_as_address('pg_class'::regclass, ${relation}, ${attnum})).object_names[3]`

/** Whether each needed column has the name that it was bound by. */
const areNamed = ({ needs }: BoundCacheRule): string =>
  needs
    .map(({ name, attnum }) => `${nameOf('source', String(attnum))} = ${literal(name)}`)
    .join(' and ') || 'true'

/** `into`: as a statement of the trigger function. `whole`: of keys that are not known. */
type Leave = (keys: string, how?: { readonly into?: boolean; readonly whole?: boolean }) => string

/** A query that leaves barriers for keys that a query gives, once in each transaction, and tells the hashes of their locks. */
const leaveBarriers =
  (cache: TableCache, rule: BoundCacheRule): Leave =>
  (keys, { into = false, whole = false } = {}) => {
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
    select array_agg(distinct added.hash order by added.hash)${into ? ' into hashes from added;' : ' from added'}`
  }

/** How statements of a rule name its columns, and rows that they are given one by one. */
interface Naming {
  readonly column: (name: string, place: number) => string
  readonly row: Readonly<Record<'inserted' | 'deleted' | 'before' | 'after', string>>
}

const byName: Naming = {
  column: identifier,
  row: { inserted: 'new', deleted: 'old', before: 'old', after: 'new' },
}

/** Names by their place in `names`: for `format`, once the text about them is made fit for it. */
const byPlace: Naming = {
  column: (_, place) => `${mark}${String(place + 1)}${mark}`,
  row: { inserted: '($1)', deleted: '($1)', before: '($1)', after: '($2)' },
}
const mark = '\u0001'
const asFormat = (query: string): string =>
  query.replaceAll('%', '%%').replaceAll(new RegExp(`${mark}(\\d+)${mark}`, 'g'), '%$1$I')

/** Queries for keys that a change concerns, by its kind; those of an update when something watched has changed. */
interface RuleKeys {
  readonly firing: BoundCacheRule['firing']
  readonly inserted: string
  readonly deleted: string
  readonly updated: string
  /** For an update of one row. */
  readonly watched: string
}

/** Rows of an update are paired by their place, as capture does; whatever the pairing, what it leaves out is equal on both sides. */
function ruleKeys(
  names: Names,
  rule: BoundCacheRule,
  { n, naming }: { readonly n: number; readonly naming: Naming },
): RuleKeys {
  const { needs, firing, columns } = rule
  const values = (row: string, wanted: (column: NeededColumn) => boolean): string =>
    needs
      .flatMap((column, place) =>
        wanted(column) ? [`${row}.${naming.column(column.name, place)}`] : [],
      )
      .join(', ')
  const reads = readBy(rule).length > 0
  const image = (row: string): string =>
    reads ? `row(${values(row, ({ read }) => read)})::${names.reads(n)}` : 'true'
  const keys = (of: string): string => `${names.keys(n)}(${reads ? of : ''})`
  const watched = (row: string, all: string): string =>
    columns === null ? all : `row(${values(row, ({ name }) => columns.includes(name))})`
  if (firing === 'row') {
    const { inserted, deleted, before, after } = naming.row
    const of = (row: string): string => `select k.* from ${keys(image(row))} k`
    return {
      firing,
      inserted: of(inserted),
      deleted: of(deleted),
      updated: `${of(before)} union ${of(after)}`,
      watched: `${watched(before, before)} *<> ${watched(after, after)}`,
    }
  }
  const of = (rows: string): string =>
    `select distinct k.* from ${rows} r cross join lateral ${keys(image('r'))} k`
  const side = (rows: string): string =>
    `(select row_number() over () as place, ${image('r')} as image, ${watched('r', 'row(r.*)')} as watched from ${rows} r)`
  return {
    firing,
    inserted: of('new_rows'),
    deleted: of('old_rows'),
    updated: `select distinct k.* from (
        select o.image as before, n.image as after from ${side('old_rows')} o full join ${side('new_rows')} n using (place)
        where (o.watched *<> n.watched) is not false) p
      cross join lateral (select p.before as image union all select p.after) e
      cross join lateral ${keys('e.image')} k
      where e.image is distinct from null`,
    watched: 'true',
  }
}

function arms({ firing, inserted, deleted, updated, watched }: RuleKeys, leave: Leave): string {
  const update = firing === 'row' ? `elsif ${watched} then` : 'else'
  return `if tg_op = 'INSERT' then
      ${leave(inserted, { into: true })}
    elsif tg_op = 'DELETE' then
      ${leave(deleted, { into: true })}
    ${update}
      ${leave(updated, { into: true })}
    end if;`
}

/** The same statements, with the names of today. */
function renamedArms(
  { firing, inserted, deleted, updated, watched }: RuleKeys,
  leave: Leave,
): string {
  const run = (keys: string, rows: string): string => {
    const given = firing === 'row' ? ` using ${rows}` : ''
    return `execute format(${literal(asFormat(leave(keys)))}, variadic names) into hashes${given};`
  }
  return `if tg_op = 'INSERT' then
        ${run(inserted, 'new')}
      elsif tg_op = 'DELETE' then
        ${run(deleted, 'old')}
      else
        ${run(`select u.* from (${updated}) u where ${watched}`, 'old, new')}
      end if;`
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
