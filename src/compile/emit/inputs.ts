import type { RelationName } from '../../model/ids.ts'
import { objectName, viewNames } from '../../model/names.ts'
import type { ResultColumn } from '../../model/view.ts'
import { freeName, sqlName, sqlText } from '../syntax/sql-text.ts'

/*
 * Views on views. A view that others read publishes with each refresh what changed in it: rows with their weight and the
 * number of the refresh. A refresh that computed it afresh publishes one row of weight 0, which says "read me whole".
 */

/** A maintained view that tells what changes in it. */
export interface ReadView {
  readonly name: RelationName
  /** All columns that it shows, in order. */
  readonly columns: readonly ResultColumn[]
}

/** Where the changes of a view are kept until every reader reflects them; names as SQL. */
export interface ChangesTable {
  readonly table: string
  readonly refresh: string
  readonly weight: string
}

/** What the table of a view's changes is called, and its own columns. */
export function changesTable({ name, columns }: ReadView): ChangesTable {
  const taken = columns.map((column) => column.name)
  return {
    table: `tidemark_state.${sqlName(objectName(viewNames.changes(name)))}`,
    refresh: sqlName(freeName('tidemark refresh', taken)),
    weight: sqlName(freeName('tidemark weight', taken)),
  }
}

const typed = ({ name, type, collation }: ResultColumn): string =>
  `${sqlName(name)} ${type}${collation === undefined ? '' : ` collate ${collation}`}`

/** Makes the table in which a view publishes its changes. */
export function publishedTable(view: ReadView): string {
  const { table, refresh, weight } = changesTable(view)
  const own = [`${refresh} bigint not null`, `${weight} bigint not null`]
  return `create table ${table} (${[...own, ...view.columns.map(typed)].join(', ')})`
}

/** More than this is not kept for a reader that lags: it is told to read the view whole. */
const keptMax = 1_000_000

/** Statements that publish what changed: `changes` is the variable with the changes of the root, null for none. */
export function publishStatements(
  view: ReadView,
  { changes, changesMax }: { readonly changes: string; readonly changesMax: number },
): string {
  const { table, refresh, weight } = changesTable(view)
  const list = view.columns.map(({ name }) => sqlName(name))
  const number = `tidemark.next_refresh(${sqlText(view.name)})`
  return `  -- What changed, for the views that read this one; what all of them reflect is not needed again.
  delete from ${table} where ${refresh} <= (select tidemark.reflected_by_all(${sqlText(view.name)}));
  if method = 'diff' or cardinality(${changes}) > ${String(changesMax)}
     or (select count(*) from (select from ${table} limit ${String(keptMax + 1)}) as kept) > ${String(keptMax)} then
    delete from ${table};
    insert into ${table} (${refresh}, ${weight}) values (${number}, 0);
  elsif ${changes} is not null then
    insert into ${table} (${[refresh, weight, ...list].join(', ')})
    select ${[number, 'c."weight of change"', ...list.map((name) => `c.${name}`)].join(', ')}
    from unnest(${changes}) as c;
  end if;
`
}

/** The variables into which the changes of an input are read. */
export interface ReadInto {
  readonly changeType: string
  readonly changes: string
  readonly count: string
  /** True when the input is to be read whole. */
  readonly whole: string
}

/** Reads what an input has published since the refresh that the view reflects. */
export function readPublished(
  reader: RelationName,
  input: ReadView,
  { into, changesMax }: { readonly into: ReadInto; readonly changesMax: number },
): string {
  const { table, refresh, weight } = changesTable(input)
  const list = input.columns.map(({ name }) => sqlName(name))
  return `  -- What changed in ${input.name} since.
  select array_agg(row(${[...list, weight].map((name) => `l.${name}`).join(', ')})::${into.changeType}), count(*), coalesce(bool_or(l.${weight} = 0), false)
  into ${into.changes}, ${into.count}, ${into.whole}
  from (
    select ${[...list, weight].join(', ')} from ${table}
    where ${refresh} > (select tidemark.reflected_refresh(${sqlText(reader)}, ${sqlText(input.name)}))
    limit ${String(changesMax + 1)}
  ) as l;`
}

/** The type of a change of an input. */
export const inputChangeType = (input: ReadView, changeType: string): string =>
  `create type ${changeType} as (${[...input.columns.map(typed), '"weight of change" bigint'].join(', ')})`
