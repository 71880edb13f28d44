import { createHash, randomUUID } from 'node:crypto'
import type { Timing } from '../base/timing.ts'
import { passing } from '../base/timing.ts'
import type {
  EntryKey,
  Invalidation,
  InvalidationRequest,
  JournalPlace,
  News,
  Position,
  Tag,
  Verb,
} from '../model/invalidation.ts'
import type { Journal } from './journal.ts'
import type { Standing } from './ledger.ts'
import { failureText, readFailure } from './load-failure.ts'
import { readHead, readHeader, readTag } from './redis-entry.ts'
import type { RedisLink, RedisReply } from './redis-link.ts'
import { listOf, textOf } from './redis-link.ts'
import {
  appendScript,
  failScript,
  fillScript,
  followScript,
  leaveScript,
  lookScript,
  readScript,
  releaseScript,
  standingScript,
  unseenScript,
} from './redis-scripts.ts'
import type { GlancedEntry, JudgedEntry, SharedAnswer, SharedStore } from './shared-store.ts'

/** What is kept of the journal in Redis: who lags behind by more begins anew. */
const logMax = 10_000

/** A script with the name that the server knows it by. */
interface Script {
  readonly text: string
  readonly digest: string
}

const scripts = Object.fromEntries(
  Object.entries({
    read: readScript,
    fill: fillScript,
    fail: failScript,
    release: releaseScript,
    follow: followScript,
    append: appendScript,
    look: lookScript,
    unseen: unseenScript,
    leave: leaveScript,
    standing: standingScript,
  }).map(([name, text]) => [name, { text, digest: createHash('sha1').update(text).digest('hex') }]),
) as Readonly<
  Record<
    | 'read'
    | 'fill'
    | 'fail'
    | 'release'
    | 'follow'
    | 'append'
    | 'look'
    | 'unseen'
    | 'leave'
    | 'standing',
    Script
  >
>

type Word = string | number | Uint8Array

async function run(
  link: RedisLink,
  { text, digest }: Script,
  keys: readonly string[],
  words: readonly Word[],
): Promise<RedisReply> {
  const rest = [
    String(keys.length),
    ...keys,
    ...words.map((word) => (typeof word === 'number' ? String(word) : word)),
  ]
  try {
    return await link.send(['evalsha', digest, ...rest])
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return link.send(['eval', text, ...rest])
  }
}

/** The names of what the store keeps for a namespace; entries have the names of their keys. */
const namesOf = (namespace: string) => ({
  prefix: `${namespace}:`,
  tag: `${namespace}:~tag:`,
  head: `${namespace}:~head`,
  log: `${namespace}:~log`,
  seen: `${namespace}:~seen`,
  looks: `${namespace}:~looks`,
  news: `${namespace}:~news`,
  lease: (key: EntryKey): string => `${namespace}:~lease:${key}`,
  failure: (key: EntryKey): string => `${namespace}:~failure:${key}`,
})

/**
 * The shared tier in Redis 6.2 or newer, or Valkey. Each call is one script, so that nothing comes between a comparison
 * and what hangs on it.
 */
export function redisStore(link: RedisLink, namespace: string, timing: Timing): SharedStore {
  const names = namesOf(namespace)
  const clock = new ServerClock(timing)
  const lists = new WeakMap<readonly Tag[], TagList>()
  const listed = (tags: readonly Tag[]): TagList => {
    const known = lists.get(tags)
    if (known !== undefined) return known
    const text = Buffer.from(tags.map((tag) => `${tag}\n`).join(''))
    const list = { tags, text, names: tags.map((tag) => `${names.tag}${tag}`) }
    lists.set(tags, list)
    return list
  }
  return {
    glances: {
      kept(key, tags) {
        const now = clock.now()
        if (now === null) return nothing
        return link.ask(['get', key], (reply) => keptEntry(reply, listed(tags), now))
      },
      judged(key, tags) {
        const now = clock.now()
        if (now === null) return nothing
        const list = listed(tags)
        const words = ['mget', names.head, key, ...list.names]
        return link.ask(words, (reply) => judgedEntry(listOf(reply), list, now))
      },
    },
    async read({ key, tags, holder, leaseMs, renew, waitedMs }) {
      const askedAt = timing.now()
      const spans = [Math.ceil(leaseMs), renew ? 1 : 0, Math.floor(waitedMs)]
      const words = [names.prefix, randomUUID(), holder, ...spans, ...tags]
      const keys = [key, names.lease(key), names.head, names.failure(key)]
      const reply = await run(link, scripts.read, keys, words)
      clock.set(Number(listOf(reply)[3]), askedAt)
      return answerOf(reply)
    },
    async fill({ key, holder, tags, payload, keepMs }) {
      const words = [names.prefix, randomUUID(), holder, Math.ceil(keepMs), payload, ...tags]
      return (await run(link, scripts.fill, [key, names.lease(key), names.head], words)) === 1
    },
    async fail({ key, holder, failure, loadMs, keepMs }) {
      const words = [holder, Math.ceil(keepMs), Math.floor(loadMs), failureText(failure)]
      await run(link, scripts.fail, [names.lease(key), names.failure(key)], words)
    },
    async release(key, holder) {
      await run(link, scripts.release, [names.lease(key)], [holder])
    },
    async follow({ since, to, everything, invalidations }) {
      const places = [since.epoch, since.position, to.epoch, to.position, everything ? 1 : 0]
      const what = invalidations.flatMap(({ position, verb, of }) => [
        position,
        verb,
        ...wordsOf(of),
      ])
      const words = [names.prefix, randomUUID(), ...places, ...what]
      return placeOf(listOf(await run(link, scripts.follow, [names.head], words)))
    },
    close: () => link.close(),
  }
}

/**
 * How an entry of the store stands to tags that it does not bear itself: `removed` as well when it is not there, or when such a
 * tag was forgotten. What is stored later was read later: it stands no worse.
 */
export async function standingInRedis(
  link: RedisLink,
  namespace: string,
  { key, tags }: { readonly key: EntryKey; readonly tags: readonly Tag[] },
): Promise<Standing> {
  const { prefix, head } = namesOf(namespace)
  const words = [prefix, randomUUID(), ...tags]
  const reply = textOf(await run(link, scripts.standing, [key, head], words))
  return reply === 'v' ? 'valid' : reply === 'x' ? 'expired' : 'removed'
}

/** How long each node may answer from memory, by which {@link redisJournal} knows when all have seen something. */
export interface RedisJournalOptions {
  readonly maxLagMs: number
  readonly timing: Timing
}

/**
 * A journal in Redis, for a cache that has no database behind it: as durable as that Redis is.
 *
 * Each look notes how far the node had come before it, and when it looked. An invalidation is settled when no node is known that has not come so
 * far, or when `maxLagMs` have passed, in which every node has looked again or may no longer answer from memory: it is the
 * same for all nodes.
 */
export function redisJournal(
  link: RedisLink,
  namespace: string,
  { maxLagMs, timing }: RedisJournalOptions,
): Journal {
  const names = namesOf(namespace)
  const node = randomUUID()
  const { head, log, seen, looks } = names
  let last = { epoch: '', position: 0, stamp: '' }
  return {
    async look(since) {
      const { epoch, stamp } = since === last.position ? last : { epoch: '', stamp: '' }
      const words = [randomUUID(), node, since ?? '', stamp, epoch]
      const reply = await run(link, scripts.look, [head, log, seen, looks], words)
      const news = newsOf(listOf(reply))
      last = { epoch: news.epoch, position: news.position, stamp: textOf(listOf(reply)[2]) }
      return news
    },
    hearsBack: true,
    async append({ verb, tags, keys }: InvalidationRequest) {
      const what = [...tags.flatMap((tag) => ['t', tag]), ...keys.flatMap((key) => ['k', key])]
      const words = [names.prefix, randomUUID(), logMax, randomUUID(), verb, ...what]
      const reply = listOf(await run(link, scripts.append, [head, log, seen, looks], words))
      return placeOf(reply).position
    },
    async settled(position) {
      const until = timing.now() + maxLagMs
      for (let waitMs = 1; timing.now() < until; waitMs = Math.min(waitMs * 2, 10)) {
        if ((await run(link, scripts.unseen, [seen, head], [position, maxLagMs])) === 0) return
        await passing(timing, waitMs)
      }
      await run(link, scripts.leave, [seen, looks], [position, maxLagMs])
    },
    snapshot: () => Promise.resolve(null),
    onHint: (listener) => link.subscribe(names.news, listener),
    close: () => link.close(),
  }
}

const wordsOf = (of: Invalidation['of']): [string, string] =>
  of.kind === 'tag' ? ['t', of.tag] : ['k', of.key]

const placeOf = ([epoch, position]: readonly RedisReply[]): JournalPlace => ({
  epoch: textOf(epoch),
  position: Number(position) as Position,
})

function answerOf(reply: RedisReply): SharedAnswer {
  const list = listOf(reply)
  const place = placeOf(list)
  const [, , leased, , failed, standing, ageMs, payload, tags, at] = list
  const [what, failedMs] = listOf(failed)
  const failure =
    what === undefined ? null : { ...readFailure(textOf(what)), ageMs: Number(failedMs) }
  const entry = Buffer.isBuffer(payload)
    ? {
        payload,
        leasedAt: { epoch: place.epoch, position: Number(at) as Position },
        ageMs: Number(ageMs),
        standing: textOf(standing) === 'x' ? ('expired' as const) : ('valid' as const),
        tags: listOf(tags).map((tag) => textOf(tag) as Tag),
      }
    : null
  return { ...place, leased: leased === 1, entry, failure }
}

/** Tags of a question: of a kind without tenants it is one list for all. */
interface TagList {
  readonly tags: readonly Tag[]
  /** As they stand in an entry. */
  readonly text: Buffer
  /** Where what is known of them is kept. */
  readonly names: readonly string[]
}

/** An entry as it stands in Redis; null: there is none, it was expired, or it has other tags than were asked for. */
function keptEntry(reply: RedisReply | undefined, list: TagList, now: number): GlancedEntry | null {
  if (!Buffer.isBuffer(reply)) return null
  const { epoch, at, isExpired, leasedAt, tags, end } = readHeader(reply)
  if (isExpired || tags !== list.tags.length) return null
  const from = end + 1
  const to = from + list.text.length
  if (list.text.compare(reply, from, Math.min(to, reply.length)) !== 0) return null
  return {
    payload: reply.subarray(to),
    tags: list.tags,
    ageMs: now - leasedAt,
    standing: 'valid',
    leasedAt: { epoch, position: at as Position },
  }
}

/**
 * What one MGET of the head, an entry and the tags that are asked for says of it: the same comparison as the script's, in one
 * step as well. Null where it takes more than that: no valid entry, or one with tags that were not asked for.
 */
function judgedEntry(
  [head, kept, ...known]: readonly RedisReply[],
  list: TagList,
  now: number,
): JudgedEntry | null {
  const entry = keptEntry(kept, list, now)
  if (!Buffer.isBuffer(head) || entry === null) return null
  const { epoch, position, floor } = readHead(head)
  const { leasedAt } = entry
  if (leasedAt.epoch !== epoch || leasedAt.position < floor) return null
  for (const tag of known) {
    if (!Buffer.isBuffer(tag)) return null
    const { removedAt, expiredAt } = readTag(tag)
    if (removedAt > leasedAt.position || expiredAt > leasedAt.position) return null
  }
  return { place: { epoch, position: position as Position }, entry }
}

const nothing = Promise.resolve(null)

/** For so long a server's clock is taken to go as ours does. */
const clockMs = 10_000

/**
 * The clock of the server, as far as it is known from its last answer: never behind it, so that no age is told too
 * low.
 */
class ServerClock {
  readonly #timing: Timing
  #ahead = 0
  #until = -Infinity

  constructor(timing: Timing) {
    this.#timing = timing
  }

  /** Null when it was not asked lately. */
  now(): number | null {
    const now = this.#timing.now()
    return now < this.#until ? now + this.#ahead : null
  }

  /** Notes what the server answered to a question of `askedAt`. */
  set(serverMs: number, askedAt: number): void {
    this.#ahead = serverMs - askedAt
    this.#until = askedAt + clockMs
  }
}

function newsOf(list: readonly RedisReply[]): News {
  const [, , , complete, entries] = list
  return {
    ...placeOf(list),
    complete: complete === 1,
    invalidations: listOf(entries).flatMap(invalidationsOf),
    snapshot: null,
  }
}

/** A line of the log: its id, then `stamp`, `verb` with their values, and pairs of a kind and a name. */
function invalidationsOf(line: RedisReply): Invalidation[] {
  const [id, fields] = listOf(line)
  const [, , , verb, ...what] = listOf(fields).map(textOf)
  const position = Number.parseInt(textOf(id), 10) as Position
  return what.flatMap((kind, at) => {
    if (at % 2 === 1) return []
    const name = what[at + 1] ?? ''
    const of =
      kind === 't'
        ? ({ kind: 'tag', tag: name as Tag } as const)
        : ({ kind: 'key', key: name as EntryKey } as const)
    return [{ position, verb: verb as Verb, of, xids: null }]
  })
}
