import { AsyncLocalStorage } from 'node:async_hooks'
import { must } from '../base/assert.ts'
import type { TableWrite } from '../invalidate/table-write.ts'
import type { WrittenCache } from './writes/held-writes.ts'
import { committed, HeldWrites } from './writes/held-writes.ts'
import type { PrismaModels } from './writes/prisma-writes.ts'
import { writesOf } from './writes/prisma-writes.ts'

/** A client of Prisma, as far as it is used here. */
export interface PrismaClientLike {
  readonly $extends: unknown
  readonly $transaction: unknown
}

interface Internals {
  readonly $extends: (extension: object) => unknown
  readonly $transaction: Transact
  readonly _runtimeDataModel: { readonly models: PrismaModels }
}

type Transact = (this: unknown, work: unknown, ...options: readonly unknown[]) => Promise<unknown>

/** A call of a model, as Prisma hands it to an extension. */
interface ModelCall {
  readonly model: string
  readonly operation: string
  readonly args: unknown
  readonly query: (args: unknown) => Promise<unknown>
  readonly __internalParams?: {
    readonly transaction?: { readonly kind: string; readonly id: unknown }
  }
}

/** What the client of a transaction tells of it, and no other client. */
const scope = Symbol.for('prisma.client.transaction.scope_context')

/**
 * An extension of Prisma's client whose writes invalidate a cache:
 * `const prisma = new PrismaClient({ adapter }).$extends(cacheExtension(cache))`.
 *
 * Guarantees: what models write, and what is written within that, invalidates when it is committed and before its promise, or that
 * of its transaction, resolves; never after a rollback, nor after that of a nested transaction.
 */
export function cacheExtension(
  cache: WrittenCache,
): <Client extends PrismaClientLike>(client: Client) => Client {
  return (client) => extended(cache, client)
}

function extended<Client extends PrismaClientLike>(cache: WrittenCache, client: Client): Client {
  const { _runtimeDataModel, $transaction, $extends } = client as unknown as Internals
  const transactions = new Map<unknown, HeldWrites>()
  const lists = new AsyncLocalStorage<HeldWrites>()
  const extension = {
    name: 'tidemark',
    query: {
      $allModels: {
        $allOperations: (call: ModelCall) => written(call, _runtimeDataModel.models),
      },
    },
    client: {
      $transaction(this: unknown, work: unknown, ...options: unknown[]): Promise<unknown> {
        const transact = (given: unknown): Promise<unknown> =>
          $transaction.call(this, given, ...options)
        const outer = idOf(this)
        if (typeof work !== 'function') {
          return outer === undefined ? listed(() => transact(work)) : transact(work)
        }
        return outer === undefined
          ? beginning(work as Body, transact)
          : nested(transactions.get(outer), () => transact(work))
      },
    },
  }
  const written = async (call: ModelCall, models: PrismaModels): Promise<unknown> => {
    const { model, operation, args, query, __internalParams: { transaction } = {} } = call
    const writes = (result: unknown): readonly TableWrite[] =>
      writesOf(models, { model, operation, args, result })
    const isListed = transaction?.kind === 'batch'
    const held = isListed ? lists.getStore() : transactions.get(transaction?.id)
    if (held === undefined) return committed(cache, () => query(args), writes)
    const result = await query(args).catch((error: unknown) => {
      // What becomes of the list is told by its own end: this call may have failed with its commit.
      if (isListed) held.add(writes(null))
      throw error
    })
    held.add(writes(result))
    return result
  }
  /** The calls of a list have their answers before all are committed. */
  const listed = (transact: () => Promise<unknown>): Promise<unknown> => {
    const held = new HeldWrites()
    return committed(
      cache,
      () => lists.run(held, transact),
      () => held.take(),
    )
  }
  const beginning = (work: Body, transact: (body: Body) => Promise<unknown>): Promise<unknown> => {
    const held = new HeldWrites()
    let isDone = false
    const body: Body = async (tx) => {
      const id = must(idOf(tx), 'the client of a transaction tells its id')
      transactions.set(id, held)
      try {
        const result = await work(tx)
        isDone = true
        return result
      } finally {
        transactions.delete(id)
      }
    }
    return committed(
      cache,
      () => transact(body),
      // Where the body has thrown, no commit was tried.
      () => (isDone ? held.take() : []),
    )
  }
  return $extends.call(client, extension) as Client
}

type Body = (tx: unknown) => Promise<unknown>

const idOf = (client: unknown): unknown =>
  (client as Readonly<Record<symbol, { readonly txId: unknown } | undefined>>)[scope]?.txId

async function nested(
  held: HeldWrites | undefined,
  transact: () => Promise<unknown>,
): Promise<unknown> {
  const name = `nested ${(nestedCount += 1)}`
  held?.savepoint(name)
  try {
    return await transact()
  } catch (error) {
    held?.rollbackTo(name)
    throw error
  }
}

let nestedCount = 0
