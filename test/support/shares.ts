import { inject } from 'vitest'

/** How many random cases there are: of so many on the first server, two fifths on the second, where the same program runs. */
export const casesOf = (count: number): number =>
  inject('serverName') === '15-debian' ? Math.ceil(count * 0.4) : count
