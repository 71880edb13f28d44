import type { Journal } from '../../cache/journal.ts'
import { TidemarkError } from '../../model/errors.ts'
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
  /** Why looks fail though the source answers: the journal does not see every commit, or is away by itself; null: they do not. */
  readonly blindness: () => 'blind' | 'away' | null
  /** Those who wait for hints. */
  readonly listeners: Set<() => void>
}

/**
 * A journal in a real database, each question and answer of which waits for its turn and may be lost. Notifications are made up
 * by the dice of who commits; the database's own are not heard, for when they come nobody decides.
 */
export function scheduledJournal(
  journal: Journal,
  { scheduler, dice, lost, isDown, blindness, listeners }: JournalSurroundings,
): Journal {
  const through = async <Result>(ask: () => Promise<Result>): Promise<Result> => {
    await scheduler.turn()
    breakIf(isDown() || blindness() === 'away' || dice() < lost)
    const answer = await scheduler.real(ask)
    await scheduler.turn()
    breakIf(isDown() || dice() < lost)
    return answer
  }
  return {
    ...journal,
    look: (since) =>
      through(async () => {
        const news = await journal.look(since)
        if (blindness() === 'blind') throw blind()
        return news
      }),
    append: (request) => through(() => journal.append(request)),
    snapshot: () => through(() => journal.snapshot()),
    onHint(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

const blind = (): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_BLIND',
    what: 'The journal does not see every commit.',
    mend: 'It goes on when the history says so.',
  })

function breakIf(isBroken: boolean): void {
  if (isBroken) throw new Error('the connection broke')
}
