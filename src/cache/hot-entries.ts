import type { EntryKey } from '../model/invalidation.ts'

/**
 * Which entries are read most, counted in bounded room.
 *
 * When there is no room, all counts are halved and what has none left goes: entries that were in demand once make room for
 * those that are now. A halving takes away at least half of all reads that were counted, so its cost is that of counting.
 */
export class HotEntries<Of> {
  readonly #counts = new Map<EntryKey, { readonly of: Of; reads: number }>()
  readonly #entriesMax: number

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  /** Counts a read. */
  note(key: EntryKey, of: Of): void {
    const known = this.#counts.get(key)
    if (known !== undefined) {
      known.reads += 1
      return
    }
    while (this.#counts.size >= this.#entriesMax) this.#halve()
    this.#counts.set(key, { of, reads: 1 })
  }

  /** The entries that are read most, the first of them first. */
  top(count: number): (readonly [EntryKey, Of])[] {
    return [...this.#counts]
      .sort(([, left], [, right]) => right.reads - left.reads)
      .slice(0, count)
      .map(([key, { of }]) => [key, of])
  }

  #halve(): void {
    for (const [key, count] of this.#counts) {
      count.reads = Math.floor(count.reads / 2)
      if (count.reads === 0) this.#counts.delete(key)
    }
  }
}
