import type { AnswerState } from '../../model/answer.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { CacheManager } from '../../engine/caches/create-cache.ts'
import type { Kind } from '../../engine/caches/kind.ts'
import type { DependsOn } from '../../invalidate/dependency.ts'
import type { Policy, Sending, WayTaken } from './answering.ts'
import { policyOf, sendingOf } from './answering.ts'
import type { Settled } from './passage.ts'
import { Passage } from './passage.ts'
import type { AskedRequest, ResponseOptions, Tenant } from './response-options.ts'
import type { Storable, StoredResponse } from './stored-response.ts'
import { ownHeaders, storable } from './stored-response.ts'

/** How a request is answered: with what was kept, or by its handler, which is then to be told. */
export type Way<Content> =
  | {
      readonly kind: 'kept'
      readonly content: Content
      readonly ageMs: number
      readonly state: AnswerState
    }
  | Making<Content>

/** The handler is to be run. */
export interface Making<Content> {
  readonly kind: 'made'
  /** Whether what it makes may be kept at all. */
  readonly keeps: boolean
  /** To be called once it is known what was made; null: nothing that may be kept. Calls after the first do nothing. */
  readonly settle: (settled: Settled<Content> | null) => void
}

type Headers = Readonly<Record<string, unknown>>

/** What a handler has made. */
interface Made {
  readonly status: number
  readonly headers: Headers
  /** Those that were set before it. */
  readonly inherited: Headers
  readonly body: Uint8Array
}

/** So are requests marked that say who asks. */
const credentialHeaders = ['authorization', 'cookie']
const safeMethods = ['GET', 'HEAD']
const bodyBytesMaxDefault = 1024 * 1024

/**
 * The responses of a route, as a kind of entries.
 *
 * Of requests for the same thing at the same time one runs its handler, and the others get its response if it may be kept;
 * if not, each runs its own.
 */
export class CachedResponses<Context extends readonly unknown[], Content> {
  readonly #options: ResponseOptions<Context>
  readonly #kind: Kind<[tenant: Tenant, passage: Passage<Content>], Content | null>
  /** Longer bodies are not kept. */
  readonly bodyBytesMax: number
  readonly #policy: Policy
  /** Request headers that are part of the key. */
  readonly #keyed: readonly string[]
  readonly #credentials: readonly string[]

  constructor(cache: CacheManager, name: string, options: ResponseOptions<Context>) {
    const { ttl, dependsOn, tenant, hardTimeout, version = name } = options
    const { credentials = [], vary = [] } = options
    if (dependsOn !== undefined && tenant === undefined) requireNoTenant(name, dependsOn)
    this.#options = options
    this.bodyBytesMax = options.bodyBytesMax ?? bodyBytesMaxDefault
    this.#policy = policyOf(name, options)
    this.#keyed = vary.map((each) => each.toLowerCase())
    this.#credentials = [...credentialHeaders, ...credentials].map((each) => each.toLowerCase())
    this.#kind = cache.define(
      name,
      (_tenant: Tenant, passage: Passage<Content>) => passage.load(),
      {
        ...(ttl === undefined ? {} : { ttl }),
        ...(hardTimeout === undefined ? {} : { hardTimeout }),
        ...(dependsOn === undefined ? {} : { dependsOn }),
        tenant: tenant === undefined ? false : (of) => of,
        params: (_tenant, { params }) => params,
        tags: (_tenant, { tags }) => tags,
        version,
        // A handler cannot be run when nobody asks.
        eagerness: 0,
      },
    )
  }

  /** How this request is answered. @throws TidemarkError TIDEMARK_CACHE_INVALID for options that do not fit. */
  async ask(context: Context, asked: AskedRequest): Promise<Way<Content>> {
    const tenant = this.#options.tenant?.(...context) ?? null
    if (!this.#mayKeep(asked, tenant)) return unkept
    const passage = new Passage<Content>(this.#params(context, asked), this.#tags(context))
    const answer = this.#kind.get(tenant ?? '', passage).catch((error: unknown) => {
      if (error instanceof TidemarkError && error.code === 'TIDEMARK_CACHE_INVALID') throw error
      // Nobody else's response came in time: this request has its own made.
      return null
    })
    const first = await Promise.race([passage.led, answer])
    if (first === 'led') return { kind: 'made', keeps: true, settle: passage.settle }
    passage.end()
    if (first === null || first.value === null) return unkept
    return { kind: 'kept', content: first.value, ageMs: first.ageMs, state: first.state }
  }

  /** What may be kept of what a handler has made; null: nothing. */
  storable({ status, headers, inherited, body }: Made): Storable | null {
    if (body.length > this.bodyBytesMax) return null
    return storable({ status, headers: ownHeaders(headers, inherited), body }, this.#keyed)
  }

  /** How a response is sent that may be kept, where headers are `present` already. */
  sending(
    response: StoredResponse,
    of: { readonly asked: AskedRequest; readonly way: WayTaken; readonly present: Headers },
  ): Sending {
    return sendingOf(response, this.#policy, of)
  }

  #mayKeep(asked: AskedRequest, tenant: Tenant | null): boolean {
    if (!safeMethods.includes(asked.method) || asked.header('range') !== undefined) return false
    if (this.#options.tenant !== undefined) return tenant !== null
    return this.#credentials.every((name) => asked.header(name) === undefined)
  }

  #params(context: Context, { method, target, header }: AskedRequest): readonly unknown[] {
    const { key } = this.#options
    const what =
      key === undefined ? { [method]: target, host: header('host') } : { [method]: key(...context) }
    return [{ ...what, ...Object.fromEntries(this.#keyed.map((name) => [name, header(name)])) }]
  }

  #tags(context: Context): readonly string[] {
    const { tags = [] } = this.#options
    return typeof tags === 'function' ? tags(...context) : tags
  }
}

const unkept = { kind: 'made', keeps: false, settle: () => undefined } as const

/** A column alone is compared with the tenant, who has to be told then. */
function requireNoTenant(name: string, dependsOn: DependsOn<never>): void {
  const columns = Object.entries(dependsOn).find(([, rows]) => typeof rows === 'string')
  if (Array.isArray(dependsOn) || columns === undefined) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The responses '${name}' depend on rows of a tenant, and whose response it is is not said.`,
    mend: `Say it: tenant: (request) => …, or depend on the whole table: dependsOn: ['${columns[0]}'].`,
  })
}
