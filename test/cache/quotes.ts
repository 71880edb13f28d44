import type { CacheManager } from '../../src/cache.ts'

/** A quote, as the service makes it. */
export interface Quote {
  readonly id: number
  readonly tenantId: number
  readonly status: 'DRAFT' | 'ACCEPTED'
}

/** A service that writes. */
export interface QuoteService {
  readonly written: readonly Quote[]
  create(quote: Quote): Promise<Quote>
}

/** One with standard decorators. */
export function quotesOf(cache: CacheManager): QuoteService {
  class Quotes implements QuoteService {
    readonly written: Quote[] = []

    @cache.invalidates('quotes:list:tenant_{tenantId}:*')
    @cache.invalidates('dashboard:*', {
      when: (quote: Quote) => quote.status === 'ACCEPTED',
    })
    async create(quote: Quote): Promise<Quote> {
      if (quote.id < 0) throw new Error('there is no such quote')
      this.written.push(quote)
      return Promise.resolve(quote)
    }
  }
  return new Quotes()
}
