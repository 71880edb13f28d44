/** A seeded generator of numbers in [0, 1): mulberry32. The same seed gives the same numbers. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** True where the long numbers of the issues are asked for: `npm run test:long`. */
export const long: boolean = process.env['TIDEMARK_LONG'] === '1'

/** The seed of a run: `TIDEMARK_SEED`, else a fixed one. */
export const seed: number = Number(process.env['TIDEMARK_SEED'] ?? '20261122')
