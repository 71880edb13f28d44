import type { ResultColumn } from '../../model/view.ts'
import { dollarQuoted, sqlName, sqlText } from '../syntax/sql-text.ts'
import type { Assembly } from './assemble.ts'
import { valueText } from './assemble.ts'
import { emitVerify } from './diff.ts'
import { indented } from './relation.ts'
import type { GroupCheck, StoredColumn, StoredStage } from './stored-stage.ts'
import { keyVariables } from './stored-stage.ts'

/*
 * Groups that a refresh checks. One condition on columns of the view cuts a bag out of what its query gives, and one out of
 * what is stored: if these two differ, so do the whole. Any condition would prove as much; those on the key of the last
 * stage, or on all that a row shows where it has none, are such that PostgreSQL can push them down to the tables.
 */

/** Variables of the program. */
const asked = '"checks groups"'
const touched = '"touched groups"'
const place = '"place of row"'

/** Of the groups that a refresh has touched, so many are checked. */
const touchedMax = 3

/** How the groups of the last stage of a view are told apart; null where none can be computed alone. */
export function groupCheckOf({
  stage,
  outputs,
  keyNames,
  hash,
}: Pick<StoredStage, 'stage' | 'outputs' | 'keyNames' | 'hash'>): GroupCheck | null {
  const comparable = ({ type }: StoredColumn): boolean => type.hashable && type.equality !== null
  const columns = stage.linear
    ? outputs.filter(comparable)
    : stage.key.flatMap(({ id }, at) => {
        const shown = outputs.find(({ name }) => name === keyNames[at])
        return shown !== undefined && comparable(shown) ? [{ ...shown, id }] : []
      })
  if (columns.length === 0) return null
  const found = stage.linear || columns.length === stage.key.length
  return { columns, byImage: stage.linear, hash: found ? hash : null }
}

/** Declarations of the program: where a refresh that checks groups goes on looking is said by a setting. */
export const checkDeclarations = ({ check }: StoredStage): readonly string[] =>
  check === null
    ? []
    : [
        `${asked} boolean := coalesce(current_setting('tidemark.check', true), '') <> '';`,
        `${touched} text[];`,
      ]

/** The variable that {@link touchedColumn} is put into. */
export const touchedVariable = ({ check }: StoredStage): readonly string[] =>
  check === null ? [] : [touched]

/** What rows of groups are called. */
interface GroupRows {
  /** A query of WITH, or what else may follow FROM. */
  readonly from: string
  /** Columns are called by their ids, or as in the table of the stage. */
  readonly by: 'id' | 'name'
  readonly hash: string
}

/** A column of the result of a statement: some of the groups that it touched, where groups are checked. */
export function touchedColumn(
  stored: StoredStage,
  rows: GroupRows,
  assembly: Assembly | null,
): readonly string[] {
  const { check } = stored
  if (check === null) return []
  return [
    `case when ${valueText(assembly, asked)} then (\n${indented(someGroups(stored, check, rows))}\n) end`,
  ]
}

function someGroups(stored: StoredStage, check: GroupCheck, rows: GroupRows): string {
  const { from } = rows
  const start = `floor(random() * greatest(count(*) - ${String(touchedMax - 1)}, 1))::bigint`
  return `select array_agg(${groupText(stored, check, rows)})
from (select * from ${from} offset (select ${start} from ${from}) limit ${String(touchedMax)}) as t`
}

/** `array[condition, hash]` of the group of a row `t`: the condition as SQL over columns of the view. */
function groupText(
  { outputs }: StoredStage,
  { columns, byImage, hash }: GroupCheck,
  { by, hash: hashOfRow }: GroupRows,
): string {
  const valueOf = (column: StoredColumn): string => `t.${sqlName(column[by])}`
  const conditions = columns.map((column) => {
    const { name, type } = column
    const sign = type.equality === 'pg_catalog.=' ? '=' : `operator(${type.equality ?? ''})`
    const value = valueOf(column)
    return `case when ${value} is not distinct from null then ${sqlText(`${sqlName(name)} is not distinct from null`)}
      else ${sqlText(`${sqlName(name)} ${sign} `)} || quote_literal(${value}::text) || ${sqlText(`::${type.type}`)} end`
  })
  if (byImage) {
    const value = imageText(outputs.map(valueOf))
    conditions.push(
      `${sqlText(`${imageText(outputs.map(({ name }) => sqlName(name)))} = `)} || quote_literal(${value})`,
    )
  }
  const found = hash === null ? 'null' : `t.${hashOfRow}::text`
  return `array[concat_ws(' and ', ${conditions.join(', ')}), ${found}]`
}

const imageText = (columns: readonly string[]): string =>
  `row(${columns.join(', ')})::text collate "C"`

/** What the check of the last stage of a view is made of. */
export interface GroupChecking {
  readonly stored: StoredStage
  /** The view of the query with nothing left to choose, as SQL. */
  readonly exact: string
  readonly columns: readonly ResultColumn[]
  /** SQL that is true when something changed that the view reads. */
  readonly changed: string
}

/**
 * Statements that compare some groups which the refresh has touched, and one that it has not, with the query. A setting
 * says how many they were, how long it took, and where the next refresh is to go on: rows get their turn in the order in
 * which they lie in the table.
 *
 * Under a condition PostgreSQL may compute an expression before another one that would have kept the row away from it.
 * Where it fails so, groups of this view cannot be computed alone.
 */
export function checkStatements(checking: GroupChecking): readonly string[] {
  const { stored, exact, changed } = checking
  const { check, table, hash, stage, groups } = stored
  if (check === null) return []
  const recomputed = !stage.linear && groups === null
  const inTable: GroupRows = { from: table, by: 'name', hash: sqlName(hash ?? '') }
  return [
    `-- Some of the groups that this refresh touched, and one that it did not, are computed by the query and compared.
if ${asked} and method <> 'diff' and (${changed}) and to_regclass(${sqlText(exact)}) is not null then
  declare
    began timestamptz := clock_timestamp();
    ${place} tid := current_setting('tidemark.check');
    untouched text[];
    one text[];
    compared int := 0;
    differing_in_one bigint;
  begin
${recomputed ? `    ${touched} := (\n${indented(someGroups(stored, check, keysOf(stored)), '      ')}\n    );\n` : ''}    select t.ctid, ${groupText(stored, check, inTable)} into ${place}, untouched
    from ${table} as t where t.ctid > ${place} limit 1;
    ${touched} := ${touched} || untouched;
    if ${touched} is not null then
      foreach one slice 1 in array ${touched} loop
        execute ${comparison(checking, check)}
        into differing_in_one;
        differing := coalesce(differing, 0) + differing_in_one;
        compared := compared + 1;
      end loop;
    end if;
    ${told('compared', `coalesce(${place}, '(0,0)')`, 'false')}
  exception when data_exception then
    ${told('0', "'(0,0)'", 'true')}
  end;
end if;`,
  ]
}

/** What is said of a check to who asked for it. */
const told = (compared: string, goesOn: string, failed: string): string =>
  `perform set_config('tidemark.checked', json_build_object('groups', ${compared}, 'place', ${goesOn}, 'failed', ${failed},
      'ms', extract(epoch from clock_timestamp() - began) * 1000)::text, true);`

/** The keys at which something changed, of a stage that computes theirs afresh. */
function keysOf(stored: StoredStage): GroupRows {
  const { keys, keysWithNull } = keyVariables(stored)
  return { from: `unnest(${keys} || ${keysWithNull})`, by: 'id', hash: 'hash' }
}

/** An expression of PL/pgSQL: the statement that counts the rows in which the group `one` differs. */
function comparison(
  { stored: { table }, exact, columns }: GroupChecking,
  { hash }: GroupCheck,
): string {
  const list = columns.map(({ name }) => sqlName(name)).join(', ')
  const group = '\uE000'
  const [before, between, after] = emitVerify({
    sql: `select ${list} from ${exact} where ${group}`,
    columns,
    state: `(select ${list} from ${table} where ${group})`,
  })
    .split(group)
    .map((text) => dollarQuoted('sql', text))
  const found = hash === null ? '' : ` || ${sqlText(` and ${sqlName(hash)} = `)} || one[2]`
  return `${before ?? ''} || one[1] || ${between ?? ''} || one[1]${found} || ${after ?? ''}`
}
