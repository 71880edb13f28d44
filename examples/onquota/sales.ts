import type { CacheManager } from 'tidemark/cache'
import type { TenantId } from './caches.ts'
import { patterns } from './caches.ts'
import type { Transactions } from './database.ts'
import { one } from './database.ts'

/** A quote as the API gives it. */
export interface Quote {
  readonly id: number
  readonly client_id: number
  readonly status: 'DRAFT' | 'SENT' | 'ACCEPTED' | 'REJECTED'
  readonly total: string
}

/** What a quote is made of. */
export interface QuoteData {
  readonly clientId: number
  readonly total: number
}

const columns = 'id::int, client_id::int, status, total::text'

/** What is done with quotes. */
export interface SalesDesk {
  create(tenant: TenantId, data: QuoteData): Promise<Quote>
  setStatus(tenant: TenantId, id: number, status: Quote['status']): Promise<Quote>
  delete(tenant: TenantId, id: number): Promise<void>
  import(tenant: TenantId, quotes: readonly QuoteData[]): Promise<number>
  correctTotals(factor: number): Promise<void>
}

/** Quotes: whatever is written concerns the lists of quotes and the dashboard. */
export function salesOf(cache: CacheManager, database: Transactions): SalesDesk {
  class Sales implements SalesDesk {
    @cache.invalidates(...patterns.quotes)
    async create(tenant: TenantId, { clientId, total }: QuoteData): Promise<Quote> {
      return one<Quote>(
        database,
        `insert into quotes (tenant_id, client_id, total)
         select tenant_id, id, $3 from clients where tenant_id = $1 and id = $2 returning ${columns}`,
        [tenant, clientId, total],
      )
    }

    /** Of one tenant alone, and the numbers of the dashboard only when they change: when it is accepted. */
    @cache.invalidates('quotes:list:{0}:*', 'quotes:summary:{0}:*')
    @cache.invalidates('dashboard:kpis:{0}:*', 'dashboard:top_clients:{0}:*', {
      when: (quote: Quote) => quote.status === 'ACCEPTED',
    })
    async setStatus(tenant: TenantId, id: number, status: Quote['status']): Promise<Quote> {
      return one<Quote>(
        database,
        `update quotes set status = $3 where tenant_id = $1 and id = $2 returning ${columns}`,
        [tenant, id, status],
      )
    }

    @cache.invalidates(...patterns.quotes)
    async delete(tenant: TenantId, id: number): Promise<void> {
      await one(database, `delete from quotes where tenant_id = $1 and id = $2 returning id`, [
        tenant,
        id,
      ])
    }

    /** Many quotes or none: what they invalidate waits for the commit. */
    import(tenant: TenantId, quotes: readonly QuoteData[]): Promise<number> {
      return cache.afterCommit(() =>
        database.transaction(async (transaction) => {
          const sales = salesOf(cache, { ...database, query: transaction.query })
          for (const quote of quotes) await sales.create(tenant, quote)
          return quotes.length
        }),
      )
    }

    /** Corrects what concerns everybody. */
    @cache.invalidates('*')
    async correctTotals(factor: number): Promise<void> {
      await database.query('update quotes set total = total * $1', [factor])
    }
  }
  return new Sales()
}
