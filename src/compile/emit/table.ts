import type { RelationName } from '../../model/ids.ts'
import { viewNames } from '../../model/names.ts'
import type { PresentedTable, ResultColumn } from '../../model/view.ts'
import { emitDiff, emitVerify } from './diff.ts'
import { diffSettings, pinnedSettings } from './maintain.ts'
import { dollarQuoted, sqlName, sqlRelation, sqlText } from '../syntax/sql-text.ts'

/** A view whose name is an ordinary table. */
export interface TableParts {
  readonly view: RelationName
  readonly columns: readonly ResultColumn[]
  /** Columns by which a row that went and one that came are told to be one that changed. */
  readonly key: readonly string[] | null
  /** Columns that can be hashed. */
  readonly hashable: readonly string[]
  readonly timeZone: string
}

/** More rows than this are not worth a look at each. */
const rowsMax = 300_000

/** What a view has beside its state when its name is an ordinary table. */
export function emitTable(parts: TableParts): PresentedTable {
  const located = locators(parts)
  return {
    located,
    index: located.length === 0 ? null : `(${hashOf(located.map((column) => sqlName(column)))})`,
    presentSql: presentFunction(parts, located),
  }
}

/** Rows are found in the user's table by the hash of these: of the key, which few changes touch, else of all. */
function locators({ columns, key, hashable }: TableParts): readonly string[] {
  const found = (names: readonly string[]): readonly string[] =>
    names.filter((name) => hashable.includes(name))
  const ofKey = found(key ?? [])
  return ofKey.length > 0 ? ofKey : found(columns.map(({ name }) => name))
}

/** A hash by the equality of each type, which is immutable: it may be indexed. */
const hashOf = (columns: readonly string[]): string =>
  `hash_record_extended(row(${columns.join(', ')}), 0)`

/** Names of the program's own, with blanks so that no column of a user's has them by chance. */
const own = {
  weight: '"weight of change"',
  image: '"image of row"',
  pair: '"pair of row"',
  number: '"number of row"',
  place: '"place of row"',
  net: '"net of row"',
} as const

function presentFunction(parts: TableParts, located: readonly string[]): string {
  const { view, columns, timeZone } = parts
  const name = `tidemark_state.${sqlName(viewNames.present(view))}`
  const difference = `tidemark_state.${sqlName(viewNames.difference(view))}`
  const table = sqlRelation(view)
  const list = columns.map((column) => sqlName(column.name)).join(', ')
  const whole = {
    sql: `select ${list} from tidemark_state.${sqlName(viewNames.state(view))}`,
    columns,
    state: table,
  }
  const settings = [
    ...pinnedSettings(timeZone),
    ...diffSettings,
    'plan_cache_mode = force_custom_plan',
  ]
  const text = `
-- Brings ${view}, a table, to what the refresh has stored in its side table. Made by Tidemark.
#variable_conflict use_column
declare
  changes ${difference}[];
  written bigint;
  lost bigint;
begin
  -- The guards let nobody write but whoever says this.
  perform set_config('tidemark.refreshing', ${sqlText(view)}, true);
  select array_agg(d), count(*), whole or coalesce(bool_or((d).${own.weight} = 0), false)
  into changes, written, whole
  from (select d from ${difference} as d limit ${String(rowsMax + 1)}) as read (d);
  if written > ${String(rowsMax)} then
    whole := true;
    truncate ${difference};
  elsif written > 0 then
    delete from ${difference};
  end if;
  if written > 0 and not whole then
${settle(parts, located, table)}
    into lost;
    if lost > 0 then
      -- A row that should be there is not: somebody else has written.
      differing := lost;
      whole := true;
    end if;
  end if;
  if verify and not whole then
    execute ${dollarQuoted('verify', `\n${emitVerify(whole)}\n`)}
    into differing;
    whole := differing > 0;
  end if;
  if whole then
    execute ${dollarQuoted('diff', `\n${emitDiff({ ...whole, key: null, uniqueBesidesKey: true })}\n`)};
    analyze ${table};
  end if;
  perform set_config('tidemark.refreshing', '', true);
end
`
  return `create or replace function ${name}(
  whole boolean,
  verify boolean,
  in_place boolean,
  out differing bigint
)
language plpgsql
security definer
${settings.map((setting) => `set ${setting}`).join('\n')}
as ${dollarQuoted('present', text)}`
}

/**
 * The statement that does to the user's table what was done to the side table, and returns how many rows it looked for
 * in vain.
 *
 * Rows are added up by image, so that what came and went again is not written. A row that went and one that came with
 * the same key are one that changed; the pairing is one to one whatever the key is, so it decides how a change is
 * written and never what is stored. Under a unique index that does not hold the whole key a value may move from row to
 * row: `in_place` is false, nothing is paired (no row that went has a number below 0), and rows go before rows come.
 */
function settle(parts: TableParts, located: readonly string[], table: string): string {
  const names = parts.columns.map(({ name }) => sqlName(name))
  const from = (alias: string, columns: readonly string[] = names): string =>
    columns.map((name) => `${alias}.${name}`).join(', ')
  const image = (alias: string): string => `row(${from(alias)})::text collate "C"`
  const { key } = parts
  const pair =
    key === null ? 'null::text' : `row(${key.map((name) => `n.${sqlName(name)}`).join(', ')})::text`
  const hashed = located.map((column) => sqlName(column))
  const found =
    hashed.length === 0
      ? ''
      : `${hashOf(hashed.map((name) => `t.${name}`))} = ${hashOf(hashed.map((name) => `n.${name}`))}\n        and `
  return `    with
      -- What became of each row: rows that look alike are one.
      net as materialized (
        select ${from('c')}, c.${own.image}, c.${own.net}
        from (
          select c.*, sum(c.${own.weight}) over (partition by c.${own.image}) as ${own.net},
            row_number() over (partition by c.${own.image}) as ${own.number}
          from (select d.*, ${image('d')} as ${own.image} from unnest(changes) as d) as c
        ) as c
        where c.${own.number} = 1
      ),
      found as materialized (
        select n.${own.image}, n.${own.net}, ${pair} as ${own.pair}, t.ctid as ${own.place},
          row_number() over (partition by n.${own.image}) as ${own.number}
        from net as n
        join only ${table} as t on ${found}${image('t')} = n.${own.image}
        where n.${own.net} < 0
      ),
      gone as materialized (
        select f.${own.place}, f.${own.pair},
          row_number() over (partition by f.${own.pair}) as ${own.number}
        from found as f
        where f.${own.number} <= -f.${own.net}
      ),
      come as materialized (
        select ${from('n')}, ${pair} as ${own.pair},
          case when in_place then 1 else -1 end * row_number() over (partition by ${pair}) as ${own.number}
        from net as n
        cross join generate_series(1, n.${own.net})
        where n.${own.net} > 0
      ),
      difference as materialized (
        select g.${own.place}, c.${own.number} is not null as "is new", ${from('c')}
        from come as c
        full join gone as g on g.${own.pair} = c.${own.pair} and g.${own.number} = c.${own.number}
      ),
      removed as (
        delete from only ${table} as t
        using difference as d
        where t.ctid = d.${own.place} and not d."is new"
        returning 1
      ),
      altered as (
        update only ${table} as t
        set ${names.map((name) => `${name} = d.${name}`).join(', ')}
        from difference as d
        where t.ctid = d.${own.place} and d."is new"
        returning 1
      ),
      added as (
        insert into ${table} (${names.join(', ')})
        select ${from('d')}
        from difference as d
        where d."is new" and d.${own.place} is null
          -- For the sake of unique indexes.
          and (select count(*) from removed) + (select count(*) from altered) >= 0
        returning 1
      )
    select (select coalesce(-sum(n.${own.net}), 0) from net as n where n.${own.net} < 0) - (select count(*) from gone)`
}
