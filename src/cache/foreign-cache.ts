import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import { pause } from '../base/clock.ts'
import type { Timing } from '../base/timing.ts'
import { within } from '../base/timing.ts'
import type { JournalPlace, News, Position } from '../model/invalidation.ts'
import type { KeyTemplate } from '../model/key-template.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import type { CacheListener } from './cache-event.ts'
import type { Journal } from './journal.ts'
import type { RedisLink, RedisReply } from './redis-link.ts'
import { listOf } from './redis-link.ts'

/** What a {@link ForeignCache} is made of. */
export interface ForeignCacheParts {
  readonly namespace: string
  /** Names its cursor: another name begins anew. */
  readonly name: string
  readonly templates: readonly KeyTemplate[]
  readonly journal: Journal
  readonly database: Database
  readonly link: RedisLink
  /** How often it looks when nobody hints at news. */
  readonly everyMs: number
  readonly timing: Timing
  readonly random: () => number
  readonly listener: CacheListener
}

const retry: Backoff = { baseMs: 100, maxMs: 5_000 }
/** A call of Redis that takes longer has failed. */
const callMs = 2_000
/** Keys that one call deletes. */
const keysMax = 500

/**
 * Deletes keys of another program's cache after the commits that concern them.
 *
 * Law: a key is deleted after each change of its row became visible, at least once: the cursor, which the database keeps, moves only
 * after Redis has answered. Without a cursor, or when what happened since cannot be told, all keys of the templates are deleted.
 * Of several nodes one is at work.
 */
export class ForeignCache {
  readonly #parts: ForeignCacheParts
  readonly #ended = new AbortController()
  readonly #running: Promise<void>
  readonly #endHints: () => void
  #wake: () => void = () => undefined
  #turn: Promise<unknown> = Promise.resolve()
  #known: JournalPlace | undefined

  constructor(parts: ForeignCacheParts) {
    this.#parts = parts
    this.#endHints = parts.journal.onHint(() => {
      this.#wake()
    })
    this.#running = this.#run()
  }

  /** Deletes what everything that is visible now concerns. Rejects where that cannot be done. */
  async settle(): Promise<void> {
    while (!(await this.#step())) await pause(retry.baseMs, this.#ended.signal)
  }

  /** Ends it; what was not deleted yet will be when it begins again. */
  async close(): Promise<void> {
    this.#ended.abort()
    this.#endHints()
    this.#wake()
    await this.#running
    const { journal, database, link } = this.#parts
    await Promise.all([journal.close(), database.close(), link.close()])
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#step()
        failures = 0
      } catch (error) {
        failures += 1
        this.#parts.listener({ event: 'unreachable', what: 'foreign', error })
      }
      const { everyMs, random } = this.#parts
      await this.#rest(failures === 0 ? everyMs : backoffMs(retry, failures, random))
    }
  }

  /** Waits, or until somebody hints at news. */
  async #rest(ms: number): Promise<void> {
    const woken = new AbortController()
    this.#wake = () => {
      woken.abort()
    }
    if (!this.#ended.signal.aborted) await pause(ms, woken.signal)
  }

  /** One step at a time: what an earlier one deleted, a later one that began beside it would delete once more. */
  #step(): Promise<boolean> {
    const step = this.#turn.then(() => this.#stepNow())
    this.#turn = step.catch(() => undefined)
    return step
  }

  /** False: another node is at work. */
  async #stepNow(): Promise<boolean> {
    const { journal, database } = this.#parts
    const known = this.#known ?? (await this.#begin())
    if (known === undefined) return false
    const news = await journal.look(known?.position ?? null)
    if (news.epoch === known?.epoch && news.position === known.position) return true
    const isDone = await database.transaction(async (transaction) => {
      const cursor = await this.#take(transaction)
      if (cursor === undefined) return false
      await this.#deleteSince(cursor, known, news)
      await this.#move(transaction, news)
      return true
    })
    if (isDone) this.#known = { epoch: news.epoch, position: news.position }
    return isDone
  }

  /** Where to go on from; see {@link #take}. The first look at a journal tells what it tells of. */
  async #begin(): Promise<JournalPlace | null | undefined> {
    await this.#parts.journal.look(null)
    return this.#take(this.#parts.database)
  }

  /** The cursor, locked until the transaction ends; null where it is nowhere yet; undefined while another node has it. */
  async #take(transaction: Queryable): Promise<JournalPlace | null | undefined> {
    const { namespace, name } = this.#parts
    const [row] = await transaction.query<{ epoch: string | null; position: Position | null }>(
      'select epoch, position from tidemark.follow_foreign($1, $2)',
      [namespace, name],
    )
    if (row === undefined) return undefined
    const { epoch, position } = row
    return epoch === null || position === null ? null : { epoch, position }
  }

  async #move(transaction: Queryable, { epoch, position }: News): Promise<void> {
    const { namespace, name } = this.#parts
    await transaction.query('select from tidemark.follow_foreign($1, $2, $3, $4)', [
      namespace,
      name,
      epoch,
      position,
    ])
  }

  /** `news` are those since `known`; another node may have moved the cursor beyond that. */
  async #deleteSince(
    cursor: JournalPlace | null,
    known: JournalPlace | null,
    news: News,
  ): Promise<void> {
    const isSame = cursor?.epoch === news.epoch && known?.epoch === news.epoch
    const isTold = isSame && news.complete && known.position <= cursor.position
    const tags = news.invalidations.flatMap(({ of, position }) =>
      of.kind === 'tag' && isTold && position > cursor.position ? [of.tag] : [],
    )
    for (const { keysOf, glob } of this.#parts.templates) {
      const found = tags.map(keysOf)
      const keys = found.flatMap((some) => (some === 'all' ? [] : (some ?? [])))
      if (!isTold || found.includes('all')) await this.#deleteAll(glob)
      else await this.#delete([...new Set(keys)])
    }
  }

  async #deleteAll(glob: string): Promise<void> {
    let cursor = '0'
    do {
      const reply = await this.#send(['scan', cursor, 'match', glob, 'count', '1000'])
      const [next, keys] = listOf(reply)
      await this.#delete(listOf(keys).filter((key) => Buffer.isBuffer(key)))
      cursor = String(next)
    } while (cursor !== '0')
    this.#tell([], glob)
  }

  async #delete(keys: readonly (string | Uint8Array)[]): Promise<void> {
    for (let at = 0; at < keys.length; at += keysMax) {
      await this.#send(['del', ...keys.slice(at, at + keysMax)])
    }
    this.#tell(keys.map(String), null)
  }

  #tell(keys: readonly string[], glob: string | null): void {
    if (keys.length === 0 && glob === null) return
    this.#parts.listener({ event: 'foreign_deleted', keys, glob })
  }

  #send(words: readonly (string | Uint8Array)[]): Promise<RedisReply> {
    return within(this.#parts.timing, this.#parts.link.send(words), callMs)
  }
}
