import type { CacheListener } from '../../cache/cache-event.ts'
import type { Journal } from '../../cache/journal.ts'
import type { RedisClient } from '../../cache/redis-link.ts'
import type { SharedStore } from '../../cache/shared-store.ts'
import type { Timing } from '../../base/timing.ts'
import type { DependsOn } from '../../invalidate/dependency.ts'
import type { OnWrite } from './table-writes.ts'
import type { DurationText } from '../../define/config/tidemark-config.ts'
import { TidemarkError } from '../../model/errors.ts'

/** Where nodes keep what they share. */
export type StoreOption =
  | { readonly kind: 'redis'; readonly url: string }
  | { readonly kind: 'redis client'; readonly client: RedisClient }
  | { readonly kind: 'postgres' }

/** What a cache is declared with. */
export interface CacheOptions {
  /** The prefix of all keys, and the name of the cache in the database: `'onquota'`. */
  readonly namespace: string
  /** The memory of this process. Default: 10,000 entries. */
  readonly memory?: { readonly max: number }
  /** What nodes share. Default: nothing; each node has its memory alone. */
  readonly store?: StoreOption
  /**
   * The database whose commits invalidate, as `postgres://…`. It is the one that loads read from: a load that reads a
   * standby may be behind what invalidated it. Default: none; only code invalidates. One that is named and undefined, as of a variable
   * that is not set, is refused.
   */
  readonly database?: string | undefined
  /**
   * How old an answer may be that is said to be true: from the commit that outdates it.
   * 0: each answer looks first. Default `'100ms'`; the same in all processes of a namespace, for who invalidates waits so
   * long for the others. Says nothing where the process is alone.
   */
  readonly maxLag?: DurationText | 0
  /** How long an entry is fresh when its kind does not say. Default `'5m'`. */
  readonly ttl?: DurationText
  /** TTL by kind, in one table; what a kind says itself goes before it. `start()` refuses a name that no kind has. */
  readonly ttls?: Readonly<Record<string, DurationText>>
  /**
   * What writes to a table invalidate beside the kinds that depend on it (`dependsOn`), by table or by the model of an ORM:
   * `{ Usuario: ['perfil:{id}:*', { invalidates: ['por_rol:*'], columns: ['rol'] }] }`. Read by `wrote()` and by the adapters
   * of ORMs. Places are filled from the columns of each row that was written. Patterns are checked; names are not, for the models of
   * an ORM are not known here: under one written wrong nothing is ever written.
   */
  readonly onWrite?: Readonly<Record<string, OnWrite>>
  /** What this process is called where it is told who loaded an entry. Default: `host:pid`. */
  readonly node?: string
  /**
   * How keys write a tenant, `{}` for the id: a word without colons, asterisks, spaces and other braces, else it is refused.
   * Default: `'tenant_{}'`.
   */
  readonly tenantForm?: `${string}{}${string}`
  /** Tells, as the event `hit_rate` and a line of the log, when fewer answers are hits than this. Default: nothing is told. */
  readonly hitRate?: HitRateOptions
  /** Hears of all that happens. */
  readonly onEvent?: CacheListener
  /** Gets a line for each hit, miss, load and invalidation: `console`, a pino logger. */
  readonly log?: Readonly<Record<'info' | 'warn' | 'error', (line: string) => void>>
  /** The time and the dice, for tests. */
  readonly timing?: Timing
  readonly random?: () => number
  /** What stands between the cache and its journal, for tests. */
  readonly journalThrough?: (journal: Journal) => Journal
  /** What stands between the cache and what its nodes share, for tests. */
  readonly storeThrough?: (store: SharedStore) => SharedStore
}

/** When few hits are worth telling. */
export interface HitRateOptions {
  /** The share of answers, 0 to 1, that are to need no load: of each kind, or by kind. `start()` refuses a name that no kind has. */
  readonly min: number | Readonly<Record<string, number>>
  /** Answers of so long are counted together. Default `'1m'`. */
  readonly over?: DurationText
  /** Of fewer answers nothing is told. Default 100. */
  readonly answersMin?: number
}

/** How long entries live, and how long a reader waits for one. */
export interface TermOptions {
  /** How long an entry is fresh, if nothing invalidates it. */
  readonly ttl?: DurationText
  /**
   * After that it may be served for this long while it is renewed; one that was expired, until then. Default: not at all, and one that
   * was expired until its time is over.
   */
  readonly stale?: DurationText
  /** A reader for whom there is a stale entry waits this long for a load. Default: not at all. */
  readonly softTimeout?: DurationText
  /** No reader waits longer. Default `'10s'`. */
  readonly hardTimeout?: DurationText
  /** Renewal ahead of time (XFetch's β). Default 1; 0: never. */
  readonly eagerness?: number
}

/** The names of {@link TermOptions}. */
export const termOptions: readonly (keyof TermOptions)[] = [
  'ttl',
  'stale',
  'softTimeout',
  'hardTimeout',
  'eagerness',
]

/** What a kind of entries is declared with. */
export interface KindOptions<Args extends readonly unknown[]> extends TermOptions {
  /** How long the answer `null` or `undefined` is fresh; 0: it is not kept. Default: as any other. */
  readonly negativeTtl?: DurationText | 0
  /** What in the database the entries depend on. */
  readonly dependsOn?: DependsOn<Args>
  /** Names by which entries can be invalidated together. */
  readonly tags?: readonly string[] | ((...args: Args) => readonly string[])
  /**
   * Whose entry it is, told from the arguments; false: nobody's. Default: the first argument, where a column of
   * `dependsOn` is compared with it.
   */
  readonly tenant?: false | ((...args: Args) => string | number | bigint)
  /** Entries that are there before anybody asks; from `start()` on. Default: none. */
  readonly warm?: WarmOptions<Args>
  /** What tells the entries of a tenant apart, told from the arguments. Default: all of these but the tenant. */
  readonly params?: (...args: Args) => readonly unknown[]
  /**
   * Whether who waits for the load of another process fails when that fails, with TIDEMARK_CACHE_LOAD_FAILED, which has the name and code of
   * the error and not the error itself. False: each process then loads for itself, one after the other, and has errors of its
   * own. Default: true.
   */
  readonly shareFailures?: boolean
  /** Names the version of the load. Default: it is told from the text of the function. */
  readonly version?: string
}

/** The names of {@link KindOptions}. */
export const kindOptions: readonly (keyof KindOptions<readonly unknown[]>)[] = [
  ...termOptions,
  'negativeTtl',
  'dependsOn',
  'tags',
  'tenant',
  'warm',
  'params',
  'shareFailures',
  'version',
]

/** Which entries of a kind are loaded before anybody asks, and when. */
export interface WarmOptions<Args extends readonly unknown[]> {
  /** The arguments of each: a list, or what reads it. Read anew for each warming. */
  readonly entries?: () => readonly Args[] | Promise<readonly Args[]> | AsyncIterable<Args>
  /** Whether they are loaded at start. Default: true. */
  readonly atStart?: boolean
  /** Loaded again so often, those that would run out before the next time. */
  readonly every?: DurationText
  /** The same by a cron expression; `zone` is where its clock hangs, `'UTC'` by default. */
  readonly cron?: string
  readonly zone?: string
  /** So many of those that this process reads most are loaded again when something has invalidated them. Default: 0. */
  readonly hot?: number
  /** Loads at a time. Default: 4. */
  readonly concurrency?: number
  /** A warming ends within this time; a load that would take longer than what is left is not begun. Default `'1m'`. */
  readonly within?: DurationText
}

/** What is to be invalidated: any of these, or several. */
export interface InvalidationOf {
  readonly keys?: readonly string[]
  /** Names that entries were tagged with. */
  readonly tags?: readonly string[]
  /** All entries of these tenants, of whichever kind, those that only other processes define as well. */
  readonly tenants?: readonly (string | number | bigint)[]
  /** `quotes:*`, `quotes:tenant_7:*`, `*`; words may have places, `{tenantId}`, filled from `with`. */
  readonly patterns?: readonly string[]
  readonly with?: Readonly<Record<string, unknown>>
}

const cachedMark: unique symbol = Symbol('cached')

/** A value with what is to be said of it, as {@link cached} makes it. */
export interface Cached<Value> {
  readonly [cachedMark]: true
  readonly value: Value
  readonly options: CachedOptions
}

/** What a load can say of what it brings. */
export interface CachedOptions {
  readonly ttl?: DurationText
  /** Further names by which this entry can be invalidated. */
  readonly tags?: readonly string[]
  /** True: the value is given to who waits for it, and not kept. */
  readonly skip?: boolean
}

/** What a load returns to say more than the value: `return cached(product, { tags: [`brand_${product.brand}`] })`. */
export function cached<Value>(value: Value, options: CachedOptions): Cached<Value> {
  return { [cachedMark]: true, value, options }
}

/** Whether a load has said more than the value. */
export function isCached<Value>(result: Value | Cached<Value>): result is Cached<Value> {
  return typeof result === 'object' && result !== null && cachedMark in result
}

/**
 * What nodes share: the Redis (or Valkey) of a URL, or one reached through a client of `redis`, `ioredis` or `iovalkey`, which
 * the caller goes on owning.
 *
 * @throws TidemarkError TIDEMARK_CACHE_INVALID for what is undefined or empty, as of a variable that is not set, and for a text that
 * is no URL of a Redis.
 */
export function redis(of: string | RedisClient | undefined): StoreOption {
  if (of === undefined || of === '') {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: 'redis() was given no URL, but undefined or an empty text.',
      mend: "Set the variable that it is read from, or leave 'store' out: redis('redis://localhost:6379').",
    })
  }
  // Without the text, for it may hold a password.
  if (typeof of === 'string' && !(/^rediss?:/.test(of) && URL.canParse(of))) {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: 'What redis() was given is not of the form redis://user:password@host:port/number.',
      mend: "Write it in that form, with rediss:// for TLS: redis('redis://localhost:6379').",
    })
  }
  return typeof of === 'string' ? { kind: 'redis', url: of } : { kind: 'redis client', client: of }
}

/** What nodes share is a table of the cache's own `database`, where there is no Redis: unlogged, one call an operation. */
export function postgres(): StoreOption {
  return { kind: 'postgres' }
}
