import { executeText } from './assemble.ts'
import { declared } from '../algebra/accumulate.ts'
import { isPlain } from '../algebra/determine.ts'
import { alsoTold, difference, resultSelect } from './difference.ts'
import type { Item } from './relation.ts'
import { indented, itemOf, joinList, rowText, sortText } from './relation.ts'
import { columnIn } from '../algebra/expression.ts'
import type { Top } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import type { FirstRows } from '../algebra/stages.ts'
import type { StageContext, StoredStage } from './stored-stage.ts'
import {
  assemblyOf,
  resultVariables,
  statementOf,
  tableColumnsOf,
  withText,
} from './stored-stage.ts'
import { sqlName } from '../syntax/sql-text.ts'

/*
 * A stage that keeps the first rows of an order, for a LIMIT over them. What is stored are the rows of the input up to
 * some row, the edge: all of them. A change tells which of its rows stand before the edge or at it, so that what is there
 * now up to the edge is what is stored and these, added up; what comes after the edge is not known and not asked for.
 * Without ties the edge may be one of several rows alike of which not all are stored: at least as many are there.
 * Only where fewer are left than the LIMIT shows is the whole input looked through. Fewer rows than that are stored
 * when there are no others: then every change counts.
 */

/** A stage of first rows. */
interface Kept {
  readonly stored: StoredStage
  readonly core: Top
  readonly firstRows: FirstRows
  /** What rows are ordered by, as items of ORDER BY. */
  readonly order: string
}

/**
 * The statements that bring such a stage up to date from the changes of its input; `rewrite` computes it afresh, which
 * changes what was changed before.
 */
export function refreshFirstRows(
  context: StageContext,
  stored: StoredStage,
  rewrite: () => string,
): readonly string[] {
  const kept = keptOf(stored)
  const { core, firstRows } = kept
  const statement = statementOf(context, assemblyOf(stored.stage))
  const changed = itemOf(statement, core.input, 'delta')
  const own = [...placed(kept, changed, leadOf(context, core)), ...difference(stored)]
  const sql = `${withText(statement, own)}
${resultSelect(stored).replace(/\nfrom difference$/, '')},
  (select is_cut from edge) and (select count(*) from fresh) < ${String(firstRows.least)},
  -- More went than there was: what is stored is not what it should be.
  (select coalesce(bool_or(w < 0${core.ties ? '' : ' and not (is_cut and is_edge)'}), false) from placed)
from difference`
  return [
    `${executeText(statement.assembly, sql, `${resultVariables(stored)}, "too few", broken`)};`,
    `-- Too few are left, and those that come after them are not known.
if "too few" then
${indented(alsoTold(stored, `${rewrite()};`))}
end if;`,
  ]
}

function keptOf(stored: StoredStage): Kept {
  const { core, firstRows } = stored.stage
  if (core.kind !== 'top' || firstRows === undefined)
    throw new Error('the stage keeps no first rows')
  const sorts = core.order.map((item) => sortText(item))
  // With ties rows that the order leaves equal stay together; else they are in the order of their text.
  const order = (core.ties ? sorts : [...sorts, 'image']).join(', ')
  return { stored, core, firstRows, order }
}

/** The first item of an order where PostgreSQL's own operators compare by it. */
interface Lead {
  readonly column: string
  readonly sign: '<=' | '>='
}

/** Changes far after the edge are left out by it before anything is made of them. */
function leadOf({ names }: StageContext, { order }: Top): Lead | null {
  const [item] = order
  const id = item?.node === undefined ? null : columnIn(item.node)
  if (item === undefined || id === null || item.node === undefined) return null
  const type = names.typeOf(item.node)
  const compared = isPlain(type) && type.equality === 'pg_catalog.=' && !type.type.endsWith('[]')
  if (!compared || item.useOp !== undefined) return null
  return { column: sqlName(id), sign: item.sortby_dir === 'SORTBY_DESC' ? '>=' : '<=' }
}

/** Queries of WITH: `stored`, `edge`, `placed` (what is there now up to the edge, in its order) and `fresh`. */
function placed(
  { stored, core, firstRows, order }: Kept,
  changed: Item,
  lead: Lead | null,
): readonly string[] {
  const columns = columnsOf(core.input)
  const names = columns.map((id) => sqlName(id))
  const image = `${rowText(columns)} as image`
  const last = lead === null ? '' : `, (array_agg(${lead.column} order by turn desc))[1] as lead`
  const near =
    lead === null
      ? ''
      : `
  where not e.is_cut or e.lead is null or ${lead.column} is null or ${lead.column} ${lead.sign} e.lead`
  // What changed has the types beneath domains; rows are compared as one type.
  const typed = tableColumnsOf(stored).map(
    ({ name, sql, type }) => `(${sql})::${declared(type)} as ${name}`,
  )
  const most = `fetch first ${String(firstRows.most)} rows ${core.ties ? 'with ties' : 'only'}`
  return [
    `stored as materialized (
  select s.ctid as "place of row", s.* from ${stored.table} as s
)`,
    `kept as materialized (
  select s.*, rank() over (order by ${order}) as turn
  from (select ${joinList(...names, image)} from stored) as s
)`,
    `-- The last row that is stored. There may be others after it, unless there are too few.
edge as materialized (
  select coalesce(max(turn), 0) as turn, count(*) >= ${String(firstRows.least)} as is_cut${last}
  from kept
)`,
    `changed as materialized (
  select ${joinList(...names, image, `${changed.alias}.w`)}
  from ${indented(changed.sql).trimStart()}
  cross join edge as e${near}
)`,
    `net as (
  select ${joinList(...names.map((name) => `tidemark.first(${name}) as ${name}`), 'image', 'sum(w) as w', 'bool_or(is_edge) as is_edge')}
  from (
    select ${joinList(...names, 'image', '1 as w', 'turn = (select turn from edge) as is_edge')}
    from kept
    union all
    select ${joinList(...names, 'image', 'w', 'false')}
    from changed
  ) as c
  group by image
)`,
    `-- What is there now up to the edge, which stands for itself where its row went.
placed as materialized (
  select n.*
  from (
    select n.*, e.is_cut, max(n.turn) filter (where is_edge) over () as last
    from (select n.*, rank() over (order by ${order}) as turn from net as n) as n
    cross join edge as e
  ) as n
  where not is_cut or turn <= last
)`,
    `fresh as materialized (
  select ${joinList(...typed) || '1 as one'}
  from placed
  cross join generate_series(1, w)
  order by turn
  ${most}
)`,
  ]
}
