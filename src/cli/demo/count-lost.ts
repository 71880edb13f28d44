import type { Queryable } from '../../engine/demo-support.ts'
import type { Write } from './commit-ledger.ts'

/** How each kind of write is looked for: rows that should be there and are not. */
const missing: Readonly<Record<Write['kind'], string>> = {
  order: `select id from wanted where not exists (
      select from orders join order_lines using (order_id) where order_id = id)`,
  payment: `select id from wanted where not exists (
      select from payments join orders using (order_id)
      where payment_id = id and status in ('paid', 'shipped', 'delivered'))`,
  refund: 'select id from wanted where not exists (select from refunds where refund_id = id)',
  status: `select id from wanted where not exists (
      select from orders where order_id = id and status in ('shipped', 'delivered'))`,
}

/**
 * Counts acknowledged writes that are not in the tables or, `inViews`, that a view of these tables
 * does not reflect; ask for that when the writers have ended and the views have caught up.
 */
export async function countLost(
  database: Queryable,
  writes: readonly Write[],
  { inViews }: { readonly inViews: boolean },
): Promise<number> {
  const lost = new Set<string>()
  for (const kind of ['order', 'payment', 'refund', 'status'] as const) {
    const ofKind = writes.filter((write) => write.kind === kind)
    const rows = await database.query<{ id: number }>(
      `with wanted as (select unnest($1::bigint[]) as id) ${missing[kind]}`,
      [ofKind.map(({ id }) => id)],
    )
    const ids = new Set(rows.map(({ id }) => id))
    for (const write of ofKind) if (ids.has(write.id)) lost.add(write.xid)
  }
  if (inViews) for (const xid of await unreflected(database, writes)) lost.add(xid)
  return lost.size
}

async function unreflected(
  database: Queryable,
  writes: readonly Write[],
): Promise<readonly string[]> {
  const pairs = writes.flatMap(({ xid, sources }) => sources.map((source) => ({ xid, source })))
  const rows = await database.query<{ xid: string }>(
    `select distinct write.xid::text as xid
       from unnest($1::text[]::xid8[], $2::text[]) as write (xid, source)
       join tidemark.view_source using (source)
       left join tidemark.tidemark using (view, source)
      where snapshot is null or not pg_visible_in_snapshot(write.xid, snapshot)`,
    [pairs.map(({ xid }) => xid), pairs.map(({ source }) => `public.${source}`)],
  )
  return rows.map(({ xid }) => xid)
}
