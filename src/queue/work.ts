import type { Lane } from '../model/declaration.ts'
import type { Queryable } from '../postgres/connection.ts'

/** Lanes as the database numbers them: lower is served first. */
const laneNumbers: Readonly<Record<Lane, number>> = {
  critical: 0,
  normal: 1,
  background: 2,
}

/** One group that was worked on, and how it ended: `completed`, or the kind of failure and its words. */
export interface WorkDone {
  readonly group: string
  readonly outcome: string
}

/** Who works, on how much, and down to which lane. */
export interface WorkOrder {
  readonly worker: string
  readonly groupsMax: number
  readonly laneMax: Lane
}

/**
 * Works off requests that are due, each in transactions of its own, and returns what was done.
 *
 * Guarantees: a group is refreshed by one backend at a time; if this process dies the backend ends
 * its refresh and settles it by itself; if the backend dies the next tick gives the request back.
 * The connection is busy until the work is done.
 */
export async function work(connection: Queryable, order: WorkOrder): Promise<readonly WorkDone[]> {
  const [row] = await connection.query<{ done: readonly WorkDone[] | null }>(
    'call tidemark.work($1, $2, $3::smallint, null)',
    [order.worker, order.groupsMax, laneNumbers[order.laneMax]],
  )
  return row?.done ?? []
}

/** True while a request is in the hands of this worker, as the database sees it. */
export async function isAtWork(database: Queryable, worker: string): Promise<boolean> {
  const [row] = await database.query<{ at_work: boolean }>(
    `select exists (select from tidemark.request where worker = $1 and status = 'running') as at_work`,
    [worker],
  )
  return row?.at_work ?? false
}
