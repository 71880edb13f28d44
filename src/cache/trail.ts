import type { EntryKey, Position, Tag, Verb, Xids } from '../model/invalidation.ts'
import type { Moment } from './ledger.ts'

/** An invalidation as this process heard of it. */
export interface TracedInvalidation {
  /** Of the ledger, after it had it. */
  readonly moment: Moment
  readonly heardAt: Date
  readonly by: 'here' | 'journal'
  readonly verb: Verb
  /** `everything`: what was invalidated could not be told. */
  readonly of:
    | { readonly kind: 'tag'; readonly tag: Tag }
    | { readonly kind: 'key'; readonly key: EntryKey }
    | { readonly kind: 'everything' }
  /** Null: the journal has not taken it yet, or tells none. */
  readonly position: Position | null
  /** The transactions whose changes it tells; null for one that code asked for where no database stands behind. */
  readonly xids: Xids | null
}

/** What an entry is invalidated by. */
export interface InvalidatedBy {
  readonly key: EntryKey
  readonly tags: ReadonlySet<Tag>
}

/** So many are remembered at least, and twice as many at most. */
const remembered = 5_000

/** The latest invalidations that a process heard of, in bounded room: for questions why an entry is what it is. */
export class Trail {
  #traced: TracedInvalidation[] = []

  /** Remembers. */
  note(traced: TracedInvalidation): void {
    this.#traced.push(traced)
    if (this.#traced.length >= 2 * remembered) this.#traced = this.#traced.slice(-remembered)
  }

  /** The first that concerned the entry after a moment: what made it invalid. */
  firstAfter(moment: Moment, entry: InvalidatedBy): TracedInvalidation | undefined {
    return this.#traced.find((traced) => traced.moment > moment && concerns(traced, entry))
  }

  /** The last that concerned the entry. */
  last(entry: InvalidatedBy): TracedInvalidation | undefined {
    return this.#traced.findLast((traced) => concerns(traced, entry))
  }

  /** The position at which the journal has it, and the transactions. */
  told(traced: TracedInvalidation): Pick<TracedInvalidation, 'position' | 'xids'> {
    const { moment, of } = traced
    const told = this.#traced.find(
      (other) => other.moment >= moment && other.position !== null && isSame(other.of, of),
    )
    return told ?? traced
  }
}

function concerns({ of }: TracedInvalidation, { key, tags }: InvalidatedBy): boolean {
  switch (of.kind) {
    case 'everything':
      return true
    case 'tag':
      return tags.has(of.tag)
    case 'key':
      return of.key === key
  }
}

const isSame = (left: TracedInvalidation['of'], right: TracedInvalidation['of']): boolean =>
  nameOf(left) === nameOf(right)

const nameOf = (of: TracedInvalidation['of']): string =>
  of.kind === 'everything' ? of.kind : `${of.kind} ${of.kind === 'tag' ? of.tag : of.key}`
