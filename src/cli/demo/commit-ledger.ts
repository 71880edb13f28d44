/** A commit that the database has acknowledged. */
export interface Commit {
  readonly xid: string
  /** Tables that it changed, by their bare names. */
  readonly sources: readonly string[]
  /** When it was acknowledged, in milliseconds. */
  readonly at: number
}

/** What a commit wrote, so that it can be looked for at the end. */
export interface Write extends Commit {
  readonly kind: 'order' | 'payment' | 'refund' | 'status'
  /** Key of the row, in the table of its kind; of the order for a status. */
  readonly id: number
}

const instantsMax = 100_000
const rateSpanMs = 5_000

/**
 * Remembers every write that was acknowledged, and for each table when it was committed to.
 *
 * Guarantees: no write is forgotten. Instants are, the oldest first, beyond a hundred thousand a table.
 */
export class CommitLedger {
  readonly #writes: Write[] = []
  readonly #instants = new Map<string, number[]>()

  /** Every write so far, oldest first. */
  get writes(): readonly Write[] {
    return this.#writes
  }

  /** Remembers a write of the writers. */
  record(write: Write): void {
    this.#writes.push(write)
    this.note(write.sources, write.at)
  }

  /** Remembers that these tables were committed to. Instants come in rising order. */
  note(sources: readonly string[], at: number): void {
    for (const source of sources) {
      const instants = this.#instants.get(source) ?? []
      instants.push(at)
      if (instants.length > instantsMax) instants.splice(0, instantsMax / 2)
      this.#instants.set(source, instants)
    }
  }

  /** The first commit to any of these tables after an instant; null when there was none. */
  firstAfter(instant: number, sources: readonly string[]): number | null {
    const firsts = sources.flatMap((source) => {
      const instants = this.#instants.get(source) ?? []
      return instants[countUpTo(instants, instant)] ?? []
    })
    return firsts.length === 0 ? null : Math.min(...firsts)
  }

  /** Writes a second over the last five seconds before `now`. */
  rate(now: number): number {
    let count = 0
    for (let i = this.#writes.length - 1; i >= 0; i -= 1) {
      if ((this.#writes[i]?.at ?? 0) <= now - rateSpanMs) break
      count += 1
    }
    return (count * 1000) / rateSpanMs
  }
}

/** How many of the rising values are not above the bound. */
function countUpTo(values: readonly number[], bound: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((values[middle] ?? Infinity) <= bound) low = middle + 1
    else high = middle
  }
  return low
}
