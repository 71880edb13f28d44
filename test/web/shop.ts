import type { CacheManager } from '../../src/cache.ts'
import type { Gate } from '../support/gate.ts'

/** What a handler answers, in the words of no framework. */
export interface Handled {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly run: number; readonly what: string }
}

/** What runs behind the routes of every framework under test. */
export class Shop {
  runs = 0
  /** Handlers wait for it. */
  gate: Gate<void> | undefined

  async read(what: string | null): Promise<Handled> {
    this.runs += 1
    const run = this.runs
    await this.gate?.passed
    const { status = 200, ...headers } = answers[what ?? ''] ?? {}
    // What is the same has the same entity tag.
    const body = { run: what === 'same' ? 0 : run, what: what ?? '' }
    return { status, headers: headers as Record<string, string>, body }
  }
}

const answers: Readonly<Record<string, { status?: number; [header: string]: string | number }>> = {
  missing: { status: 404 },
  cookie: { 'set-cookie': 'session=1' },
  private: { 'cache-control': 'private' },
  'no-store': { 'cache-control': 'no-store' },
  varying: { vary: 'Accept-Encoding' },
  language: { vary: 'Accept-Language' },
  marked: { 'x-mark': 'of the handler' },
}

/** A server of a framework: `GET /mine` and `/open?what=` are kept, `/write/:tenantId?status=` invalidates. */
export interface Served {
  readonly url: string
  readonly stop: () => Promise<unknown>
}

/** Starts a server whose routes are {@link Shop}'s. */
export type Serve = (cache: CacheManager, shop: Shop) => Promise<Served>

/** Where a request says whose it is; a tenant of 0 is none. */
export const tenantOf = (header: string | null | undefined): number | null =>
  Number(header ?? 0) || null

/** The options of `/open`. */
export const open = { vary: ['Accept-Language'], credentials: ['x-api-key'], bodyBytesMax: 1_000 }

/** What `/write` invalidates. */
export const written = ['mine:tenant_{tenantId}:*', 'open:*'] as const
