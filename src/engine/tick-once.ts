import type { Database } from '../postgres/connection.ts'
import { clean, stopOverdue, tick } from '../queue/tick.ts'
import type { TickOutcome } from '../queue/tick.ts'
import { work } from '../queue/work.ts'
import type { WorkDone } from '../queue/work.ts'
import { extendSlots } from './extend-slots.ts'

/** What one tick by hand decided and did. */
export interface TickedOnce {
  readonly outcome: TickOutcome
  readonly done: readonly WorkDone[]
  readonly slotsAdded: number
}

/** One tick works off this many groups at most; the next one goes on. */
const groupsMax = 1_000

/**
 * Does what an engine does, once: computes slots, decides what is due, works it off, cleans up. Safe
 * beside engines and other tickers. A database that was copied or set back is told in `outcome.problem`
 * and not worked on.
 */
export async function tickOnce(
  database: Database,
  options: { readonly worker: string; readonly work: boolean; readonly signal: AbortSignal },
): Promise<TickedOnce> {
  const slotsAdded = await extendSlots(database, new Date())
  await stopOverdue(database)
  const outcome = await tick(database)
  const done: WorkDone[] = []
  const order = { worker: options.worker, groupsMax: 1, laneMax: 'background' } as const
  while (options.work && outcome.problem === null && done.length < groupsMax) {
    if (options.signal.aborted) break
    const worked = await work(database, order)
    if (worked.length === 0) break
    done.push(...worked)
  }
  await clean(database)
  return { outcome, done, slotsAdded }
}
