export { diceOf as seeded } from '../../src/base/dice.ts'

/** True where the long numbers of the issues are asked for: `npm run test:long`. */
export const long: boolean = process.env['TIDEMARK_LONG'] === '1'

/** The seed of a run: `TIDEMARK_SEED`, else a fixed one. */
export const seed: number = Number(process.env['TIDEMARK_SEED'] ?? '20261122')
