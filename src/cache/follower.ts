import type { Timing } from '../base/timing.ts'
import { passing, within } from '../base/timing.ts'
import { TidemarkError } from '../model/errors.ts'
import type { EntryKey, JournalPlace, News, Position, Verb } from '../model/invalidation.ts'
import type { WriteToken } from '../model/write-token.ts'
import { sees } from '../model/write-token.ts'
import { Heard } from './heard.ts'
import type { Journal } from './journal.ts'
import type { Ledger } from './ledger.ts'

/** How a node follows its journal. */
export interface FollowOptions {
  /** A node answers from memory for this long after a look was sent; 0: each answer looks first. */
  readonly maxLagMs: number
  /** A look that takes longer has failed. */
  readonly lookMs: number
  readonly timing: Timing
}

/** What a {@link Follower} tells. */
export interface FollowListener {
  /** An entry was invalidated by its key. */
  readonly onKey: (key: EntryKey, verb: Verb) => void
  /** A look failed. */
  readonly onFailure: (error: unknown) => void
  /** There were news, and the ledger has them. */
  readonly onNews: (news: News, since: Position) => void
}

/** After so many looks in a row that had no answer, reads no longer wait for one … */
const failuresMax = 3
/** … and so often one is sent, until it has an answer. */
const awayMs = 1_000

/** Without reads for this long, a node stops looking; the next read looks first. */
const restAfterMs = 2_000

/**
 * Follows the journal of a namespace for one node and writes what it tells into the ledger.
 *
 * Law: until {@link currentUntil}, by the monotonic clock, the ledger has everything that the journal told to a look
 * sent at most `maxLagMs` before.
 */
export class Follower {
  readonly #journal: Journal
  readonly #ledger: Ledger
  readonly #options: FollowOptions
  readonly #listener: FollowListener
  readonly #endHints: () => void
  /** What the journal has told this node, by which it judges entries of the shared store. */
  readonly heard: Heard = new Heard()
  #currentUntil = -Infinity
  #lastUse = -Infinity
  #looking: Promise<boolean> | undefined
  #next: Promise<boolean> | undefined
  #cancelTimer: () => void = () => undefined
  #place: JournalPlace | undefined
  #snapshot: string | null = null
  #failure: unknown
  /** Looks in a row that had no answer. */
  #failures = 0
  #sentAt = -Infinity
  #toldAt = -Infinity
  #closed = false

  constructor(journal: Journal, ledger: Ledger, options: FollowOptions, listener: FollowListener) {
    this.#journal = journal
    this.#ledger = ledger
    this.#options = options
    this.#listener = listener
    this.#endHints = journal.onHint(() => {
      if (!this.#resting()) void this.lookAgain()
    })
  }

  /** Until when the ledger is good enough to answer from memory. */
  get currentUntil(): number {
    return this.#currentUntil
  }

  /** How far this node has followed; undefined before the first look. */
  get place(): JournalPlace | undefined {
    return this.#place
  }

  /** When the last look that had an answer was sent: of what the journal knew then, this node has heard. */
  get toldAt(): number {
    return this.#toldAt
  }

  /** Why the last look failed; undefined if it did not. */
  get failure(): unknown {
    return this.#failure
  }

  /** Whether the journal has not answered lately: it is looked at in the background, and nobody waits for it. */
  get isAway(): boolean {
    return this.#failures >= failuresMax
  }

  /** Makes the ledger good enough for an answer to a question asked now; false when the journal does not answer. */
  async catchUp(): Promise<boolean> {
    const now = this.#options.timing.now()
    this.touch(now)
    if (now < this.#currentUntil) return true
    if (this.isAway) {
      if (this.#looking === undefined && now - this.#sentAt >= awayMs) void this.lookAgain()
      return false
    }
    if (this.#options.maxLagMs > 0) {
      // A look under way was sent less than `maxLagMs` ago, unless it is a slow one.
      const looked = await (this.#looking ?? this.lookAgain())
      if (!looked || now < this.#currentUntil) return looked
    }
    return this.lookAgain()
  }

  /**
   * Looks until the ledger has everything that a token stands for; a transaction that is still open is waited for. False: it does
   * not have it, and is no longer wanted to. Rejects when the journal does not answer.
   */
  async reach(token: WriteToken, isWanted: () => boolean): Promise<boolean> {
    this.#lastUse = this.#options.timing.now()
    for (let waitMs = 1; !this.#sees(token) && isWanted(); waitMs = Math.min(waitMs * 2, 50)) {
      if (!(await this.lookAgain())) throw this.#failure
      if (this.#snapshot === null) throw withoutDatabase()
      if (!this.#sees(token)) await passing(this.#options.timing, waitMs)
    }
    return this.#sees(token)
  }

  #sees(token: WriteToken): boolean {
    return this.#snapshot !== null && sees(this.#snapshot, token)
  }

  /** Looks, in a look that is sent after this call; callers that wait for one share it. False: it failed. */
  lookAgain(): Promise<boolean> {
    if (this.#looking === undefined) return this.#start()
    this.#next ??= this.#looking.then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  /** Stops following; nothing is current any more. */
  close(): void {
    this.#closed = true
    this.#currentUntil = -Infinity
    this.#cancelTimer()
    this.#endHints()
  }

  #start(): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false)
    const look = this.#look().finally(() => {
      this.#looking = undefined
      this.#schedule()
    })
    this.#looking = look
    return look
  }

  async #look(): Promise<boolean> {
    const sentAt = this.#options.timing.now()
    this.#sentAt = sentAt
    const since = this.#place?.position ?? null
    try {
      const news = await within(
        this.#options.timing,
        this.#journal.look(since),
        this.#options.lookMs,
      )
      this.#take(news, since)
      this.#currentUntil = Math.max(this.#currentUntil, sentAt + this.#options.maxLagMs)
      this.#toldAt = sentAt
      this.#failure = undefined
      this.#failures = 0
      return true
    } catch (error) {
      this.#listener.onFailure(error)
      this.#failure = error
      this.#failures = isAnswer(error) ? 0 : this.#failures + 1
      return false
    }
  }

  #take(news: News, since: Position | null): void {
    // Before the first look nothing is known of what was invalidated while something was being loaded.
    const sameEpoch = this.#place?.epoch === news.epoch
    if (!news.complete || !sameEpoch) this.#ledger.removeEverything()
    for (const { of, verb } of news.invalidations) {
      if (of.kind === 'tag') this.#ledger.invalidate(of.tag, verb)
      else this.#listener.onKey(of.key, verb)
    }
    this.heard.take(news, news.complete && sameEpoch)
    this.#place = { position: news.position, epoch: news.epoch }
    this.#snapshot = news.snapshot
    if (news.position === since && news.complete && sameEpoch) return
    if (this.#journal.hearsBack) void this.lookAgain()
    if (since !== null) this.#listener.onNews(news, since)
  }

  #resting(): boolean {
    return this.#options.timing.now() - this.#lastUse > restAfterMs
  }

  #schedule(): void {
    this.#cancelTimer()
    const { maxLagMs, timing } = this.#options
    const never = maxLagMs === 0 || maxLagMs === Infinity
    if (this.#closed || never || this.#resting()) return
    const waitMs = this.isAway ? awayMs : maxLagMs / 2
    this.#cancelTimer = timing.after(waitMs, () => void this.lookAgain(), true)
  }

  /** Notes that somebody reads: as long as somebody does, the node goes on looking. */
  touch(now: number): void {
    const rested = now - this.#lastUse > restAfterMs
    this.#lastUse = now
    // What was looked up while nobody read is good for a while, and nobody would look again.
    if (rested && now < this.#currentUntil) this.#schedule()
  }
}

/** Whether the journal has answered, that it cannot tell everything. */
const isAnswer = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code === 'TIDEMARK_CACHE_BLIND'

const withoutDatabase = (): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: 'A token of a write means nothing to a cache without a database.',
    mend: 'Name it: createCache({ database: process.env.DATABASE_URL }).',
  })
