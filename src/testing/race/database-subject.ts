import type { CacheOptions } from '../../engine/caches/cache-options.ts'
import { postgres, redis } from '../../engine/caches/cache-options.ts'
import type { Journal } from '../../cache/journal.ts'
import type { SharedStore } from '../../cache/shared-store.ts'
import { createCache } from '../../engine/caches/create-cache.ts'
import type { Database, Session } from '../../postgres/connection.ts'
import { openDatabase, openSession } from '../../postgres/connection.ts'
import type { Dice } from '../../base/dice.ts'
import { pick } from '../../base/dice.ts'
import type {
  RaceNode,
  RacePlay,
  RaceSource,
  RaceStage,
  RaceSubject,
  RaceValue,
} from './play-history.ts'
import { journalUpsets, renewJournal } from './journal-upsets.ts'
import type { JournalSurroundings } from './scheduled-journal.ts'
import { scheduledJournal } from './scheduled-journal.ts'
import type { Client } from './race-commands.ts'
import { connected, raceCommands, saved } from './race-commands.ts'
import type { RedisSurroundings } from './scheduled-redis.ts'
import { scheduledRedis } from './scheduled-redis.ts'
import { scheduledStore } from './scheduled-store.ts'
import type { Scheduler } from './scheduler.ts'
import { ServerClock } from './server-clock.ts'
import { goByHistory, TableStore } from './table-store.ts'
import {
  faultsOf,
  nodeOver,
  slowly,
  termsOf,
  timePasses,
  upsetsOf,
  warmOf,
} from './tidemark-subject.ts'

/**
 * The namespace of the histories, and the table that they are about: it has `key text primary key` and
 * `version int`, and the namespace is told of its rows by `key`.
 */
export const raceDatabase = { namespace: 'race', table: 'race_things' } as const

const { namespace, table } = raceDatabase

/** The bounds that are announced; of 0 each read looks first. */
const lagsMs = [0, 20, 100]

/** What nodes of a history share: nothing, a Redis, or a table of the database. */
export const raceStores = ['none', 'redis', 'postgres'] as const
/** One of them. */
export type RaceStore = (typeof raceStores)[number]

/**
 * Tidemark's cache over a real PostgreSQL, for the race kit. What nodes share is `store`, or is for the dice of each history to say. The
 * database serves nothing else: its cache tables go by the clock of the histories.
 */
export async function databaseSubject(
  urls: { readonly redis: string; readonly database: string },
  store?: RaceStore,
): Promise<{ readonly subject: RaceSubject; readonly close: () => Promise<void> }> {
  const client = await connected(urls.redis)
  const database = openDatabase(urls.database)
  await goByHistory(database)
  const writers = new Writers(urls.database)
  const subject: RaceSubject = {
    name: 'tidemark over PostgreSQL',
    async begin(stage) {
      await client.flushAll()
      await database.query(`truncate ${table}`)
      await renewJournal(database, namespace)
      const shared = pick(stage.dice, raceStores)
      const servers = { client, database, writers, databaseUrl: urls.database }
      return playOn(stage, servers, store ?? shared)
    },
  }
  return {
    subject,
    async close() {
      client.destroy()
      await writers.close()
      await database.close()
    },
  }
}

interface Servers {
  readonly client: Client
  readonly database: Database
  readonly writers: Writers
  readonly databaseUrl: string
}

/** What does not answer. */
interface Down {
  redis: boolean
  database: boolean
  blindness: ReturnType<JournalSurroundings['blindness']>
}

async function playOn(stage: RaceStage, servers: Servers, store: RaceStore): Promise<RacePlay> {
  const { client, database, writers, databaseUrl } = servers
  const { scheduler, dice, keys } = stage
  const down: Down = { redis: false, database: false, blindness: null }
  const listeners = new Set<() => void>()
  const faults = pick(dice, faultsOf)
  const clock = new ServerClock(dice)
  const sharedTable = new TableStore(database, namespace, dice)
  await sharedTable.empty()
  const terms = termsOf(dice)
  const warm = warmOf(dice, keys)
  const ofRedis: RedisSurroundings = {
    scheduler,
    dice,
    faults,
    command: raceCommands(client),
    clock,
    isDown: () => down.redis,
    listeners: new Set(),
  }
  const ofJournal: JournalSurroundings = {
    scheduler,
    dice,
    lost: faults.lostCommands,
    isDown: () => down.database,
    blindness: () => down.blindness,
    listeners,
  }
  const ofTable = { scheduler, dice, lost: faults, isDown: () => down.database, table: sharedTable }
  const lagMs = pick(dice, lagsMs)
  const load = slowly(stage, loadThrough(ofJournal, database))
  const journals: Journal[] = []
  const stores: SharedStore[] = []
  const shared: Record<RaceStore, () => Pick<CacheOptions, 'store' | 'storeThrough'>> = {
    none: () => ({}),
    redis: () => ({ store: redis(scheduledRedis(ofRedis)) }),
    postgres: () => ({
      store: postgres(),
      storeThrough(own) {
        stores.push(own)
        return scheduledStore(own, ofTable)
      },
    }),
  }
  const makeNode = (): RaceNode => {
    const cache = createCache({
      namespace,
      database: databaseUrl,
      ...shared[store](),
      maxLag: lagMs === 0 ? 0 : `${lagMs}ms`,
      timing: scheduler.timing(dice() * 4_000),
      random: dice,
      journalThrough(journal) {
        journals.push(journal)
        return scheduledJournal(journal, ofJournal)
      },
    })
    return nodeOver(cache, load, { ...terms, warm, dependsOn: { [table]: 'key' } })
  }
  return {
    makeNode,
    source: sourceOn({ scheduler, dice, faults, listeners, writers }, lagMs),
    upsets: [
      ...(store === 'redis' ? upsetsOf(stage, namespace, client) : timePasses(stage)),
      ...(store === 'redis' ? [() => Promise.resolve(void (down.redis = !down.redis))] : []),
      ...(store === 'postgres' ? sharedTable.upsets(stage) : []),
      ...journalUpsets(stage, database, namespace),
      () => Promise.resolve(void (down.database = !down.database)),
      () => Promise.resolve(void (down.blindness = pick(dice, [null, 'blind', 'away']))),
    ],
    ...(store === 'redis' ? { save: () => saved(client, { namespace, scheduler, clock }) } : {}),
    async end() {
      await writers.endOpen()
      // Nodes that were killed wait for turns that never come; their connections are real.
      await Promise.all([...journals, ...stores].map((each) => each.close()))
    },
  }
}

function loadThrough(
  { scheduler, dice, isDown, lost }: JournalSurroundings,
  database: Database,
): (key: string) => Promise<RaceValue> {
  return async (key) => {
    await scheduler.turn()
    if (isDown() || dice() < lost) throw new Error('the connection broke')
    const [row] = await scheduler.real(() =>
      database.query<RaceValue>(`select version from ${table} where key = $1`, [key]),
    )
    await scheduler.turn()
    return { version: row?.version ?? 0 }
  }
}

/** Writers are programs of their own: they update, or delete and insert, and some change their mind. */
function sourceOn(
  {
    scheduler,
    dice,
    faults,
    listeners,
    writers,
  }: {
    readonly scheduler: Scheduler
    readonly dice: Dice
    readonly faults: RedisSurroundings['faults']
    readonly listeners: ReadonlySet<() => void>
    readonly writers: Writers
  },
  lagMs: number,
): RaceSource {
  const versions = new Map<string, number>()
  return {
    lagMs,
    async write(keys, committed) {
      if (keys.length === 0) return
      const written = keys.map((key) => ({ key, version: (versions.get(key) ?? 0) + 1 }))
      for (const { key, version } of written) versions.set(key, version)
      const anew = dice() < 0.3
      const step = async (text: string, values?: readonly unknown[]): Promise<void> => {
        await scheduler.turn()
        await scheduler.real(() => session.query(text, values))
      }
      await scheduler.turn()
      const session = await scheduler.real(() => writers.take())
      await step('begin')
      for (const { key, version } of written) {
        if (anew) await step(`delete from ${table} where key = $1`, [key])
        await step(upsert, [key, version])
      }
      const regrets = dice() < 0.1
      await step(regrets ? 'rollback' : 'commit')
      writers.giveBack(session)
      if (regrets) return
      for (const { key, version } of written) committed(key, version)
      if (dice() < faults.hints) for (const listener of listeners) listener()
    },
  }
}

const upsert = `insert into ${table} values ($1, $2) on conflict (key) do update set version = excluded.version`

/** Connections of writers, whose transactions stay open while others have their turns. */
class Writers {
  readonly #url: string
  readonly #free: Session[] = []
  readonly #all = new Set<Session>()

  constructor(url: string) {
    this.#url = url
  }

  async take(): Promise<Session> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const session = await openSession(this.#url)
    this.#all.add(session)
    return session
  }

  giveBack(session: Session): void {
    this.#free.push(session)
  }

  /** Ends what a history left open. */
  async endOpen(): Promise<void> {
    const open = [...this.#all].filter((session) => !this.#free.includes(session))
    for (const session of open) {
      this.#all.delete(session)
      await session.close()
    }
  }

  async close(): Promise<void> {
    for (const session of this.#all) await session.close()
  }
}
