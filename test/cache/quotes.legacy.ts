import type { CacheManager } from '../../src/cache.ts'
import type { Quote, QuoteService } from './quotes.ts'

/** The same with the decorators of `experimentalDecorators`. */
export function legacyQuotesOf(cache: CacheManager): QuoteService {
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
