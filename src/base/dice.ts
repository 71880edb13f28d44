/** Numbers in [0, 1), the same for the same seed. */
export type Dice = () => number

/** Dice of a seed. Source: mulberry32, in the public domain. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** One of several, by the dice. */
export function pick<Choice>(dice: Dice, choices: readonly Choice[]): Choice {
  const choice = choices[Math.floor(dice() * choices.length)]
  if (choice === undefined) throw new Error('law: there is something to choose from')
  return choice
}
