import type { WrittenCache } from './writes/held-writes.ts'
import { committed, HeldWrites } from './writes/held-writes.ts'
import type { KyselyNode, KyselyResult } from './writes/kysely-writes.ts'
import { writesOf } from './writes/kysely-writes.ts'

interface CompiledQuery {
  readonly query: KyselyNode
}

interface Connection {
  executeQuery: (query: CompiledQuery) => Promise<KyselyResult>
  streamQuery: (query: CompiledQuery, chunkSize?: number) => AsyncIterableIterator<KyselyResult>
}

type OnConnection = (connection: never, ...rest: never[]) => Promise<void>

/** A driver of Kysely, as far as it is used here. */
export interface KyselyDriver {
  acquireConnection: () => Promise<unknown>
  beginTransaction: OnConnection
  commitTransaction: OnConnection
  rollbackTransaction: OnConnection
  savepoint?: OnConnection
  rollbackToSavepoint?: OnConnection
}

/** A dialect of Kysely, as far as it is used here. */
export interface KyselyDialect {
  createDriver: () => KyselyDriver
}

/**
 * A dialect of Kysely whose writes invalidate a cache: `new Kysely({ dialect: cacheDialect(cache, new PostgresDialect({ pool })) })`.
 *
 * Guarantees: inserts, updates, deletes and merges of the query builder, within WITH as well, invalidate when they are committed
 * and before their promise resolves; never after a rollback, nor after one to a savepoint. It is a dialect, not a plugin: a
 * plugin is not told of commits.
 */
export function cacheDialect<Dialect extends KyselyDialect>(
  cache: WrittenCache,
  dialect: Dialect,
): Dialect {
  return new Proxy(dialect, {
    get(target, property) {
      if (property === 'createDriver') return () => watchDriver(cache, target.createDriver())
      const value: unknown = Reflect.get(target, property)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** Has a driver, which is nobody else's, tell of what it commits. */
function watchDriver(cache: WrittenCache, driver: KyselyDriver): KyselyDriver {
  /** By connection, while it is in a transaction. */
  const held = new WeakMap<object, HeldWrites>()
  const acquire = driver.acquireConnection.bind(driver)
  const watched = new WeakSet<object>()
  driver.acquireConnection = async () => {
    const connection = (await acquire()) as Connection
    if (!watched.has(connection)) watchConnection(cache, held, connection)
    watched.add(connection)
    return connection
  }
  const begin = driver.beginTransaction.bind(driver)
  driver.beginTransaction = async (connection, ...rest) => {
    await begin(connection, ...rest)
    held.set(connection, new HeldWrites())
  }
  const commit = driver.commitTransaction.bind(driver)
  driver.commitTransaction = async (connection) => {
    const writes = held.get(connection)?.take() ?? []
    held.delete(connection)
    await committed(
      cache,
      () => commit(connection),
      () => writes,
    )
  }
  const rollback = driver.rollbackTransaction.bind(driver)
  driver.rollbackTransaction = async (connection) => {
    held.delete(connection)
    await rollback(connection)
  }
  watchSavepoints(held, driver)
  return driver
}

function watchSavepoints(held: WeakMap<object, HeldWrites>, driver: KyselyDriver): void {
  const savepoint = driver.savepoint?.bind(driver)
  const rollbackTo = driver.rollbackToSavepoint?.bind(driver)
  if (savepoint === undefined || rollbackTo === undefined) return
  driver.savepoint = async (connection, ...rest) => {
    await savepoint(connection, ...rest)
    held.get(connection)?.savepoint(String(rest[0]))
  }
  driver.rollbackToSavepoint = async (connection, ...rest) => {
    await rollbackTo(connection, ...rest)
    held.get(connection)?.rollbackTo(String(rest[0]))
  }
}

function watchConnection(
  cache: WrittenCache,
  held: WeakMap<object, HeldWrites>,
  connection: Connection,
): void {
  const execute = connection.executeQuery.bind(connection)
  connection.executeQuery = async (compiled) => {
    const transaction = held.get(connection)
    if (transaction === undefined) {
      return committed(
        cache,
        () => execute(compiled),
        (result) => writesOf(compiled.query, result),
      )
    }
    const result = await execute(compiled)
    transaction.add(writesOf(compiled.query, result))
    return result
  }
  const stream = connection.streamQuery.bind(connection)
  connection.streamQuery = async function* (compiled, chunkSize) {
    // Who stops reading a stream early has written nevertheless.
    const writes = writesOf(compiled.query, null)
    try {
      yield* stream(compiled, chunkSize)
    } finally {
      const transaction = held.get(connection)
      if (transaction === undefined) await cache.wrote(writes)
      else transaction.add(writes)
    }
  }
}
