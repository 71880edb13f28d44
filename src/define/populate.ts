import { pause } from '../base/clock.ts'
import type { GroupName } from '../model/ids.ts'
import type { Database } from '../postgres/connection.ts'

/** A group of views that apply has asked to be filled, and how that went. */
export interface Populated {
  readonly group: GroupName
  /** `completed`, or how else the refresh ended, with the message of the error. */
  readonly outcome: string
}

/** Choices of {@link populate}. */
export interface PopulateOptions {
  /** Told before a wait and after every group: what is done, what is left. */
  readonly onProgress?: (done: readonly Populated[], left: readonly GroupName[]) => void
  readonly signal?: AbortSignal
}

const lookEveryMs = 200

/**
 * Works until every group that apply has asked for is filled, together with any engine that runs.
 *
 * Guarantees: ends when none is left or the rest has failed; what failed is told and stays with the
 * engine, which tries again. Does other work that is due as well, as any worker does.
 */
export async function populate(
  database: Database,
  options: PopulateOptions = {},
): Promise<readonly Populated[]> {
  const signal = options.signal ?? new AbortController().signal
  const done = new Map<GroupName, Populated>()
  let asked: readonly GroupName[] = []
  for (;;) {
    const open = await openGroups(database)
    for (const group of asked) {
      // Somebody else has served it.
      if (!open.includes(group) && !done.has(group))
        done.set(group, { group, outcome: 'completed' })
    }
    asked = [...new Set([...asked, ...open])]
    const left = open.filter((group) => !isFailure(done.get(group)))
    options.onProgress?.([...done.values()], left)
    if (left.length === 0 || signal.aborted) return [...done.values()]
    const served = await workOnce(database)
    for (const one of served) if (asked.includes(one.group)) done.set(one.group, one)
    if (served.length === 0) await pause(lookEveryMs, signal)
  }
}

const isFailure = (populated: Populated | undefined): boolean =>
  populated !== undefined && populated.outcome !== 'completed'

async function openGroups(database: Database): Promise<readonly GroupName[]> {
  const rows = await database.query<{ group: GroupName }>(
    `select distinct q.group_name as "group"
     from tidemark.request q
     join tidemark.refresh_group g on g.name = q.group_name
     where g.quarantined_at is null
       and exists (select from tidemark.view v where v.group_name = q.group_name and v.paused_at is null)
       and (q.triggered_by = 'apply' or q.reasons @> '[{"by": "apply"}]')
     order by 1`,
  )
  return rows.map(({ group }) => group)
}

async function workOnce(database: Database): Promise<readonly Populated[]> {
  const [row] = await database.query<{ done: readonly Populated[] | null }>(
    `call tidemark.work('apply', 1, 2::smallint, null)`,
  )
  return row?.done ?? []
}
