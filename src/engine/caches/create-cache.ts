import { hostname } from 'node:os'
import { systemClock } from '../../base/clock.ts'
import type { Timing } from '../../base/timing.ts'
import { systemTiming } from '../../base/timing.ts'
import type { CacheParts } from '../../cache/cache.ts'
import { Cache } from '../../cache/cache.ts'
import { blind } from '../../cache/cache-errors.ts'
import type { CacheEvent } from '../../cache/cache-event.ts'
import type { EntryAddress } from '../../cache/entry-request.ts'
import type { Explanation } from '../../cache/explanation.ts'
import type { Follower } from '../../cache/follower.ts'
import type { Journal } from '../../cache/journal.ts'
import { HitRates } from '../../cache/hit-rates.ts'
import { localJournal } from '../../cache/local-journal.ts'
import { sparingLogLines } from '../../cache/log-line.ts'
import type { PostgresJournalOptions } from '../../cache/postgres-journal.ts'
import { postgresJournal } from '../../cache/postgres-journal.ts'
import type { RedisLink } from '../../cache/redis-link.ts'
import { postgresStore } from '../../cache/postgres-store.ts'
import { redisJournal, redisStore } from '../../cache/redis-store.ts'
import type { SharedStore } from '../../cache/shared-store.ts'
import { SharedTier } from '../../cache/shared-tier.ts'
import type { CacheStatistics } from '../../cache/statistics.ts'
import { Statistics } from '../../cache/statistics.ts'
import type { WarmingReport } from '../../cache/warming.ts'
import type { DependentKind } from '../../invalidate/concerned.ts'
import type { SourceRule } from '../../invalidate/dependency.ts'
import type { NamedKind } from '../../invalidate/pattern.ts'
import { parsePattern, patternTag, tagsInKey } from '../../invalidate/pattern.ts'
import type { TableWrite } from '../../invalidate/table-write.ts'
import { namedTag, tenantIn, tenantTag } from '../../invalidate/tags.ts'
import type { Answer } from '../../model/answer.ts'
import { TidemarkError } from '../../model/errors.ts'
import { openDatabase } from '../../postgres/connection.ts'
import type { EntryKey, InvalidationRequest, Verb } from '../../model/invalidation.ts'
import type { CacheOptions, InvalidationOf, KindOptions } from './cache-options.ts'
import { kindOptions } from './cache-options.ts'
import { concernedEntries } from './concerned-entries.ts'
import type { Foreign, ForeignOptions } from './foreign.ts'
import { Foreigners } from './foreign.ts'
import type { Kind, Load } from './kind.ts'
import { defineKind } from './kind.ts'
import type { Invalidates, InvalidatingCode } from './invalidates.ts'
import { invalidatesWith } from './invalidates.ts'
import type { QueryExplanation, QueryOptions } from './query.ts'
import { Queries, queryKind } from './query.ts'
import {
  requireDatabase,
  requireKind,
  requireKindsOf,
  requireNamed,
  requireNamespace,
  requireTenantForm,
} from './requirements.ts'
import { durationMs, requireKnown, requireShare, requireWhole, spanMs } from './settings.ts'
import { linkOf } from './store-link.ts'
import { TableWrites } from './table-writes.ts'
import { Warmer } from './warmer.ts'

/** A cache of a process, as {@link createCache} makes it. */
export interface CacheManager {
  readonly namespace: string
  /** Defines the entries of one load. A name is defined once. */
  readonly define: <Args extends readonly [] | readonly unknown[], Value>(
    name: string,
    load: Load<Args, Value>,
    options?: KindOptions<Args>,
  ) => Kind<Args, Value>
  /**
   * What it names may not be served again. Resolves when no node can; rejects with TIDEMARK_CACHE_UNREACHABLE when
   * other nodes could not be told, and holds here nevertheless; with TIDEMARK_CACHE_INVALID where it names nothing, a pattern that
   * can match no key, or a key of another cache. Without a `database` it is as durable as the Redis that keeps it: one that comes back
   * without its last writes has lost it.
   */
  readonly remove: (of: InvalidationOf) => Promise<void>
  /** What it names may be served only while it is renewed. */
  readonly expire: (of: InvalidationOf) => Promise<void>
  /**
   * Wraps functions that write, and decorates methods: what is named is invalidated once they have succeeded, before their
   * promise resolves. Patterns are checked by `start()`, and before the first call.
   */
  readonly invalidates: Invalidates
  /**
   * Does work that ends with a commit. What functions under it `invalidates` waits for its end, and is dropped when
   * it throws: `cache.afterCommit(() => db.transaction(…))`.
   */
  readonly afterCommit: InvalidatingCode['afterCommit']
  /**
   * Tells of writes to tables that are committed, as the adapters of ORMs do: what depends on them, and what `onWrite` says, may not
   * be served again. Resolves when this process cannot answer with what was before; others hear of it within `maxLag`. Never
   * rejects: what was written is written.
   */
  readonly wrote: (writes: readonly TableWrite[]) => Promise<void>
  /**
   * The rows of a query, kept like any entry. What it depends on is told from its own text: of each table the rows that it is
   * computed from, as far as the configuration tells them apart. Parameters are written as `$1`; needs `database`.
   *
   * @throws TidemarkError TIDEMARK_CACHE_BLIND with the line to add, where changes of a table are not told;
   * TIDEMARK_CACHE_QUERY_REFUSED where the result may change without a commit.
   */
  readonly query: <Row extends object = Readonly<Record<string, unknown>>>(
    sql: string,
    values?: readonly unknown[],
    options?: QueryOptions,
  ) => Promise<Answer<readonly Row[]>>
  /** What the result of a query depends on, in words. Throws as {@link query} does. */
  readonly dependenciesOf: (sql: string) => Promise<QueryExplanation>
  /**
   * Deletes the keys that another program (Django, Laravel, Rails) keeps of rows, after the commits that change them, or after the
   * refresh of the view that they are rows of: at least once, tried again until Redis answers, with the place up to which that
   * is done kept in the database. Not fenced: what that program read before and stores after it stays.
   */
  readonly foreign: (of: ForeignOptions) => Foreign
  /** Checks patterns against the kinds that are defined, as is done at start. */
  readonly check: (patterns: readonly string[]) => void
  /**
   * Connects, and sees that every change that an entry depends on is told. Reads need not wait for it: without, they ask the
   * source until it would succeed. Warming begins with it. @throws TidemarkError with what is missing and how to add it.
   */
  readonly start: () => Promise<void>
  /**
   * Has the entries that kinds list ready, of these kinds or of all, and resolves when that has ended, by kind; null where
   * another node does it. Failures are told in the report, they reject nothing; a kind without a list of entries does.
   */
  readonly warm: (kinds?: readonly string[]) => Promise<Record<string, WarmingReport | null>>
  /**
   * What made the entry of a key what it is: state, tier, by whom and from which snapshot it was loaded, and which invalidation,
   * by which transaction and tag, concerned it. As far as this process remembers: its last 5,000 invalidations.
   */
  readonly explain: (key: string) => Promise<Explanation>
  readonly getStats: () => CacheStatistics
  readonly close: () => Promise<void>
}

const entriesMaxDefault = 10_000
/** A call of the shared store that takes longer has failed. */
const callMs = 250
/** A look at the journal that takes longer has failed. */
const lookMs = 1_000

/**
 * Makes a cache. Nothing is connected before the first read.
 *
 * What an entry holds is never served once it is known to be outdated (decision 70), and it is known within `maxLag`
 * of the commit, or of the acknowledged invalidation at once.
 */
export function createCache(options: CacheOptions): CacheManager {
  const { namespace, tenantForm = 'tenant_{}', database: url } = options
  requireNamespace(namespace)
  requireTenantForm(tenantForm)
  requireDatabase(options)
  const kinds = new Map<string, DependentKind>()
  const statistics = new Statistics(() => new Date(), concernedEntries(namespace, kinds))
  const listener = listenerOf(options, statistics)
  const cache = new Cache(
    partsOf(options, kinds, (event) => {
      warmer.hear(event)
      listener(event)
    }),
  )
  const { timing = systemTiming } = options
  const warmer = new Warmer({ namespace, cache, timing, clock: systemClock })
  const journalTells = options.database !== undefined
  const declared = options.onWrite ?? {}
  const writes = new TableWrites({ cache, declared, kinds, journalTells })
  const ttlMs = spanMs(options.ttl ?? '5m', 'createCache.ttl')
  const ttls = ttlsOf(options)
  const foreigners = new Foreigners(options, listener)
  const queries = new Queries({
    namespace,
    cache,
    url,
    ttlMs: ttls.get(queryKind) ?? ttlMs,
    timing,
  })
  if (url !== undefined) kinds.set(queryKind, queries.kind)
  const invalidate = async (verb: Verb, of: InvalidationOf): Promise<void> => {
    requireNamed(verb, of, namespace)
    await cache.invalidate(requestOf(verb, of, { tenantForm, kinds: [...kinds.values()] }))
  }
  const code = invalidatesWith({
    kinds: () => [...kinds.values()],
    invalidate: (request) => cache.invalidate(request),
    tell: listener,
  })
  return {
    namespace,
    invalidates: code.invalidates,
    afterCommit: code.afterCommit,
    define(name, load, ofKind = {}) {
      requireKind({ name, load }, kinds)
      requireKnown(ofKind, kindOptions, `define('${name}')`)
      const surroundings = { namespace, tenantForm, ttlMs: ttls.get(name) ?? ttlMs }
      const defined = defineKind(cache, surroundings, { name, load, options: ofKind })
      kinds.set(name, defined.named)
      if (defined.warm !== null) warmer.add(defined.warm)
      return defined.kind
    },
    remove: (of) => invalidate('remove', of),
    expire: (of) => invalidate('expire', of),
    wrote: (of) => writes.outdate(of),
    foreign: (of) => foreigners.add(of),
    query: (sql, values = [], of = {}) => queries.read(sql, values, of),
    dependenciesOf: (sql) => queries.explain(sql),
    check(patterns) {
      for (const text of patterns) parsePattern(text, [...kinds.values()])
    },
    async start() {
      requireKindsOf(options, kinds)
      writes.check()
      code.check()
      for (const event of dependingOnAll(kinds.values())) cache.tell(event)
      await connected(cache, foreigners).finally(() => {
        warmer.start()
      })
    },
    warm: (of = []) => warmer.warm(of),
    explain: (key) => cache.explain(key as EntryKey, tagsInKey(key.slice(namespace.length + 1))),
    getStats: () => statistics.read(cache.size),
    async close() {
      warmer.close()
      await cache.close()
      await Promise.all([queries.close(), foreigners.close()])
    },
  }
}

/** Resolves when all that a cache depends on answers, and is told. @throws TidemarkError where that is not so. */
async function connected(cache: Cache, foreigners: Foreigners): Promise<void> {
  try {
    await cache.look()
    await foreigners.check()
  } catch (error) {
    throw error instanceof TidemarkError ? error : blind(error)
  }
}

/** What is declared without columns is easily meant otherwise. */
const dependingOnAll = (kinds: Iterable<DependentKind>): readonly CacheEvent[] =>
  [...kinds].flatMap(({ kind, rules }) =>
    rules
      .filter(({ columns }) => columns.length === 0)
      .map(({ source }) => ({ event: 'depends_on_all', kind, tenant: null, source })),
  )

function requestOf(
  verb: Verb,
  of: InvalidationOf,
  { tenantForm, kinds }: { readonly tenantForm: string; readonly kinds: readonly NamedKind[] },
): InvalidationRequest {
  const patterns = (of.patterns ?? []).map((text) => parsePattern(text, kinds))
  return {
    verb,
    keys: (of.keys ?? []) as readonly EntryKey[],
    tags: [
      ...(of.tags ?? []).map(namedTag),
      ...(of.tenants ?? []).map((id) => tenantTag(tenantIn(tenantForm, id))),
      ...patterns.map((pattern) => patternTag(pattern, of.with)),
    ],
  }
}

function partsOf(
  options: CacheOptions,
  kinds: ReadonlyMap<string, DependentKind>,
  listener: (event: CacheEvent) => void,
): CacheParts {
  const { store, database, timing = systemTiming, random = Math.random } = options
  const link = store === undefined || store.kind === 'postgres' ? null : linkOf(store)
  const isAlone = link === null && database === undefined
  const maxLagMs = isAlone ? Infinity : durationMs(options.maxLag ?? '100ms', 'createCache.maxLag')
  const wanted = (): SourceRule[] => [...kinds.values()].flatMap(({ rules }) => rules)
  const own = lastingJournal(options, link, { maxLagMs, timing, wanted })
  const journal = through(own, options)
  const shared = storeOf(options, link, timing)
  const sharedOf = (of: SharedStore) => (follower: Follower) => {
    const onUnreachable = (): void => {
      listener({ event: 'unreachable', what: 'shared' })
    }
    const givesPositions = database === undefined
    const told = new Set<string>()
    const onNotShared = ({ kind, tenant, key }: EntryAddress, part: string): void => {
      if (told.has(kind)) return
      told.add(kind)
      listener({ event: 'not_shared', kind, tenant, key, part })
    }
    const parts = { store: of, journal, givesPositions, callMs, timing, onUnreachable, onNotShared }
    return new SharedTier(parts, follower)
  }
  return {
    journal,
    shared: shared === null ? null : sharedOf(shared),
    node: options.node ?? `${hostname()}:${process.pid}`,
    clock: systemClock,
    entriesMax: entriesMaxOf(options),
    maxLagMs,
    lookMs,
    timing,
    random,
    listener,
  }
}

/** What nodes share, with what stands before it. */
function storeOf(
  options: CacheOptions,
  link: RedisLink | null,
  timing: Timing,
): SharedStore | null {
  const { namespace, store, storeThrough } = options
  if (store === undefined) return null
  const own =
    link === null
      ? postgresStore(openDatabase(databaseOf(options)), namespace)
      : redisStore(link, namespace, timing)
  return storeThrough?.(own) ?? own
}

function entriesMaxOf({ memory }: CacheOptions): number {
  const max = memory?.max ?? entriesMaxDefault
  requireWhole(max, { place: 'createCache.memory.max', min: 1 })
  return max
}

function databaseOf({ namespace, database }: CacheOptions): string {
  if (database !== undefined) return database
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The cache ${namespace} shares a table, and has no database.`,
    mend: `Name it: createCache({ store: postgres(), database: process.env.DATABASE_URL }).`,
  })
}

const through = (own: Journal, { journalThrough }: CacheOptions): Journal =>
  journalThrough?.(own) ?? own

/** Of several journals the most lasting. */
function lastingJournal(
  { namespace, database }: CacheOptions,
  link: RedisLink | null,
  lag: Omit<PostgresJournalOptions, 'url'>,
): Journal {
  if (database !== undefined) return postgresJournal(namespace, { url: database, ...lag })
  return link === null ? localJournal() : redisJournal(link, namespace, lag)
}

function listenerOf(options: CacheOptions, statistics: Statistics) {
  const { log, onEvent, timing = systemTiming } = options
  const rates = hitRatesOf(options)
  const linesOf = sparingLogLines(timing.now)
  const tell = (event: CacheEvent): void => {
    statistics.note(event)
    onEvent?.(event)
    if (log !== undefined) for (const { level, text } of linesOf(event)) log[level](text)
  }
  return (event: CacheEvent): void => {
    tell(event)
    const alert = rates?.note(event) ?? null
    if (alert !== null) tell(alert)
  }
}

function hitRatesOf({ hitRate, timing = systemTiming }: CacheOptions): HitRates | null {
  if (hitRate === undefined) return null
  const { min, over = '1m', answersMin = 100 } = hitRate
  const minOf = (kind: string): number | null =>
    typeof min === 'number' ? min : (min[kind] ?? null)
  const overMs = spanMs(over, 'createCache.hitRate.over')
  for (const share of typeof min === 'number' ? [min] : Object.values(min)) {
    requireShare(share, 'createCache.hitRate.min')
  }
  requireWhole(answersMin, { place: 'createCache.hitRate.answersMin', min: 1 })
  return new HitRates({ minOf, overMs, answersMin }, timing)
}

const ttlsOf = ({ ttls = {} }: CacheOptions): ReadonlyMap<string, number> =>
  new Map(
    Object.entries(ttls).map(([kind, ttl]) => [kind, spanMs(ttl, `createCache.ttls['${kind}']`)]),
  )
