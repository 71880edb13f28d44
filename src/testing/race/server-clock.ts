import type { Dice } from '../../base/dice.ts'

/** How far a server's clock is off at most, in either direction. */
const skewMs = 2_000

/** The clock of whichever server there is now. */
export class ServerClock {
  readonly #dice: Dice
  #aheadMs = 0

  constructor(dice: Dice) {
    this.#dice = dice
    this.change()
  }

  /** Another server takes over, by a clock of its own. */
  change(): void {
    this.#aheadMs = (2 * this.#dice() - 1) * skewMs
  }

  /** What it shows when the history has come to `nowMs`. From far enough on that it never shows less than nothing. */
  at(nowMs: number): number {
    return nowMs + 10 * skewMs + this.#aheadMs
  }
}
