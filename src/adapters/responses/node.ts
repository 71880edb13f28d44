import type { CacheManager } from '../../engine/caches/create-cache.ts'
import type { Policy, WayTaken } from './answering.ts'
import { cacheStatus, ofBody, policyOf, sendingOf, withPresent } from './answering.ts'
import type { NodeRequest, NodeResponse } from './node-messages.ts'
import { askedOf } from './node-messages.ts'
import type { AskedRequest, Making, ResponseOptions } from './cached-responses.ts'
import { CachedResponses } from './cached-responses.ts'
import { tap } from './response-tap.ts'
import type { Storable, StoredResponse } from './stored-response.ts'
import { bodyBytesMaxDefault, ownHeaders, storable } from './stored-response.ts'

/** The responses of a route of a server over Node's `http`. */
export class NodeResponses<Context extends readonly unknown[]> {
  readonly #responses: CachedResponses<Context, StoredResponse>
  readonly #policy: Policy
  readonly #bodyBytesMax: number

  constructor(cache: CacheManager, name: string, options: ResponseOptions<Context>) {
    this.#policy = policyOf(name, options)
    this.#responses = new CachedResponses(cache, name, options)
    this.#bodyBytesMax = options.bodyBytesMax ?? bodyBytesMaxDefault
  }

  /** Answers a request with what was kept, or calls `make`, and looks on while it answers. */
  async answer(
    request: NodeRequest,
    response: NodeResponse,
    context: Context,
    make: () => void,
  ): Promise<void> {
    const asked = askedOf(request)
    const way = await this.#responses.ask(context, asked)
    if (way.kind === 'kept') {
      for (const [name, value] of way.content.headers) response.setHeader(name, value)
      const isEmpty = this.#prepare(response, way.content, asked, way)
      response.end(...(isEmpty ? [] : [way.content.body]))
      return
    }
    response.setHeader('cache-status', cacheStatus(way))
    if (way.keeps) this.#watch(request, response, asked, way)
    make()
  }

  /** Sets what a response says of itself; whether it is a 304. */
  #prepare(
    response: NodeResponse,
    content: StoredResponse,
    asked: AskedRequest,
    way: WayTaken,
  ): boolean {
    const { status, headers } = sendingOf(content, this.#policy, asked, way)
    response.statusCode = status
    const present = response.getHeaders()
    for (const [name, value] of headers) {
      response.setHeader(name, withPresent(name, value, present[name]))
    }
    if (status === 304) for (const name of ofBody) response.removeHeader(name)
    return status === 304
  }

  #watch(
    request: NodeRequest,
    response: NodeResponse,
    asked: AskedRequest,
    way: Making<StoredResponse>,
  ): void {
    const inherited = response.getHeaders()
    // Express would answer 304 by itself, and there would be no body to keep; `asked` remembers them.
    for (const name of ['if-none-match', 'if-modified-since'])
      Reflect.deleteProperty(request.headers, name)
    response.once('close', () => {
      way.settle(null)
    })
    tap(response, this.#bodyBytesMax, (body) => {
      const made = body === null ? null : this.#storable(response, body, inherited)
      if (made === null) return { isEmpty: false, ended: () => undefined }
      const { response: content, ttlSeconds } = made
      const isEmpty = !response.headersSent && this.#prepare(response, content, asked, way)
      return {
        isEmpty,
        ended: () => {
          // A session may have set its cookie while the head was written.
          const hasCookie = 'set-cookie' in response.getHeaders()
          way.settle(hasCookie ? null : { content, ttlSeconds })
        },
      }
    })
  }

  #storable(
    response: NodeResponse,
    body: Uint8Array,
    inherited: ReturnType<NodeResponse['getHeaders']>,
  ): Storable | null {
    const headers = ownHeaders(response.getHeaders(), inherited)
    return storable({ status: response.statusCode, headers, body }, this.#responses.keyed)
  }
}
