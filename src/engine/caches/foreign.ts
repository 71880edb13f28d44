import { systemTiming } from '../../base/timing.ts'
import type { CacheListener } from '../../cache/cache-event.ts'
import { ForeignCache } from '../../cache/foreign-cache.ts'
import type { WantedRule } from '../../cache/postgres-journal.ts'
import { postgresJournal } from '../../cache/postgres-journal.ts'
import type { RedisClient } from '../../cache/redis-link.ts'
import type { DurationText } from '../../define/config/tidemark-config.ts'
import { keyTemplate } from '../../invalidate/foreign-keys.ts'
import { TidemarkError } from '../../model/errors.ts'
import { relationOf } from '../../model/ids.ts'
import { openDatabase } from '../../postgres/connection.ts'
import type { CacheOptions } from './cache-options.ts'
import { redis } from './cache-options.ts'
import { durationMs, spanMs } from './settings.ts'
import { linkOf } from './store-link.ts'

/** A cache of another program, in a Redis. */
export interface ForeignOptions {
  /** Where it is: a URL, or a client of `redis`, `ioredis` or `iovalkey`. */
  readonly redis: string | RedisClient
  /** Its keys, with columns of the changed row in braces: `'electro_isla:1:producto_{id}'`, as they stand in Redis. */
  readonly keys: string | readonly string[]
  /** The table or maintained view whose changes concern them; the configuration tells it apart by the columns of each key. */
  readonly on: string
}

/** A cache of another program whose keys are deleted. */
export interface Foreign {
  /**
   * Resolves when the keys are deleted that everything visible now concerns; rejects where that cannot be done.
   *
   * @throws TidemarkError TIDEMARK_CACHE_TIMEOUT when it was not done `within` (by default `'30s'`), as while another node is at
   * work; it goes on in the background.
   */
  readonly settle: (options?: { readonly within?: DurationText }) => Promise<void>
}

/** The caches of other programs that a cache looks after. */
export class Foreigners {
  readonly #options: CacheOptions
  readonly #listener: CacheListener
  readonly #all: ForeignCache[] = []
  readonly #rules: WantedRule[] = []

  constructor(options: CacheOptions, listener: CacheListener) {
    this.#options = options
    this.#listener = listener
  }

  /** Begins to look after one. */
  add({ redis: at, keys, on }: ForeignOptions): Foreign {
    const { namespace, database: url, timing = systemTiming, random = Math.random } = this.#options
    if (url === undefined) throw withoutDatabase(namespace)
    const source = relationOf(on)
    const texts = typeof keys === 'string' ? [keys] : keys
    const templates = texts.map((text) => keyTemplate(text, source))
    const rules = templates.map(({ columns }) => ({ source, columns }))
    const lagMs = durationMs(this.#options.maxLag ?? '100ms', 'createCache.maxLag')
    const everyMs = lagMs === 0 ? lagDefaultMs : lagMs
    const link = linkOf(redis(at))
    const foreign = new ForeignCache({
      namespace,
      name: `${source}: ${texts.join(' ')}`,
      templates,
      journal: postgresJournal(namespace, { url, maxLagMs: everyMs, timing, wanted: () => rules }),
      database: openDatabase(url, { connectionsMax: 2, answerWithinMs }),
      link,
      everyMs,
      standsMsMax,
      timing,
      random,
      listener: this.#listener,
    })
    this.#all.push(foreign)
    this.#rules.push(...rules)
    return {
      settle: ({ within = '30s' } = {}) => foreign.settle(spanMs(within, 'settle().within')),
    }
  }

  /** Sees that the database tells of all that they look after. @throws TidemarkError with the line to add. */
  async check(): Promise<void> {
    const { namespace, database: url, timing = systemTiming } = this.#options
    if (url === undefined || this.#rules.length === 0) return
    const wanted = (): readonly WantedRule[] => this.#rules
    // One of its own: those of the foreign caches are being read.
    const journal = postgresJournal(namespace, { url, maxLagMs: lagDefaultMs, timing, wanted })
    try {
      await journal.look(null)
    } finally {
      await journal.close()
    }
  }

  /** Ends them all. */
  async close(): Promise<void> {
    await Promise.all(this.#all.splice(0).map((foreign) => foreign.close()))
  }
}

const lagDefaultMs = 100
/** An answer of the database that takes longer does not come. */
const answerWithinMs = 10_000
/** A call of Redis takes two seconds at most: who asks nothing for so long stands still. */
const standsMsMax = 10_000

const withoutDatabase = (namespace: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The cache ${namespace} has no database that tells of changes.`,
    mend: `Name it: createCache({ database: process.env.DATABASE_URL }).`,
  })
