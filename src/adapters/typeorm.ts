import type { RowPart, TableWrite } from '../invalidate/table-write.ts'
import type { WrittenCache } from './writes/held-writes.ts'
import { HeldWrites, mayHaveCommitted } from './writes/held-writes.ts'

/** A column of an entity, as far as it is used here. */
interface ColumnMetadata {
  readonly databaseName: string
  readonly getEntityValue: (entity: never, transform: boolean) => unknown
}

/** An entity of TypeORM, as far as it is used here. */
interface EntityMetadata {
  readonly name: string
  readonly tablePath: string
  readonly columns: readonly ColumnMetadata[]
}

/** Something that TypeORM tells of a connection. */
export interface TypeormEvent {
  readonly queryRunner: object
}

/** A write that TypeORM tells of: of an entity, or of a statement of its query builder, which knows no rows. */
export interface TypeormWrite extends TypeormEvent {
  readonly metadata: EntityMetadata
  readonly entity?: object | undefined
  readonly databaseEntity?: object | undefined
  readonly entityId?: unknown
  readonly updatedColumns?: readonly ColumnMetadata[]
  readonly updatedRelations?: readonly { readonly joinColumns?: readonly ColumnMetadata[] }[]
}

/** A statement that TypeORM has asked. */
export interface TypeormQuery extends TypeormEvent {
  readonly query: string
  readonly success: boolean
  readonly error?: unknown
}

/** A subscriber of TypeORM, as {@link cacheSubscriber} makes it. */
export interface CacheSubscriber {
  readonly afterInsert: (event: TypeormWrite) => Promise<void>
  readonly afterUpdate: (event: TypeormWrite) => Promise<void>
  readonly afterRemove: (event: TypeormWrite) => Promise<void>
  readonly afterSoftRemove: (event: TypeormWrite) => Promise<void>
  readonly afterRecover: (event: TypeormWrite) => Promise<void>
  readonly afterTransactionStart: (event: TypeormEvent) => void
  readonly afterTransactionCommit: (event: TypeormEvent) => Promise<void>
  readonly afterTransactionRollback: (event: TypeormEvent) => void
  readonly afterQuery: (event: TypeormQuery) => Promise<void>
}

/** A transaction of a connection: how deep it is nested, and what it has written. */
interface Transaction {
  readonly held: HeldWrites
  depth: number
}

/**
 * A subscriber of TypeORM whose writes invalidate a cache. After `await dataSource.initialize()`:
 * `dataSource.subscribers.push(cacheSubscriber(cache))`.
 *
 * Guarantees: what entities, repositories and query builders write invalidates when it is committed and before the promise of the
 * write, or of its transaction, resolves; never after a rollback, nor after that of a nested transaction. Query builders do not
 * tell which rows they touch; of those with `callListeners(false)` nothing is heard.
 */
export function cacheSubscriber(cache: WrittenCache): CacheSubscriber {
  const transactions = new WeakMap<object, Transaction>()
  const wrote = async ({ queryRunner }: TypeormEvent, write: TableWrite): Promise<void> => {
    const transaction = transactions.get(queryRunner)
    if (transaction === undefined) await cache.wrote([write])
    else transaction.held.add([write])
  }
  const changed = (event: TypeormWrite): Promise<void> => wrote(event, updateOf(event))
  return {
    afterInsert: (event) => wrote(event, insertOf(event)),
    afterUpdate: changed,
    afterSoftRemove: changed,
    afterRecover: changed,
    afterRemove: (event) => wrote(event, removalOf(event)),
    afterTransactionStart({ queryRunner }) {
      const transaction = transactions.get(queryRunner) ?? { held: new HeldWrites(), depth: 0 }
      transaction.held.savepoint(String(transaction.depth))
      transaction.depth += 1
      transactions.set(queryRunner, transaction)
    },
    async afterTransactionCommit({ queryRunner }) {
      const transaction = transactions.get(queryRunner)
      if (transaction === undefined) return
      transaction.depth -= 1
      if (transaction.depth > 0) return
      transactions.delete(queryRunner)
      await cache.wrote(transaction.held.take())
    },
    afterTransactionRollback({ queryRunner }) {
      const transaction = transactions.get(queryRunner)
      if (transaction === undefined) return
      transaction.depth -= 1
      transaction.held.rollbackTo(String(transaction.depth))
      if (transaction.depth === 0) transactions.delete(queryRunner)
    },
    async afterQuery({ queryRunner, query, success, error }) {
      if (success || query !== 'COMMIT' || !mayHaveCommitted(error)) return
      await cache.wrote(transactions.get(queryRunner)?.held.take() ?? [])
    },
  }
}

const writeOf = (
  { name, tablePath }: EntityMetadata,
  rows: readonly RowPart[] | null,
  columns: readonly string[] | null,
): TableWrite => ({ table: tablePath, model: name, rows, columns })

/** An entity that was saved has an id; what a query builder has inserted may have been there already. */
function insertOf({ metadata, entity, entityId }: TypeormWrite): TableWrite {
  const isSaved = entity !== undefined && entityId !== undefined
  return writeOf(metadata, isSaved ? [rowOf(metadata.columns, entity)] : null, null)
}

function updateOf(event: TypeormWrite): TableWrite {
  const { metadata, entity, databaseEntity, updatedColumns = [], updatedRelations = [] } = event
  if (entity === undefined || databaseEntity === undefined) {
    // Of a query builder: what it sets is known.
    const set = entity === undefined ? [] : Object.keys(rowOf(metadata.columns, entity))
    return writeOf(metadata, null, set.length === 0 ? null : set)
  }
  const joined = updatedRelations.flatMap(({ joinColumns = [] }) => joinColumns)
  const set = [...updatedColumns, ...joined]
  const before = rowOf(metadata.columns, databaseEntity)
  const after = { ...before, ...rowOf(set, entity) }
  const columns = set.map(({ databaseName }) => databaseName)
  return writeOf(metadata, [before, after], columns.length === 0 ? null : columns)
}

function removalOf({ metadata, entity, databaseEntity }: TypeormWrite): TableWrite {
  const row = databaseEntity ?? entity
  return writeOf(metadata, row === undefined ? null : [rowOf(metadata.columns, row)], null)
}

/** What an entity tells of its row. */
const rowOf = (columns: readonly ColumnMetadata[], entity: object): RowPart =>
  Object.fromEntries(
    columns
      .map((column) => [column.databaseName, column.getEntityValue(entity as never, true)] as const)
      .filter(([, value]) => value !== undefined),
  )
