import type { News, Position } from '../model/invalidation.ts'
import type { Journal } from './journal.ts'

/**
 * The journal of a cache that is one process alone: what it invalidates is in its ledger at once, and there is nobody
 * else to hear of it.
 */
export function localJournal(): Journal {
  let position = 0 as Position
  const news = (): News => ({
    position,
    epoch: 'local',
    complete: true,
    invalidations: [],
    snapshot: null,
  })
  return {
    look: () => Promise.resolve(news()),
    hearsBack: false,
    append() {
      position = (position + 1) as Position
      return Promise.resolve(position)
    },
    settled: () => Promise.resolve(),
    snapshot: () => Promise.resolve(null),
    onHint: () => () => undefined,
    close: () => Promise.resolve(),
  }
}
