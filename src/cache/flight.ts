import type { EntryKey } from '../model/invalidation.ts'
import type { AnswerTier } from '../model/answer.ts'
import type { NotStored } from './cache-event.ts'
import type { Ledger, Moment, TagRecord } from './ledger.ts'
import type { MemoryEntry } from './memory-tier.ts'

/** What a flight brings: an entry, whether or not it could be stored, and where it comes from. */
export interface Arrival {
  readonly entry: MemoryEntry
  readonly tier: AnswerTier
  /** Whether nothing had invalidated the entry, by any of its tags, when it came. */
  readonly stood: boolean
  /** Why memory has not got it; null: it has. */
  readonly notStored: NotStored | null
}

/** Why a flight may not store what it brings. */
export type Refusal = Extract<NotStored, 'invalidated' | 'overtaken'>

/** A load under way, which readers of the same key share, its failure too. */
export interface Flight {
  readonly key: EntryKey
  /** The moment noted before anything was read. */
  readonly at: Moment
  readonly startedAt: number
  /** Whether it goes to the source without a look at the shared tier. */
  readonly direct: boolean
  /** The tags known before the load, held until it ends. */
  readonly tags: readonly TagRecord[]
  /** Set when the key itself was invalidated, or another flight of it has landed: nobody joins, and nothing is stored. */
  killed: Refusal | null
  /**
   * The landing of an earlier flight of the key, which had been invalidated: what it gave its readers may have been read later than
   * what this one brings. Null: there was none.
   */
  overtakenBy: Landing | null
  /** When another node's load failed that this one waited for, and fails with: who asked later is not concerned. Null: none did. */
  failedAt: number | null
  /** The one of the same key that began before it and is under way still. */
  before: Flight | undefined
  /** What a glance at the shared tier has brought, which comes soon; null: it has to be got otherwise. */
  early: Promise<Arrival | null>
  /** What it brings: after a glance that has brought nothing it is sought when it is first asked for. */
  arrival: () => Promise<Arrival>
}

/** The number of a landing: of two in a process the later one has the greater. */
export type Landing = number

/** A flight before it has anything to bring. */
export type Course = Omit<Flight, 'early' | 'arrival'>

/** Which flights a reader may join. */
export interface Joinable {
  /** Only those that began then or later. */
  readonly since: number
  /** Only those that go to the source. */
  readonly direct: boolean
}

/** The flights of a process, at most one a key that can still be joined. */
export class Flights {
  readonly #ledger: Ledger
  /** By key, the one that began last. */
  readonly #last = new Map<EntryKey, Flight>()
  #landing: Landing = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** The last landing. */
  get landing(): Landing {
    return this.#landing
  }

  /** The flight of a key, if it is of the kind asked for and nothing has invalidated what it will bring. */
  joinable(key: EntryKey, { since, direct }: Joinable): Flight | undefined {
    const flight = this.#last.get(key)
    if (flight === undefined || flight.startedAt < since || (direct && !flight.direct))
      return undefined
    return this.refusal(flight, flight.tags) === null ? flight : undefined
  }

  /** Begins a flight, which takes the place of one that can no longer be joined. `run` ends it, whatever becomes of it. */
  begin(
    { key, tags, startedAt, direct }: Pick<Flight, 'key' | 'tags' | 'startedAt' | 'direct'>,
    run: (course: Course) => Pick<Flight, 'early' | 'arrival'>,
  ): Flight {
    const at = this.#ledger.moment
    const flight: Flight = {
      key,
      at,
      startedAt,
      direct,
      tags,
      killed: null,
      overtakenBy: null,
      failedAt: null,
      before: this.#last.get(key),
      early: notYet,
      arrival: () => notYet,
    }
    this.#last.set(key, flight)
    const { early, arrival } = run(flight)
    flight.early = early
    flight.arrival = arrival
    return flight
  }

  /** Notes that a flight has ended. */
  end(course: Course): void {
    const { key, before } = course
    this.#ledger.release(course.tags)
    for (let other = this.#last.get(key); other !== undefined; other = other.before) {
      if (other.before === course) other.before = before
    }
    if (this.#last.get(key) !== course) return
    if (before === undefined) this.#last.delete(key)
    else this.#last.set(key, before)
  }

  /**
   * Notes that a flight gives its readers what it has brought. What others of its key bring may have been read before, so it is for
   * those who wait for it already: whoever asks from here on is not given less than somebody was. One that began after an
   * invalidation of this one is only told that it was overtaken: else no entry that is read and invalidated all the time
   * would ever be stored.
   */
  landed(course: Course, stood: boolean): void {
    this.#landing += 1
    let isLater = true
    for (let other = this.#last.get(course.key); other !== undefined; other = other.before) {
      if (other === course) isLater = false
      else if (stood || !isLater) other.killed = 'overtaken'
      else other.overtakenBy = this.#landing
    }
  }

  /** Kills the flights of a key. */
  kill(key: EntryKey): void {
    for (let flight = this.#last.get(key); flight !== undefined; flight = flight.before)
      flight.killed = 'invalidated'
  }

  /** Why what a flight brings, which has these tags, may not be stored; null where nothing speaks against it. */
  refusal({ killed, at }: Course, tags: readonly TagRecord[]): Refusal | null {
    return this.#ledger.standing(at, tags) === 'valid' ? killed : 'invalidated'
  }
}

const notYet = new Promise<never>(() => undefined)
