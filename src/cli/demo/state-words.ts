import type { State } from '../../model/freshness.ts'

/** Each state as a sign and a word, so that no colour is needed to tell them apart. */
export const stateWords: Readonly<Record<State, { readonly sign: string; readonly word: string }>> =
  {
    fresh: { sign: '●', word: 'fresh' },
    stale: { sign: '◐', word: 'stale' },
    very_stale: { sign: '○', word: 'very stale' },
    unknown: { sign: '?', word: 'unknown' },
    never_populated: { sign: '…', word: 'not filled' },
  }
