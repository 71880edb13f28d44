import type { Tag, Verb } from '../model/invalidation.ts'

/**
 * A count of the invalidations that this process has heard of. Not a time: it moves only when something is
 * invalidated, and two moments of one process compare as the invalidations did.
 */
export type Moment = number

/**
 * What a process knows of one tag. Entries and loads hold it directly, so that a read compares numbers and looks
 * nothing up.
 */
export interface TagRecord {
  readonly tag: Tag
  removedAt: Moment
  expiredAt: Moment
  /** Entries and loads that hold it. */
  uses: number
}

/** How an entry stands to the invalidations of its tags. */
export type Standing = 'valid' | 'expired' | 'removed'

/**
 * Remembers when each tag was last invalidated, as far as entries or loads of this process need it.
 *
 * Law: what was marked with tags *after* it had noted the moment is `valid` only if none of the tags has been
 * invalidated since that moment. A tag that nobody holds is forgotten; of all the forgotten ones the latest
 * invalidation is kept, and a tag that is met anew is taken to have had it. So forgetting may cost a load, but
 * never lets an invalidated entry pass.
 */
export class Ledger {
  #moment: Moment = 0
  #everythingAt: Moment = 0
  #forgottenAt: Moment = 0
  #forgottenExpiredAt: Moment = 0
  readonly #records = new Map<Tag, TagRecord>()
  /** Entries of a kind have one list of tags often, and then hold one list of records. */
  readonly #lists = new WeakMap<readonly Tag[], readonly TagRecord[]>()

  /** The moment to note before a load begins. */
  get moment(): Moment {
    return this.#moment
  }

  /** The records of tags, held until {@link release}. */
  hold(tags: readonly Tag[]): readonly TagRecord[] {
    const known = this.#lists.get(tags)
    if (known?.every(({ uses }) => uses > 0) === true) {
      for (const record of known) record.uses += 1
      return known
    }
    const records = tags.map((tag) => this.#hold(tag))
    this.#lists.set(tags, records)
    return records
  }

  #hold(tag: Tag): TagRecord {
    let record = this.#records.get(tag)
    if (record === undefined) {
      record = {
        tag,
        removedAt: this.#forgottenAt,
        expiredAt: this.#forgottenExpiredAt,
        uses: 0,
      }
      this.#records.set(tag, record)
    }
    record.uses += 1
    return record
  }

  /** Gives records back, once for each time they were held. */
  release(records: readonly TagRecord[]): void {
    for (const record of records) {
      record.uses -= 1
      if (record.uses > 0) continue
      this.#records.delete(record.tag)
      this.#forgottenAt = Math.max(this.#forgottenAt, record.removedAt)
      this.#forgottenExpiredAt = Math.max(this.#forgottenExpiredAt, record.expiredAt)
    }
  }

  /** Notes that a tag was invalidated now. */
  invalidate(tag: Tag, verb: Verb): void {
    this.#moment += 1
    const record = this.#records.get(tag)
    if (record === undefined) {
      if (verb === 'remove') this.#forgottenAt = this.#moment
      else this.#forgottenExpiredAt = this.#moment
    } else if (verb === 'remove') record.removedAt = this.#moment
    else record.expiredAt = this.#moment
  }

  /** Notes that everything was removed now: what was invalidated in between cannot be told. */
  removeEverything(): void {
    this.#moment += 1
    this.#everythingAt = this.#moment
  }

  /** How what was marked with these tags and noted `at` stands now. */
  standing(at: Moment, records: readonly TagRecord[]): Standing {
    if (this.#everythingAt > at) return 'removed'
    let expired = false
    for (const record of records) {
      if (record.removedAt > at) return 'removed'
      if (record.expiredAt > at) expired = true
    }
    return expired ? 'expired' : 'valid'
  }
}
