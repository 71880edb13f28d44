import { AsyncLocalStorage } from 'node:async_hooks'
import { must } from '../base/assert.ts'
import type { Cached, CachedOptions } from '../engine/caches/cache-options.ts'
import { cached } from '../engine/caches/cache-options.ts'
import type { CacheManager } from '../engine/caches/create-cache.ts'
import type { Kind } from '../engine/caches/kind.ts'
import type { TableWrite } from '../invalidate/table-write.ts'
import { TidemarkError } from '../model/errors.ts'
import { tablesIn } from './writes/drizzle-tables.ts'
import type { DrizzleDialect } from './writes/drizzle-writes.ts'
import { DrizzleStatements, nameOf } from './writes/drizzle-writes.ts'
import { committed, HeldWrites } from './writes/held-writes.ts'

/** Which queries of Drizzle are kept. */
export interface DrizzleCacheOptions {
  /**
   * The tables, `productos` or `ventas.productos`, whose queries may be kept: those that read these alone. Default: none, and Drizzle's
   * writes invalidate nevertheless.
   */
  readonly queries?: readonly string[]
  /** `all`: keep them without `$withCache()`. Default `explicit`. */
  readonly strategy?: 'explicit' | 'all'
}

/** What Drizzle says of how long a query is to be kept. */
interface KeepConfig {
  readonly ex?: number
  readonly px?: number
  readonly exat?: number
  readonly pxat?: number
}

/** What is to be invalidated by hand: `db.$cache.invalidate({ tags: 'baratos' })`. */
export interface DrizzleInvalidation {
  readonly tags?: string | string[]
  readonly tables?: unknown
}

/** A database of Drizzle, as far as it is used here. */
export interface DrizzleDatabase {
  readonly _: { readonly session: unknown }
}

interface Metadata {
  readonly type: 'select' | 'insert' | 'update' | 'delete'
  readonly tables: readonly string[]
}

interface Prepared {
  execute: (...args: readonly unknown[]) => Promise<unknown>
}

type PrepareArguments = [
  query: { readonly sql: string },
  fields: unknown,
  name: unknown,
  isResponseInArrayMode: unknown,
  mapper: unknown,
  metadata: Metadata | undefined,
  ...rest: unknown[],
]

type Transact = (
  body: (tx: Transaction) => Promise<unknown>,
  ...rest: readonly unknown[]
) => Promise<unknown>

interface Session {
  readonly dialect: DrizzleDialect
  prepareQuery: (...args: PrepareArguments) => Prepared
  transaction: Transact
}

interface Transaction extends DrizzleDatabase {
  transaction: Transact
}

/** A query that is being asked, whose answer fills an entry if it turns out that there is none. */
interface Filling {
  readonly asked: Later<undefined>
  readonly response: Later<Cached<unknown>>
}

interface Later<Value> {
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
  readonly reject: (error: Error) => void
}

/**
 * Drizzle's own cache interface over a Tidemark cache:
 *
 * ```ts
 * const queries = drizzleCache(cache, { queries: ['productos'] })
 * const db = queries.watch(drizzle({ client: pool, cache: queries }))
 * ```
 *
 * Guarantees: a write of the query builder invalidates when it is committed and before its promise resolves; never after a
 * rollback, nor after one to a savepoint. A query is kept behind the same fences as any entry; within a transaction nothing is
 * read from the cache and nothing is kept.
 */
export class DrizzleCache {
  readonly #cache: Pick<CacheManager, 'define' | 'remove' | 'wrote'>
  readonly #tables: ReadonlySet<string>
  readonly #strategy: 'explicit' | 'all'
  readonly #kinds = new Map<string, Kind<[string], unknown>>()
  readonly #filling = new AsyncLocalStorage<Filling>()
  /** By session, while it is in a transaction. */
  readonly #held = new WeakMap<Session, HeldWrites>()
  readonly #watched = new WeakSet<Session>()
  readonly #statements = new WeakMap<DrizzleDialect, DrizzleStatements>()
  #isWatching = false
  #savepoints = 0

  constructor(
    cache: Pick<CacheManager, 'define' | 'remove' | 'wrote'>,
    { queries = [], strategy = 'explicit' }: DrizzleCacheOptions,
  ) {
    this.#cache = cache
    this.#tables = new Set(queries)
    this.#strategy = strategy
    // From the beginning, so that cache.start() sees what the database must tell of.
    for (const table of queries) this.#kindOf([table])
  }

  /**
   * Has a database tell of its commits; returns it.
   *
   * Drizzle itself calls `onMutate` while a write is under way and, in a transaction, before it is committed: whoever
   * invalidated then would let the next reader keep what was there before.
   */
  watch<Database extends DrizzleDatabase>(db: Database): Database {
    this.#isWatching = true
    this.#watchSession(db._.session as Session)
    // Drizzle has set it to onMutate, by which it also tells of writes that are not committed.
    Object.assign(this, { invalidate: (of: DrizzleInvalidation) => this.#invalidate(of) })
    return db
  }

  /** Drizzle asks before each query. @throws TidemarkError TIDEMARK_CACHE_INVALID while no database is watched. */
  strategy(): 'explicit' | 'all' {
    if (this.#isWatching) return this.#strategy
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: 'Drizzle does not tell its cache of commits, and the database that does is not watched.',
      mend: 'Write const db = queries.watch(drizzle({ client, cache: queries })).',
    })
  }

  /** What is kept of a query; undefined has Drizzle ask the database. */
  async get(
    key: string,
    tables: string[],
    _isTag: boolean,
    isAutoInvalidate = true,
  ): Promise<never[] | undefined> {
    const filling = this.#filling.getStore()
    if (filling === undefined || !tables.every((table) => this.#tables.has(table))) return undefined
    const kept = this.#kindOf(isAutoInvalidate ? tables : [])
      .get(key)
      .then(({ value }) => value)
      .catch(() => undefined)
    // What was put is what Drizzle takes back.
    return Promise.race([kept, filling.asked.promise]) as Promise<never[] | undefined>
  }

  /** Keeps the answer of a query for which {@link get} found nothing, unless its tables have changed since. */
  put(
    key: string,
    response: unknown,
    ...[, isTag, config = {}]: [tables: string[], isTag: boolean, config?: KeepConfig]
  ): Promise<void> {
    const options = { ...keptFor(config), ...(isTag ? { tags: [key] } : {}) }
    this.#filling.getStore()?.response.resolve(cached(plain(response), options))
    return Promise.resolve()
  }

  /** Nothing: by the time that Drizzle calls it the write is not committed. */
  onMutate(): Promise<void> {
    return Promise.resolve()
  }

  async #invalidate({ tags = [], tables = [] }: DrizzleInvalidation): Promise<void> {
    const named = [tags].flat()
    if (named.length > 0) await this.#cache.remove({ tags: named })
    await this.#cache.wrote([tables].flat().map((table) => writeTo(nameOf(table))))
  }

  #kindOf(tables: readonly string[]): Kind<[string], unknown> {
    const name = ['drizzle', ...[...tables].sort().map(wordOf)].join(':')
    const found = this.#kinds.get(name)
    if (found !== undefined) return found
    const load = (): Promise<Cached<unknown>> => {
      const { asked, response } = must(
        this.#filling.getStore(),
        'a load begins where a query is asked',
      )
      asked.resolve(undefined)
      return response.promise
    }
    // Nobody but who asks a query can load it: no renewals.
    const kind = this.#cache.define<[string], unknown>(name, load, {
      dependsOn: tables,
      version: 'drizzle',
      eagerness: 0,
    })
    this.#kinds.set(name, kind)
    return kind
  }

  #watchSession(session: Session): void {
    if (this.#watched.has(session)) return
    this.#watched.add(session)
    const statements = this.#statementsOf(session.dialect)
    const prepare = session.prepareQuery.bind(session)
    session.prepareQuery = (...args) => {
      const [query, fields, name, mode, mapper, metadata, ...rest] = args
      if (metadata === undefined) return prepare(...args)
      const { type } = metadata
      // Drizzle names the tables of FROM and of joins, and not those of subqueries.
      const tables =
        type === 'select'
          ? [...new Set([...metadata.tables, ...tablesIn(query.sql)])]
          : metadata.tables
      const prepared = prepare(query, fields, name, mode, mapper, { type, tables }, ...rest)
      const execute = prepared.execute.bind(prepared)
      const writesOf = (result: unknown): TableWrite[] => {
        const writes = statements.writesOf(query, result)
        return type === 'select' || writes.length > 0 ? writes : tables.map(writeTo)
      }
      prepared.execute =
        type === 'select' && writesOf(null).length === 0
          ? (...given) => this.#ask(session, () => execute(...given))
          : (...given) => this.#write(session, writesOf, () => execute(...given))
      return prepared
    }
    const transact = session.transaction.bind(session)
    session.transaction = (body, ...rest) => this.#transact(transact, body, rest)
  }

  #statementsOf(dialect: DrizzleDialect): DrizzleStatements {
    const statements = this.#statements.get(dialect) ?? new DrizzleStatements(dialect)
    this.#statements.set(dialect, statements)
    return statements
  }

  #ask(session: Session, execute: () => Promise<unknown>): Promise<unknown> {
    if (this.#held.has(session)) return execute()
    const filling: Filling = { asked: later(), response: later() }
    filling.response.promise.catch(() => undefined)
    return this.#filling.run(filling, () =>
      execute().finally(() => {
        // Of no effect where put() was called.
        filling.response.reject(new Error('the query has no answer that can be kept'))
      }),
    )
  }

  async #write(
    session: Session,
    writesOf: (result: unknown) => readonly TableWrite[],
    execute: () => Promise<unknown>,
  ): Promise<unknown> {
    const held = this.#held.get(session)
    if (held === undefined) return committed(this.#cache, execute, writesOf)
    const result = await execute()
    held.add(writesOf(result))
    return result
  }

  async #transact(
    transact: Transact,
    body: Parameters<Transact>[0],
    rest: readonly unknown[],
  ): Promise<unknown> {
    const held = new HeldWrites()
    let isDone = false
    const watched = async (tx: Transaction): Promise<unknown> => {
      const session = tx._.session as Session
      this.#watchSession(session)
      this.#watchSavepoints(tx, held)
      this.#held.set(session, held)
      try {
        const result = await body(tx)
        isDone = true
        return result
      } finally {
        this.#held.delete(session)
      }
    }
    return committed(
      this.#cache,
      () => transact(watched, ...rest),
      // Where the body has thrown, no commit was tried.
      () => (isDone ? held.take() : []),
    )
  }

  /** A transaction within a transaction is a savepoint. */
  #watchSavepoints(tx: Transaction, held: HeldWrites): void {
    const transact = tx.transaction.bind(tx)
    tx.transaction = async (body, ...rest) => {
      const name = `savepoint ${(this.#savepoints += 1)}`
      held.savepoint(name)
      try {
        return await transact(
          (inner) => {
            this.#watchSavepoints(inner, held)
            return body(inner)
          },
          ...rest,
        )
      } catch (error) {
        held.rollbackTo(name)
        throw error
      }
    }
  }
}

/** Drizzle's own cache interface over a Tidemark cache; {@link DrizzleCache} says what it guarantees. */
export function drizzleCache(
  cache: Pick<CacheManager, 'define' | 'remove' | 'wrote'>,
  options: DrizzleCacheOptions = {},
): DrizzleCache {
  return new DrizzleCache(cache, options)
}

function later<Value>(): Later<Value> {
  let settle: Omit<Later<Value>, 'promise'> | undefined
  const promise = new Promise<Value>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, ...must(settle, 'a promise calls its executor at once') }
}

const writeTo = (table: string): TableWrite => ({ table, rows: null, columns: null })

/** A table as a word of a kind: letters, digits and underscores, a letter first. */
const wordOf = (table: string): string => table.replaceAll(/\W/g, '_').replace(/^(?![A-Za-z])/, 't')

/** What a driver has answered, without its own classes: they would not come back from Redis. */
function plain(response: unknown): unknown {
  if (Array.isArray(response)) return [...(response as readonly unknown[])]
  const { rows, rowCount, command } = response as Readonly<Record<string, unknown>>
  return { rows, rowCount, command }
}

/** How long a query is to be kept, as Drizzle says it. */
function keptFor({ ex, px, exat, pxat }: KeepConfig): Pick<CachedOptions, 'ttl'> {
  const until = pxat ?? (exat === undefined ? undefined : exat * 1_000)
  const ms =
    px ??
    (ex === undefined ? undefined : ex * 1_000) ??
    (until === undefined ? undefined : until - Date.now())
  return ms === undefined ? {} : { ttl: `${Math.max(1, Math.round(ms))}ms` }
}
