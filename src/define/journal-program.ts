import type { RelationName } from '../model/ids.ts'
import type { JournalSource } from '../model/journal.ts'
import {
  foreignFunction,
  invalidateFunction,
  lookupFunction,
  lookupsMax,
  pollFunction,
  sourceTag,
  storeFunction,
  triedLookupFunction,
  wholeTag,
} from '../model/journal.ts'
import { pairWeight } from '../model/capture.ts'
import { beforeName, captureNames, loggedName, objectName } from '../model/names.ts'
import { identifier, literal, qualified } from '../postgres/identifier.ts'
import { textArray } from './catalogue-rows.ts'
import { roleName } from './recreate.ts'

/** Where a view publishes what changes in it; names as SQL. */
export interface Published {
  readonly table: string
  readonly refresh: string
  readonly weight: string
}

/** A lookup with its tables and columns found. */
export interface BoundLookup {
  /** Its number in the namespace. */
  readonly n: number
  /** The columns of the changed row that it reads, which are the texts of `$1`, in this order. */
  readonly reads: readonly string[]
  /** The columns that it tells, by name. */
  readonly columns: readonly string[]
  readonly query: string
}

/** A table or view of a namespace, and where its changes are found. */
export type JournalInput = Omit<JournalSource, 'lookups'> & {
  readonly lookups: readonly BoundLookup[]
} & (
    | {
        readonly kind: 'table'
        /** An update is one row of its log, with what was before; see `logsPairs`. */
        readonly pairs: boolean
      }
    /** Null: only whether it changed is known. */
    | { readonly kind: 'view'; readonly published: Published | null }
  )

/** A namespace and all that its functions are made of. */
export interface Journal {
  readonly name: string
  readonly inputs: readonly JournalInput[]
  readonly retainMs: number
  readonly roles: readonly string[]
}

/** The tables of a change log. */
const buckets = [0, 1, 2] as const

/** More values of one rule in one sequencing are told as "all of it". */
const keysMax = 10_000

/** Class of the advisory lock under which positions are given; the key is that of the namespace. */
const sequencing = 7_428

const functionName = (name: string): string => qualified('tidemark', objectName(name))

/** Names of the functions of a namespace, as `to_regprocedure` takes them. */
const signaturesOf = (namespace: string): readonly string[] => [
  `${functionName(pollFunction(namespace))}(bigint, text, integer)`,
  `${functionName(invalidateFunction(namespace))}(text[], text, text[])`,
  `${functionName(foreignFunction(namespace))}(text, text, bigint)`,
  `${functionName(storeFunction(namespace))}(text, text, text, text[], bytea, double precision, boolean, double precision, text)`,
]

/**
 * Makes the functions by which a namespace is polled and invalidated; who is granted them may do so and nothing else.
 * The laws of the journal are in sql/migrations/0014-invalidation.sql.
 */
export function createJournal(journal: Journal): readonly string[] {
  const { name, roles } = journal
  const invalidate = `create function ${functionName(invalidateFunction(name))}(tags text[], verb text, keys text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $f$ select tidemark.ask_invalidation(${literal(name)}, tags, verb, keys) $f$`
  const foreign = `create function ${functionName(foreignFunction(name))}(cursor_name text, new_epoch text, new_position bigint)
returns table (epoch text, "position" bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $f$ select * from tidemark.move_foreign(${literal(name)}, cursor_name, new_epoch, new_position) $f$`
  const store = `create function ${functionName(storeFunction(name))}(what text, entry_key text, lease_holder text, entry_tags text[], content bytea, ms float8, renew boolean, since_ms float8, failed text)
returns tidemark.shared_answer
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $f$ select tidemark.use_store(${literal(name)}, what, entry_key, lease_holder, entry_tags, content, ms, renew, since_ms, failed) $f$`
  const signatures = signaturesOf(name)
  return [
    ...dropJournal(name),
    ...journal.inputs.flatMap(({ lookups }) => lookups).flatMap((of) => lookupFunctions(name, of)),
    pollSql(journal),
    invalidate,
    foreign,
    store,
    ...signatures.map((signature) => `revoke all on function ${signature} from public`),
    ...roles.flatMap((role) =>
      signatures.map((signature) => `grant execute on function ${signature} to ${roleName(role)}`),
    ),
  ]
}

/** Takes the functions of a namespace away. */
export const dropJournal = (namespace: string): readonly string[] => [
  ...signaturesOf(namespace).map((signature) => `drop function if exists ${signature}`),
  dropLookups(namespace),
]

/** How many lookups there were is not known any more. */
function dropLookups(namespace: string): string {
  const names = Array.from({ length: lookupsMax }, (_, n) => [
    `${functionName(triedLookupFunction(namespace, n))}(text[])`,
    `${functionName(lookupFunction(namespace, n))}(text[])`,
  ])
  return `do $f$
declare signature text;
begin
  foreach signature in array ${textArray(names.flat())} loop
    if to_regprocedure(signature) is not null then
      execute 'drop function ' || signature;
    end if;
  end loop;
end
$f$`
}

/**
 * A lookup is bound to tables and columns by number, so that it follows renames. It runs for rows that are committed: one that fails must
 * not keep everybody from being told of everything, and tells that its rows cannot be told.
 */
function lookupFunctions(namespace: string, { n, columns, query }: BoundLookup): readonly string[] {
  const [lookup, tried] = [
    functionName(lookupFunction(namespace, n)),
    functionName(triedLookupFunction(namespace, n)),
  ]
  const named = columns.map((column) => identifier(column))
  return [
    `create function ${lookup}(text[]) returns table (${named.map((column) => `${column} text`).join(', ')})
language sql stable
begin atomic select ${named.map((column) => `k.${column}::text`).join(', ')} from (${query}) k; end`,
    `create function ${tried}(row_values text[]) returns table (failed boolean, found text[])
language plpgsql stable set search_path = pg_catalog, pg_temp
as $f$
begin
  return query select false, array[${named.map((column) => `k.${column}`).join(', ')}] from ${lookup}(row_values) k;
exception when others then
  raise warning 'a lookup of cache % failed: %', ${literal(namespace)}, sqlerrm;
  return query select true, null::text[];
end
$f$`,
    ...[lookup, tried].map((name) => `revoke all on function ${name}(text[]) from public`),
  ]
}

/*
 * Logs are asked bucket by bucket: nearly always one will do, and a statement costs by its tables. Plans are made once in
 * each session: the conditions are on an index, whatever the ids are. Logs have no statistics, by which the planner would
 * think that a third of them is new.
 */
function pollSql({ name, inputs }: Journal): string {
  const views = inputs.filter(({ kind }) => kind === 'view').map(({ relation }) => relation)
  const tables = inputs.filter(({ kind }) => kind === 'table').map(({ relation }) => relation)
  const tell = (blind: string): string =>
    `tidemark.tell_news(${literal(name)}, since, since_epoch, most, poll.seen, ${blind})`
  const probes = [
    probe('tidemark.invalidation_request', `l.cache = ${literal(name)} and `),
    ...(views.length === 0
      ? []
      : [
          `exists (select from tidemark.view_state v where v.view = any (${textArray(views)})
        and v.refreshes is distinct from (poll.state.refreshes ->> v.view)::bigint)`,
        ]),
    `exists (select from tidemark.gap g where g.source = any (${textArray(tables)})
        and not pg_visible_in_snapshot(g.xid, poll.state.snapshot))`,
  ]
  const logProbes = buckets.map((bucket) => {
    const found = tables.map((table) => probe(logOf(table, bucket), ''))
    const more = found.length === 0 ? 'false' : found.join('\n        or ')
    return `    if not poll.news and poll.ended.buckets[${String(bucket + 1)}] then
      poll.news := ${more};
    end if;`
  })
  return `create function ${functionName(pollFunction(name))}(since bigint, since_epoch text, most integer)
returns tidemark.invalidation_news
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off set lock_timeout = '2s'
as $f$
#variable_conflict use_column
<<poll>>
declare
  me xid8 := pg_current_xact_id_if_assigned();
  seen pg_snapshot := tidemark.snapshot_without(pg_current_snapshot(), me);
  state tidemark.cache_state;
  ended tidemark.ended_xids;
  cursor_xmax xid8;
  cursor_xip xid8[];
  reached bigint;
  news boolean := false;
begin
  if pg_is_in_recovery() then
    return ${tell(literal('standby: positions are given on the primary; poll there'))};
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    return ${tell(literal('snapshot_fixed: this transaction sees no commit since it began; poll in one of READ COMMITTED'))};
  end if;
  select * into poll.state from tidemark.cache_state s where s.cache = ${literal(name)};
  poll.ended := tidemark.ended_between(poll.state.snapshot, poll.seen);
  if poll.ended.lows is not null then
    poll.news := ${probes.join('\n      or ')};
${logProbes.join('\n')}
  end if;
  if poll.news then
    perform pg_advisory_xact_lock(${String(sequencing)}, c.lock_key) from tidemark.cache c where c.name = ${literal(name)};
    select * into poll.state from tidemark.cache_state s where s.cache = ${literal(name)};
    poll.cursor_xmax := pg_snapshot_xmax(poll.state.snapshot);
    poll.cursor_xip := array(select pg_snapshot_xip(poll.state.snapshot));
${sequenceSql(name, inputs, views)}
    if poll.reached > poll.state.position then
      perform pg_notify(${literal(`tidemark_${name}`)}, poll.reached::text);
    end if;
  end if;
  return ${tell('null')};
end
$f$`
}

const logOf = (table: RelationName, bucket: (typeof buckets)[number]): string =>
  qualified('tidemark', captureNames.log(table, bucket))

/** Whether a table has a row of a transaction that has ended since the cursor. */
const probe = (table: string, also: string): string =>
  `exists (select from unnest(poll.ended.lows, poll.ended.highs) r (low, high)
               cross join lateral (select from ${table} l where ${also}l.xid >= r.low and l.xid < r.high limit 1) one)`

/** Rows of a table beyond the cursor, but for those of this very transaction: it is not known yet whether they will stay. */
const beyondCursor = (table: string, columns: string, also = ''): string =>
  [`l.xid >= poll.cursor_xmax`, `l.xid = any (poll.cursor_xip)`]
    .map(
      (beyond) =>
        `select ${columns} from ${table} l where ${also}${beyond} and l.xid is distinct from poll.me`,
    )
    .join('\n        union all ')

/** One statement, so one snapshot: all logs are read, tags get positions, and the cursor moves to that snapshot. */
function sequenceSql(
  name: string,
  inputs: readonly JournalInput[],
  views: readonly RelationName[],
): string {
  const parts = inputs.map((input, i) => tagsOf(name, input, String(i)))
  const requested = `select t.kind, t.name, l.verb, l.x as low, l.x as high
      from (${beyondCursor('tidemark.invalidation_request', 'l.tags, l.keys, l.verb, l.xid::text::bigint as x', `l.cache = ${literal(name)} and `)}) l
      cross join lateral (select 'tag', unnest(l.tags) union all select 'key', unnest(l.keys)) t (kind, name)`
  return `    with ${[
    ...parts.flatMap(({ queries }) => queries),
    `told (kind, name, verb, low, high) as (
      ${[requested, ...parts.flatMap(({ tags }) => tags)].join('\n      union all ')}
    )`,
    `placed as materialized (
      select poll.state.position + row_number() over (order by max(high), kind, name collate "C", verb) as position, kind, name, verb,
             min(low) as low, max(high) as high
      from told group by kind, name, verb
    )`,
    `written as (
      insert into tidemark.invalidation (cache, position, kind, name, verb, first_xid, last_xid, at)
      select ${literal(name)}, position, kind, name, verb, low::text::xid8, high::text::xid8, clock_timestamp() from placed
    )`,
  ].join(',\n    ')}
    update tidemark.cache_state s
       set snapshot = tidemark.snapshot_without(pg_current_snapshot(), poll.me),
           position = poll.state.position + (select count(*) from placed),
           refreshes = (select coalesce(jsonb_object_agg(v.view, v.refreshes), '{}') from tidemark.view_state v
                         where v.view = any (${textArray(views)})),
           sequenced_at = clock_timestamp()
     where s.cache = ${literal(name)}
    returning s.position into poll.reached;`
}

/** Queries for what changed in an input, and those that make tags of it: `kind, name, verb, low, high`. */
interface Tags {
  readonly queries: readonly string[]
  readonly tags: readonly string[]
}

function tagsOf(namespace: string, input: JournalInput, n: string): Tags {
  const { relation, rules, lookups } = input
  const keyed = rules.filter((rule) => rule.length > 0)
  const changed = identifier(`changed ${n}`)
  const columns = [...new Set([...keyed.flat(), ...lookups.flatMap(({ reads }) => reads)])]
  const bare = rules.some((rule) => rule.length === 0) ? [sourceTag(relation)] : []
  const whole = keyed.length + lookups.length > 0 ? [wholeTag(relation)] : []
  const span = (tag: string, rows: string): string =>
    `select 'tag', ${literal(tag)}, 'remove', min(low), max(high) from ${rows} having count(*) > 0`
  const queries = [`${changed} as materialized (\n      ${changesOf(input, columns)}\n    )`]
  const tags = [
    ...bare.map((tag) => span(tag, changed)),
    ...whole.map((tag) => span(tag, `${changed} where w = 0`)),
  ]
  if (input.kind === 'table') {
    const gap = identifier(`gap ${n}`)
    queries.push(`${gap} as materialized (
      select g.xid::text::bigint as low, g.xid::text::bigint as high from tidemark.gap g
      where g.source = ${literal(relation)} and not pg_visible_in_snapshot(g.xid, poll.state.snapshot)
        and g.xid is distinct from poll.me
    )`)
    tags.push(...[...bare, ...whole].map((tag) => span(tag, gap)))
  }
  for (const [k, rule] of keyed.entries()) {
    const keys = identifier(`keys ${n} ${String(k)}`)
    const list = rule.map((column) => identifier(column))
    const values = tagText(relation, rule, list)
    queries.push(`${keys} as materialized (
      select ${list.join(', ')}, min(low) as low, max(high) as high from ${changed} where w <> 0 group by ${list.join(', ')}
    )`)
    tags.push(
      `select 'tag', ${values}, 'remove', low, high from ${keys} where (select count(*) from ${keys}) <= ${String(keysMax)}`,
      `select 'tag', ${literal(wholeTag(relation))}, 'remove', min(low), max(high) from ${keys} having count(*) > ${String(keysMax)}`,
    )
  }
  for (const lookup of lookups) {
    const found = tagsOfLookup(namespace, relation, { lookup, changed })
    queries.push(...found.queries)
    tags.push(...found.tags)
  }
  return { queries, tags }
}

/** The text of a tag of rows whose columns have these values, as SQL. */
const tagText = (
  relation: RelationName,
  columns: readonly string[],
  values: readonly string[],
): string =>
  columns
    .map((column, i) => {
      const before = i === 0 ? `${sourceTag(relation)}:${column}=` : `,${column}=`
      return `${literal(before)} || tidemark.tag_value(${values[i] ?? ''})`
    })
    .join(' || ')

function tagsOfLookup(
  namespace: string,
  relation: RelationName,
  { lookup, changed }: { readonly lookup: BoundLookup; readonly changed: string },
): Tags {
  const { n, reads, columns } = lookup
  const asked = identifier(`asked ${String(n)}`)
  const found = identifier(`found ${String(n)}`)
  const list = reads.map((column) => identifier(column)).join(', ')
  const values = columns.map((_, i) => `found[${String(i + 1)}]`)
  const many = (rows: string): string => `(select count(*) from ${rows}) > ${String(keysMax)}`
  const untold = (rows: string, when: string): string =>
    `select 'tag', ${literal(wholeTag(relation))}, 'remove', min(low), max(high) from ${rows} where ${when} having count(*) > 0`
  return {
    queries: [
      `${asked} as materialized (
      select ${list}, min(low) as low, max(high) as high from ${changed} where w <> 0 group by ${list}
    )`,
      `${found} as materialized (
      select f.failed, f.found, a.low, a.high from ${asked} a
      cross join lateral ${functionName(triedLookupFunction(namespace, n))}(array[${list}]) f
      where not ${many(asked)}
    )`,
    ],
    tags: [
      `select 'tag', ${tagText(relation, columns, values)}, 'remove', low, high from ${found} where not failed and not ${many(found)}`,
      untold(asked, many(asked)),
      untold(found, `failed or ${many(found)}`),
    ],
  }
}

/** Changed rows: `w`, the transaction as `low` and `high`, and columns as bytes tell them apart, whatever their collation. */
function changesOf(input: JournalInput, columns: readonly string[]): string {
  const { relation } = input
  if (input.kind === 'table') return loggedChanges(relation, columns, input.pairs)
  const named = columns.map((column) => `, ${identifier(column)}`).join('')
  return `select r.w, v.changed_xid::text::bigint as low, v.changed_xid::text::bigint as high${named}
      from tidemark.view_state v
      cross join lateral (
        ${publishedRows(input, columns)}
      ) r (w${named})
      -- Refreshes commit one after the other: who sees the last one that changed something sees all before it.
      where v.view = ${literal(relation)} and v.changed_xid is distinct from poll.me
        and not pg_visible_in_snapshot(v.changed_xid, poll.state.snapshot)`
}

/** The same of a table; an update that is one row of its log is told as two. */
function loggedChanges(relation: RelationName, columns: readonly string[], pairs: boolean): string {
  const list = (name: (column: string) => string, alias: (column: string) => string): string =>
    columns
      .map((column) => `, l.${identifier(name(column))}::text collate "C" as ${alias(column)}`)
      .join('')
  // A function that knows of no images of before tells less than such a row: an apply that was cut short may have left one.
  const weight = pairs ? 'l.w' : `case l.w when ${String(pairWeight)} then 0 else l.w end as w`
  const rows = (values: string): string =>
    buckets
      .map((bucket) =>
        beyondCursor(
          logOf(relation, bucket),
          `${weight}, l.xid::text::bigint as low, l.xid::text::bigint as high${values}`,
        ),
      )
      .join('\n        union all ')
  if (!pairs || columns.length === 0) return rows(list(loggedName, identifier))
  const at = (prefix: string) => (column: string) => `${prefix}${String(columns.indexOf(column))}`
  const [came, went] = [columns.map(at('came_')), columns.map(at('went_'))]
  const named = columns.map((column) => `, c.${identifier(column)}`).join('')
  return `select l.w, l.low, l.high${named}
      from (
        ${rows(`${list(loggedName, at('came_'))}${list(beforeName, at('went_'))}`)}
      ) l
      cross join lateral (
        select ${came.map((name) => `l.${name}`).join(', ')}
        union all
        select ${went.map((name) => `l.${name}`).join(', ')} where l.w = ${String(pairWeight)}
      ) c (${columns.map((column) => identifier(column)).join(', ')})`
}

/** What a view tells of its changes since the cursor, to be read beside its state `v`. */
function publishedRows(
  { relation, published }: Extract<JournalInput, { kind: 'view' }>,
  columns: readonly string[],
): string {
  const untold = `select 0::bigint${columns.map(() => ', null::text').join('')}`
  if (published === null) return untold
  const { table, refresh, weight } = published
  const list = columns.map((column) => `, c.${identifier(column)}::text collate "C"`).join('')
  const reached = `(poll.state.refreshes ->> ${literal(relation)})::bigint`
  return `select c.${weight}${list} from ${table} c where c.${refresh} > ${reached}
        union all
        -- made anew, it counts its refreshes from the beginning
        ${untold} where v.refreshes < ${reached} or ${reached} is null`
}
