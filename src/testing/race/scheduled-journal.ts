import type { Journal } from '../../cache/journal.ts'
import type { Dice } from '../../base/dice.ts'
import type { Scheduler } from './scheduler.ts'

/** What may go wrong between a node and the database of its journal. */
export interface JournalSurroundings {
  readonly scheduler: Scheduler
  readonly dice: Dice
  /** The share of questions, and of answers, that are lost. */
  readonly lost: number
  /** Whether no connection to the database can be had. */
  readonly isDown: () => boolean
  /** Those who wait for hints. */
  readonly listeners: Set<() => void>
}

/**
 * A journal in a real database, each question and answer of which waits for its turn and may be lost. Notifications are made up
 * by the dice of who commits; the database's own are not heard, for when they come nobody decides.
 */
export function scheduledJournal(
  journal: Journal,
  { scheduler, dice, lost, isDown, listeners }: JournalSurroundings,
): Journal {
  const through = async <Result>(ask: () => Promise<Result>): Promise<Result> => {
    await scheduler.turn()
    breakIf(isDown() || dice() < lost)
    const answer = await scheduler.real(ask)
    await scheduler.turn()
    breakIf(isDown() || dice() < lost)
    return answer
  }
  return {
    ...journal,
    look: (since) => through(() => journal.look(since)),
    append: (request) => through(() => journal.append(request)),
    snapshot: () => through(() => journal.snapshot()),
    onHint(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

function breakIf(isBroken: boolean): void {
  if (isBroken) throw new Error('the connection broke')
}
