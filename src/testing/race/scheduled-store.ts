import type { SharedStore } from '../../cache/shared-store.ts'
import type { Dice } from '../../base/dice.ts'
import type { RedisFaults } from './scheduled-redis.ts'
import type { TableStore } from './table-store.ts'
import type { Scheduler } from './scheduler.ts'

/** What may go wrong between a node and the table that nodes share. */
export interface TableSurroundings {
  readonly scheduler: Scheduler
  readonly dice: Dice
  /** Shares of questions that do not arrive, and of answers. */
  readonly lost: Pick<RedisFaults, 'lostCommands' | 'lostAnswers'>
  /** Whether no connection to the database can be had. */
  readonly isDown: () => boolean
  readonly table: TableStore
}

/** A shared store in a table of a real database, each question and answer of which waits for its turn and may be lost. */
export function scheduledStore(
  store: SharedStore,
  { scheduler, dice, lost, isDown, table }: TableSurroundings,
): SharedStore {
  const through = async <Result>(ask: () => Promise<Result>): Promise<Result> => {
    await scheduler.turn()
    breakIf(isDown() || dice() < lost.lostCommands)
    const answer = await scheduler.real(async () => {
      await table.show(scheduler.now)
      return ask()
    })
    await scheduler.turn()
    breakIf(isDown() || dice() < lost.lostAnswers)
    return answer
  }
  return {
    ...store,
    read: (request) => through(() => store.read(request)),
    fill: (fill) => through(() => store.fill(fill)),
    fail: (failing) => through(() => store.fail(failing)),
    release: (key, holder) => through(() => store.release(key, holder)),
  }
}

function breakIf(isBroken: boolean): void {
  if (isBroken) throw new Error('the connection broke')
}
