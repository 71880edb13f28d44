import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import { pause } from '../base/clock.ts'
import type { Timing } from '../base/timing.ts'
import { LateError, within } from '../base/timing.ts'
import type { JournalPlace, News, Position } from '../model/invalidation.ts'
import type { KeyTemplate } from '../model/key-template.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { undeleted } from './cache-errors.ts'
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
  /** A node that stands still for so long, while others wait for it, has lost its turn. */
  readonly standsMsMax: number
  readonly timing: Timing
  readonly random: () => number
  readonly listener: CacheListener
}

const retry: Backoff = { baseMs: 100, maxMs: 5_000 }
/** A call of Redis that takes longer has failed. */
const callMs = 2_000
/** Keys that one call deletes. */
const keysMax = 500
/** Who has waited so long for another node says so, and again after as long. */
const waitsMs = 5_000

/**
 * Deletes keys of another program's cache after the commits that concern them.
 *
 * Law: a key is deleted after each change of its row became visible, at least once: the cursor, which the database keeps, moves only
 * after Redis has answered. Without a cursor, or when what happened since cannot be told, all keys of the templates are deleted.
 * Of several nodes one is at work; one that stands still is not waited for.
 */
export class ForeignCache {
  readonly #parts: ForeignCacheParts
  readonly #ended = new AbortController()
  readonly #running: Promise<void>
  readonly #endHints: () => void
  #wake: () => void = () => undefined
  #turn: Promise<unknown> = Promise.resolve()
  #known: JournalPlace | undefined
  /** Undefined: no other node is at work. */
  #waits: Waits | undefined

  constructor(parts: ForeignCacheParts) {
    this.#parts = parts
    this.#endHints = parts.journal.onHint(() => {
      this.#wake()
    })
    this.#running = this.#run()
  }

  /**
   * Deletes what everything that is visible now concerns. Rejects where that cannot be done.
   *
   * @throws TidemarkError TIDEMARK_CACHE_TIMEOUT when it was not done in time, as while another node is at work.
   */
  async settle(withinMs: number): Promise<void> {
    let isWanted = true
    const deleted = async (): Promise<void> => {
      while (isWanted && !(await this.#step())) await pause(retry.baseMs, this.#ended.signal)
    }
    try {
      await within(this.#parts.timing, deleted(), withinMs)
    } catch (error) {
      throw error instanceof LateError ? undeleted(this.#parts.name, withinMs) : error
    } finally {
      isWanted = false
    }
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
    const step = this.#turn.then(async () => {
      const waits = this.#waits
      this.#waits = undefined
      const isDone = await this.#stepNow()
      if (!isDone) this.#wait(waits)
      return isDone
    })
    this.#turn = step.catch(() => undefined)
    return step
  }

  #wait(before: Waits | undefined): void {
    const { timing, listener, name } = this.#parts
    const now = timing.now()
    const { since, toldAt } = before ?? { since: now, toldAt: now }
    const isDue = now - toldAt >= waitsMs
    this.#waits = { since, toldAt: isDue ? now : toldAt }
    if (isDue) listener({ event: 'foreign_waits', of: name, ms: now - since })
  }

  /** False: another node is at work. */
  async #stepNow(): Promise<boolean> {
    const { journal, database } = this.#parts
    const known = this.#known ?? (await this.#begin())
    if (known === undefined) return false
    const news = await journal.look(known?.position ?? null)
    if (news.epoch === known?.epoch && news.position === known.position) return true
    const isDone = await database.transaction(
      async (transaction) => {
        const cursor = await this.#take(transaction)
        if (cursor === undefined) return false
        await this.#deleteSince(cursor, known, news, this.#sender(transaction))
        await this.#move(transaction, news)
        return true
      },
      { idleMsMax: this.#parts.standsMsMax },
    )
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
    send: Send,
  ): Promise<void> {
    const isSame = cursor?.epoch === news.epoch && known?.epoch === news.epoch
    const isTold = isSame && news.complete && known.position <= cursor.position
    const tags = news.invalidations.flatMap(({ of, position }) =>
      of.kind === 'tag' && isTold && position > cursor.position ? [of.tag] : [],
    )
    for (const { keysOf, glob } of this.#parts.templates) {
      const found = tags.map(keysOf)
      const keys = found.flatMap((some) => (some === 'all' ? [] : (some ?? [])))
      if (!isTold || found.includes('all')) await this.#deleteAll(glob, send)
      else await this.#delete([...new Set(keys)], send)
    }
  }

  async #deleteAll(glob: string, send: Send): Promise<void> {
    let cursor = '0'
    do {
      const reply = await send(['scan', cursor, 'match', glob, 'count', '1000'])
      const [next, keys] = listOf(reply)
      await this.#delete(
        listOf(keys).filter((key) => Buffer.isBuffer(key)),
        send,
      )
      cursor = String(next)
    } while (cursor !== '0')
    this.#tell([], glob)
  }

  async #delete(keys: readonly (string | Uint8Array)[], send: Send): Promise<void> {
    for (let at = 0; at < keys.length; at += keysMax) {
      await send(['del', ...keys.slice(at, at + keysMax)])
    }
    this.#tell(keys.map(String), null)
  }

  #tell(keys: readonly string[], glob: string | null): void {
    if (keys.length === 0 && glob === null) return
    this.#parts.listener({ event: 'foreign_deleted', keys, glob })
  }

  /** Sends to Redis, and has the transaction that holds the cursor go on for as long as Redis answers. */
  #sender(transaction: Queryable): Send {
    const { timing, link, standsMsMax } = this.#parts
    let askedAt = timing.now()
    return async (words) => {
      const reply = await within(timing, link.send(words), callMs)
      if (timing.now() - askedAt < standsMsMax / 5) return reply
      await transaction.query('select')
      askedAt = timing.now()
      return reply
    }
  }
}

/** Since when another node is at work, and when that was said last. */
interface Waits {
  readonly since: number
  readonly toldAt: number
}

type Send = (words: readonly (string | Uint8Array)[]) => Promise<RedisReply>
