import type { ResultColumn } from '../../model/view.ts'
import { freeName, sqlName } from '../syntax/sql-text.ts'

/** What the SQL of a refresh by diff is made of. */
export interface DiffParts {
  /** The query as the server printed it. */
  readonly sql: string
  readonly columns: readonly ResultColumn[]
  /** The table that holds the result, as SQL. */
  readonly state: string
  readonly key: readonly string[] | null
  /** Without a key: columns by whose hash rows are paired; all of them, by their text, where nothing is said. */
  readonly pairedBy?: readonly string[] | null
  /** The table has unique indexes other than on the key. */
  readonly uniqueBesidesKey: boolean
}

/**
 * The statement that makes a stored result equal to its query, writing only what differs.
 *
 * Why it is right. Take *any* one-to-one pairing of new rows with stored rows, however arbitrary.
 * Update the paired rows whose images differ, insert new rows that have no partner, delete stored
 * rows that have none: what is stored then equals the query's result as a bag, image by image. So the
 * pairing decides only how much is written, never what is stored. Two are in use:
 *
 * - with a key, rows are paired that agree in it. This is one-to-one as long as the key is unique on
 *   both sides; the statement counts, and inserts nothing when it is not (`one_to_one` is false).
 *   It is no trust in the key: every breach is seen. Were a key twice among the new rows and once
 *   stored, more new rows than stored ones would have found a partner; and twice stored it never is,
 *   because rows that are inserted are checked to differ in it from one another.
 * - without a key, rows are paired that agree in a hash, of some columns or of their text, and in their number among
 *   the rows of that hash, which is one-to-one whatever collides.
 *
 * Images are compared with `*<>`, on every type there is: 1.0 and 1.00, 0 and -0, json.
 * Statements of one WITH see the same snapshot and run in no order that is defined, but for data that
 * they take from one another: `added` takes the number of rows in `removed`, so all deletes are done
 * before the first insert, and a unique index never meets an old row and its successor together.
 *
 * Returns one row: rows_total, rows_inserted, rows_updated, rows_deleted, one_to_one.
 */
export function emitDiff(parts: DiffParts): string {
  const names = namesOf(parts)
  const list = parts.columns.map(({ name }) => sqlName(name))
  const { state, key } = parts
  const from = (alias: string): string => list.map((name) => `${alias}.${name}`).join(', ')
  const isNew = `difference.${names.isNew}`
  const place = `difference.${names.place}`
  const written = parts.uniqueBesidesKey ? isNew : `${isNew} and ${place} is null`
  const removed = parts.uniqueBesidesKey ? `${names.place} is not null` : `${names.isNew} is null`
  const changed = parts.uniqueBesidesKey
    ? `${changedIsReplaced}
  changed as (
    select from difference where ${isNew} and ${place} is not null
  ),`
    : `  changed as (
    update ${state} as stored
    set ${list.map((name) => `${name} = difference.${name}`).join(', ')}
    from difference
    where stored.ctid = any (array(select ${names.place} from difference where ${names.isNew}))
      and stored.ctid = ${place}
      and ${isNew}
    returning 1
  ),`
  return `with
  -- The query, run afresh.
  fresh (${list.join(', ')}) as materialized (
${parts.sql}
  ),
${pairing(parts, names, list)}
  -- Pairs of a new row and a stored row that differ, and rows that found no partner.
  difference as materialized (
${differences(parts, names, list)}
  ),
  removed as (
    delete from ${state} as stored
    where stored.ctid = any (array(select ${names.place} from difference where ${removed}))
    returning 1
  ),
${changed}
  tally as (
    select
      (select count(*) from fresh) as rows_fresh,
      (select count(*) from ${state}) as rows_stored,
      (select count(*) from removed) as rows_removed,
      count(*) filter (where ${isNew} and ${place} is null) as rows_unpaired,
      count(*) filter (where ${isNew} is null) as rows_left${distinctKeys(key, names)}
    from difference
  ),
  verdict as (
    select *, ${key === null ? 'true' : oneToOne} as one_to_one
    from tally
  ),
  added as (
    insert into ${state} (${list.join(', ')})
    select ${from('difference')}
    from difference
    cross join verdict
    where ${written}
      and verdict.one_to_one
      and verdict.rows_removed >= 0
    returning 1
  )
select
  rows_fresh as rows_total,
  rows_unpaired as rows_inserted,
  (select count(*) from changed) as rows_updated,
  rows_left as rows_deleted,
  one_to_one
from verdict`
}

/** As many stored rows as new ones have found a partner, and no two of the rows to insert agree in the key. */
const oneToOne = `rows_fresh - rows_unpaired = rows_stored - rows_left
      and rows_unpaired = keys_unpaired`

const changedIsReplaced = `  -- A value may move from one row to another under a unique index, which looks at each row in turn:
  -- rows that differ are deleted and inserted anew.`

/**
 * The statement that counts the rows in which two bags differ, those of the query and those stored.
 * It shares nothing with {@link emitDiff}: rows are counted by their text, and output functions are
 * faithful for every type, or pg_dump would lose data.
 */
export function emitVerify(
  parts: Omit<DiffParts, 'key' | 'pairedBy' | 'uniqueBesidesKey'>,
): string {
  const list = parts.columns.map(({ name }) => sqlName(name))
  const image = (alias: string): string =>
    `row(${list.map((name) => `${alias}.${name}`).join(', ')})::text`
  return `select coalesce(sum(abs(balance)), 0)::bigint
from (
  select sum(side) as balance
  from (
    select 1 as side, ${image('fresh')} as image
    from (
${parts.sql}
    ) as fresh (${list.join(', ')})
    union all
    select -1, ${image('stored')}
    from ${parts.state} as stored
  ) as sides
  group by image collate "C"
) as balances`
}

/** Columns beside the user's, by names that no column of the view has. */
interface Names {
  readonly place: string
  readonly isNew: string
  readonly hash: string
  readonly ordinal: string
}

function namesOf({ columns }: DiffParts): Names {
  const taken = columns.map(({ name }) => name)
  return {
    place: freeName('place', taken),
    isNew: freeName('is_new', taken),
    hash: freeName('hash', taken),
    ordinal: freeName('ordinal', taken),
  }
}

/** `new_row` and `stored_row`: the rows of both sides with what the join needs of them. */
function pairing(parts: DiffParts, names: Names, list: readonly string[]): string {
  const columns = list.join(', ')
  if (parts.key !== null) {
    return `  new_row as (
    select true as ${names.isNew}, ${columns} from fresh
  ),
  stored_row as (
    select ctid as ${names.place}, ${columns} from ${parts.state}
  ),`
  }
  const value =
    parts.pairedBy == null
      ? `hashtextextended(row(${columns})::text collate "C", 0)`
      : `hash_record_extended(row(${parts.pairedBy.map((name) => sqlName(name)).join(', ')}), 0)`
  const hash = `${value} as ${names.hash}`
  const ordinal = `row_number() over (partition by ${names.hash}) as ${names.ordinal}`
  return `  new_row as (
    select true as ${names.isNew}, *, ${ordinal}
    from (select *, ${hash} from fresh) as hashed
  ),
  stored_row as (
    select *, ${ordinal}
    from (select ctid as ${names.place}, ${columns}, ${hash} from ${parts.state}) as hashed
  ),`
}

/**
 * The joins that make `difference`. `is not distinct from` would let NULL agree with NULL, but a FULL
 * JOIN wants conditions that can be hashed or merged, and what stands for it hides the statistics of
 * the columns: 8.2 s instead of 3.5 s for a million texts. So keys with a NULL in them, which are few,
 * are joined apart. (`is null` would take a composite of NULLs for one.)
 */
function differences(parts: DiffParts, names: Names, list: readonly string[]): string {
  const { key } = parts
  if (key === null) {
    const agree = [names.hash, names.ordinal].map((name) => `fresh.${name} = stored.${name}`)
    return differing({ list, names, agree })
  }
  const keys = key.map((name) => ({
    name: sqlName(name),
    type: parts.columns.find((column) => column.name === name)?.type ?? '',
  }))
  const whole = differing({
    list,
    names,
    agree: keys.map(({ name, type }) => agrees(name, type)),
    only: keys.map(({ name }) => `${name} is distinct from null`).join(' and '),
  })
  const withNull = differing({
    list,
    names,
    agree: keys.map(({ name, type }) => agreesWithNull(name, type)),
    only: keys.map(({ name }) => `${name} is not distinct from null`).join(' or '),
  })
  return `${whole}
    union all
${withNull}`
}

interface Join {
  readonly list: readonly string[]
  readonly names: Names
  readonly agree: readonly string[]
  /** The rows of both sides that take part. */
  readonly only?: string
}

function differing({ list, names, agree, only }: Join): string {
  const from = (alias: string): string => list.map((name) => `${alias}.${name}`).join(', ')
  const side = (rows: string): string =>
    only === undefined ? rows : `(select * from ${rows} where ${only})`
  return `    select stored.${names.place}, fresh.${names.isNew}, ${from('fresh')}
    from ${side('new_row')} as fresh
    full join ${side('stored_row')} as stored
      on ${agree.join('\n      and ')}
    where fresh.${names.isNew} is null
       or stored.${names.place} is null
       or row(${from('fresh')})::record *<> row(${from('stored')})::record`
}

/**
 * The operator of a type outside pg_catalog is not found under the function's search_path: citext
 * would be compared as text. Arrays compare their elements by the type's own equality.
 */
function agrees(name: string, type: string): string {
  const own = type.includes('.') && !type.endsWith('[]')
  return own ? `array[fresh.${name}] = array[stored.${name}]` : `fresh.${name} = stored.${name}`
}

/** Arrays compare NULLs in them as equal. An array in an array would become one of more dimensions. */
function agreesWithNull(name: string, type: string): string {
  if (!type.endsWith('[]')) return `array[fresh.${name}] = array[stored.${name}]`
  return `coalesce(fresh.${name}, '{}') = coalesce(stored.${name}, '{}')
      and (fresh.${name} is null) = (stored.${name} is null)`
}

function distinctKeys(key: readonly string[] | null, names: Names): string {
  if (key === null) return ''
  return `,
      (
        select count(*)
        from (
          select from difference
          where ${names.isNew} and ${names.place} is null
          group by ${key.map(sqlName).join(', ')}
        ) as keys
      ) as keys_unpaired`
}
