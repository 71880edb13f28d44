import type { IoredisClient } from '../../cache/redis-link.ts'
import type { Dice } from '../../base/dice.ts'
import type { RaceCommand } from './race-commands.ts'
import type { Scheduler } from './scheduler.ts'
import type { ServerClock } from './server-clock.ts'

/** What may go wrong between a node and its Redis. Shares of all messages, 0 to 1. */
export interface RedisFaults {
  /** The connection breaks before a command arrives. */
  readonly lostCommands: number
  /** The connection breaks after the command was done, before its answer arrives. */
  readonly lostAnswers: number
  /** How often a command of one node makes the others hear that there may be news. */
  readonly hints: number
}

/** What the nodes of a history share. */
export interface RedisSurroundings {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly faults: RedisFaults
  /** Sends a command to the real Redis. */
  readonly command: RaceCommand
  readonly clock: ServerClock
  /** Whether the connection is broken altogether. */
  readonly isDown: () => boolean
  /** Those who listen to a channel, in the order in which they began to. */
  readonly listeners: Set<() => void>
}

/**
 * A client of a real Redis, each message of which waits for its turn, on the way there and on the way back, and may be lost
 * on either. What is heard through channels is made up by the dice: a hint may come at any time, and may not come.
 */
export function scheduledRedis(surroundings: RedisSurroundings): IoredisClient {
  const { scheduler, dice, faults, command, clock, isDown, listeners } = surroundings
  const heard = new Set<() => void>()
  const broken = (share: number): void => {
    if (isDown() || dice() < share) throw new Error('the connection broke')
  }
  const client: IoredisClient = {
    async callBuffer(name, words) {
      await scheduler.turn()
      broken(faults.lostCommands)
      const answer = await scheduler.real(() => command([name, ...words], clock.at(scheduler.now)))
      if (dice() < faults.hints) for (const listener of listeners) listener()
      await scheduler.turn()
      broken(faults.lostAnswers)
      return answer
    },
    duplicate: () => client,
    disconnect() {
      for (const listener of heard) listeners.delete(listener)
    },
    on(event, listener) {
      if (event !== 'message') return
      heard.add(listener)
      listeners.add(listener)
    },
    subscribe: () => Promise.resolve(),
  }
  return client
}
