import type { WayTaken } from './answering.ts'
import { cacheStatus, ofBody } from './answering.ts'
import type { Making } from './cached-responses.ts'
import { CachedResponses } from './cached-responses.ts'
import type { NodeRequest, NodeResponse } from './node-messages.ts'
import { askedOf } from './node-messages.ts'
import type { AskedRequest } from './response-options.ts'
import { tap } from './response-tap.ts'
import type { StoredResponse } from './stored-response.ts'

/** The responses of a route of a server over Node's `http`. */
export class NodeResponses<Context extends readonly unknown[]> extends CachedResponses<
  Context,
  StoredResponse
> {
  /** Answers a request with what was kept, or calls `make`, and looks on while it answers. */
  async answer(
    request: NodeRequest,
    response: NodeResponse,
    context: Context,
    make: () => void,
  ): Promise<void> {
    const asked = askedOf(request)
    const way = await this.ask(context, asked)
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
    const present = response.getHeaders()
    const { status, headers } = this.sending(content, { asked, way, present })
    response.statusCode = status
    for (const [name, value] of headers) response.setHeader(name, value)
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
    tap(response, this.bodyBytesMax, (body) => {
      const { statusCode: status } = response
      const made =
        body && this.storable({ status, headers: response.getHeaders(), inherited, body })
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
}
