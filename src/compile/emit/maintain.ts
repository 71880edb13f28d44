import type { RelationName } from '../../model/ids.ts'
import { viewNames } from '../../model/names.ts'
import type { ResultColumn } from '../../model/view.ts'
import { emitDiff, emitVerify } from './diff.ts'
import { dollarQuoted, sqlName, sqlRelation, sqlText } from '../syntax/sql-text.ts'

/** What a maintenance function is made of. */
export interface MaintenanceParts {
  readonly view: RelationName
  /** The query as the server printed it. */
  readonly sql: string
  readonly columns: readonly ResultColumn[]
  /** Two runs of the query may differ: checking one against the other would say nothing. */
  readonly volatile: boolean
  /** Zone in which the query is run, whoever runs it. */
  readonly timeZone: string
}

/** What pairs the rows of a refresh by diff. */
export interface Pairing {
  readonly key: readonly string[] | null
  /** The state table has unique indexes other than on the key. */
  readonly uniqueBesidesKey: boolean
}

/**
 * `create or replace function` of a refresh by diff. Called in a REPEATABLE READ transaction it leaves
 * the state table equal to the query at that transaction's snapshot; readers are never blocked.
 */
export function emitDiffFunction(parts: MaintenanceParts, pairing: Pairing): string {
  const state = `tidemark_state.${sqlName(viewNames.state(parts.view))}`
  const name = sqlText(parts.view)
  const statement = dollarQuoted('diff', `\n${emitDiff({ ...parts, ...pairing, state })}\n`)
  const results = 'rows_total, rows_inserted, rows_updated, rows_deleted, one_to_one'
  const run =
    pairing.key === null
      ? `  execute ${statement}\n  into ${results};\n`
      : keyedRun({ statement, results, state, view: parts.view, key: pairing.key })
  const body = `  -- The guard of the state table lets nobody write but whoever says this.
  perform set_config('tidemark.refreshing', ${name}, true);
${run}  perform set_config('tidemark.refreshing', '', true);
${verification(parts, state)}`
  return maintenance(parts, {
    comment: `-- Refreshes ${parts.view} by diff: its query is run afresh and compared with what is stored, and only the
-- differences are written. Made by Tidemark; \`tidemark plan\` shows a change made by hand.`,
    settings: diffSettings,
    declare: 'one_to_one boolean;',
    body,
  })
}

/**
 * `create or replace function` of a refresh by REFRESH MATERIALIZED VIEW: concurrently where the view is
 * populated and PostgreSQL would accept one of its indexes, plain where not.
 */
export function emitRefreshFunction(parts: MaintenanceParts): string {
  const relation = sqlRelation(parts.view)
  const body = `  select c.relispopulated and exists (
    select
    from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_am a on a.oid = x.relam
    where i.indrelid = c.oid
      and i.indisunique and i.indimmediate and i.indisvalid
      and i.indpred is null and i.indexprs is null
      and a.amname = 'btree'
  )
  into in_place
  from pg_class c
  where c.oid = ${sqlText(relation)}::regclass;

  if in_place then
    refresh materialized view concurrently ${relation};
  else
    refresh materialized view ${relation};
  end if;
  execute ${sqlText(`select count(*) from ${relation}`)} into rows_total;
${verification(parts, relation)}`
  return maintenance(parts, {
    comment: `-- Refreshes ${parts.view} as PostgreSQL does. Made by Tidemark; \`tidemark plan\` shows a change made by hand.`,
    settings: [],
    declare: 'in_place boolean;',
    body,
  })
}

interface FunctionParts {
  readonly comment: string
  readonly settings: readonly string[]
  readonly declare: string
  readonly body: string
}

/**
 * Estimates of a FULL JOIN of what has no statistics are high enough to bring in the just-in-time
 * compiler, which takes 1.5 s to gain nothing. Without parallel workers sums of floats come out alike
 * each time; a statement that writes has none anyway. Policies that would hide rows are an error.
 */
export const diffSettings: readonly string[] = [
  'jit = off',
  'max_parallel_workers_per_gather = 0',
  'row_security = off',
]

/** What the text of values depends on, the same whoever refreshes, wherever. */
export const pinnedSettings = (timeZone: string): readonly string[] => [
  'search_path = pg_catalog, pg_temp',
  `timezone = ${sqlText(timeZone)}`,
  `datestyle = 'ISO, MDY'`,
  `intervalstyle = 'postgres'`,
  'extra_float_digits = 1',
  `bytea_output = 'hex'`,
  'synchronize_seqscans = off',
]

/** EXECUTE plans anew each time: a plan kept from when a table was empty would be kept for hours. */
const maintenance = (parts: MaintenanceParts, rest: FunctionParts): string =>
  emitMaintenance({ ...parts, ...rest })

/**
 * `create or replace function` of a maintenance program; `since` is the snapshot that what is stored reflects,
 * `since_as_of` the time for which it was computed.
 */
export function emitMaintenance(
  parts: FunctionParts & Pick<MaintenanceParts, 'view' | 'timeZone'>,
): string {
  const { comment, settings, declare, body } = parts
  const name = `tidemark_state.${sqlName(viewNames.maintain(parts.view))}`
  const pinned = [...pinnedSettings(parts.timeZone), ...settings]
  const text = `
${comment}
#variable_conflict use_column
declare
  ${declare}
begin
${body}end
`
  return `create or replace function ${name}(
  verify boolean,
  since pg_snapshot,
  since_as_of timestamptz default null,
  out rows_total bigint,
  out rows_inserted bigint,
  out rows_updated bigint,
  out rows_deleted bigint,
  out differing bigint,
  out method text
)
language plpgsql
security definer
${pinned.map((setting) => `set ${setting}`).join('\n')}
as ${dollarQuoted('maintain', text)};
revoke all on function ${name}(boolean, pg_snapshot, timestamptz) from public;`
}

interface KeyedRun {
  readonly statement: string
  readonly results: string
  readonly state: string
  readonly view: RelationName
  readonly key: readonly string[]
}

/**
 * A breach of the key may lie in what is stored, from a time when the key was another one. Beginning
 * again from an empty table tells: there only the new rows can breach it.
 */
function keyedRun({ statement, results, state, view, key }: KeyedRun): string {
  const message = `The key (${key.join(', ')}) of ${view} is not unique in its result (TIDEMARK_KEY_NOT_UNIQUE).`
  const hint = `Declare a key that identifies a row, or leave it out: whole rows are paired then.`
  return `  for attempt in 1..2 loop
    execute ${statement}
    into ${results};
    exit when one_to_one;
    -- The key was not unique; what is stored may be to blame. From an empty table only the new rows can be.
    delete from ${state};
  end loop;
  if not one_to_one then
    raise exception using
      errcode = 'cardinality_violation',
      message = ${sqlText(`${message} ${hint}`)},
      hint = ${sqlText(hint)};
  end if;
`
}

function verification(parts: MaintenanceParts, state: string): string {
  if (parts.volatile) {
    return `
  -- The query calls a volatile function: a second run would differ from the first. Not verified.
`
  }
  return `
  if verify then
    execute ${dollarQuoted('verify', `\n${emitVerify({ ...parts, state })}\n`)}
    into differing;
  end if;
`
}
