import type { EntryKey, JournalPlace, News, Position, Tag } from '../model/invalidation.ts'

/** What a reader has to know of an entry to judge it by what he has heard. */
export interface LeasedEntry {
  readonly tags: readonly Tag[]
  /** Where the store stood when the lease of its load was given. */
  readonly leasedAt: JournalPlace
}

/** How an entry stands: `unknown` where it is from before what is remembered. */
export type HeardStanding = 'untouched' | 'touched' | 'unknown'

/** So many names are remembered at least, and twice as many at most. */
const remembered = 5_000

/** What was invalidated from a position on. */
class Stretch {
  readonly from: Position
  readonly #tags = new Map<Tag, Position>()
  readonly #keys = new Map<EntryKey, Position>()

  constructor(from: Position) {
    this.from = from
  }

  get size(): number {
    return this.#tags.size + this.#keys.size
  }

  note({ of, position }: News['invalidations'][number]): void {
    if (of.kind === 'tag') this.#tags.set(of.tag, position)
    else this.#keys.set(of.key, position)
  }

  touches(key: EntryKey, { tags, leasedAt: { position } }: LeasedEntry): boolean {
    if (this.size === 0) return false
    if ((this.#keys.get(key) ?? position) > position) return true
    return tags.some((tag) => (this.#tags.get(tag) ?? position) > position)
  }
}

/**
 * Where in the journal each tag and key was invalidated last, as far as one node has heard, in bounded room: by it the node judges an
 * entry of the shared store itself, as it does those of its memory.
 *
 * Law: an entry is `untouched` only if the journal has told this node of everything from a position before its lease on, and of
 * no invalidation of its key or of one of its tags, of either verb, after it.
 */
export class Heard {
  #epoch: string | undefined
  #latest: Stretch | undefined
  /** What was remembered before there was no more room. */
  #before: Stretch | undefined

  /** Takes in what a look found; `follows`: it tells everything since the one before. */
  take(news: News, follows: boolean): void {
    if (!follows || this.#latest === undefined) {
      this.#epoch = news.epoch
      this.#latest = new Stretch(news.position)
      this.#before = undefined
      return
    }
    for (const invalidation of news.invalidations) this.#latest.note(invalidation)
    if (this.#latest.size < remembered) return
    this.#before = this.#latest
    this.#latest = new Stretch(news.position)
  }

  /** How an entry stands to all that was heard. */
  standing(key: EntryKey, entry: LeasedEntry): HeardStanding {
    const [before, latest] = [this.#before, this.#latest]
    const { epoch, position } = entry.leasedAt
    const from = (before ?? latest)?.from
    if (latest === undefined || from === undefined || epoch !== this.#epoch || position < from)
      return 'unknown'
    return latest.touches(key, entry) || before?.touches(key, entry) === true
      ? 'touched'
      : 'untouched'
  }
}
