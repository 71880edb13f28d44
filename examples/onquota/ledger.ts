import type { CacheManager } from 'tidemark/cache'
import type { TenantId } from './caches.ts'
import { patterns } from './caches.ts'
import type { Database } from './database.ts'
import { one } from './database.ts'

/** The id of what was written. */
interface Written {
  readonly id: number
}

/** What is done with expenses. */
export interface Expenses {
  create: (tenant: TenantId, amount: number, spentOn: string) => Promise<Written>
  update: (tenant: TenantId, id: number, amount: number) => Promise<Written>
  delete: (tenant: TenantId, id: number) => Promise<Written>
}

/** Expenses, as plain functions: they concern two numbers of the dashboard. */
export function expensesOf(cache: CacheManager, database: Database): Expenses {
  const invalidating = cache.invalidates(...patterns.expenses)
  return {
    create: invalidating((tenant: TenantId, amount: number, spentOn: string) =>
      one<Written>(
        database,
        `insert into expenses (tenant_id, amount, spent_on) values ($1, $2, $3) returning id::int`,
        [tenant, amount, spentOn],
      ),
    ),
    update: invalidating((tenant: TenantId, id: number, amount: number) =>
      one<Written>(
        database,
        `update expenses set amount = $3 where tenant_id = $1 and id = $2 returning id::int`,
        [tenant, id, amount],
      ),
    ),
    delete: invalidating((tenant: TenantId, id: number) =>
      one<Written>(
        database,
        `delete from expenses where tenant_id = $1 and id = $2 returning id::int`,
        [tenant, id],
      ),
    ),
  }
}

/** What is done with clients. */
export interface Clients {
  create: (tenant: TenantId, name: string) => Promise<Written>
  rename: (tenant: TenantId, id: number, name: string) => Promise<Written>
  delete: (tenant: TenantId, id: number) => Promise<Written>
}

/** Clients: a new name shows among the best of them and changes no number. */
export function clientsOf(cache: CacheManager, database: Database): Clients {
  return {
    create: cache.invalidates(...patterns.clients)((tenant: TenantId, name: string) =>
      one<Written>(
        database,
        `insert into clients (tenant_id, name) values ($1, $2) returning id::int`,
        [tenant, name],
      ),
    ),
    rename: cache.invalidates(...patterns.clientUpdated)(
      (tenant: TenantId, id: number, name: string) =>
        one<Written>(
          database,
          `update clients set name = $3 where tenant_id = $1 and id = $2 returning id::int`,
          [tenant, id, name],
        ),
    ),
    delete: cache.invalidates(...patterns.clients)((tenant: TenantId, id: number) =>
      one<Written>(
        database,
        `delete from clients where tenant_id = $1 and id = $2 returning id::int`,
        [tenant, id],
      ),
    ),
  }
}
