import type { WayTaken } from './answering.ts'
import { cacheStatus, ofBody } from './answering.ts'
import { CachedResponses } from './cached-responses.ts'
import type { AskedRequest } from './response-options.ts'
import type { Storable, StoredResponse } from './stored-response.ts'

/** The responses of a route of a server that speaks in `Request` and `Response`. */
export class WebResponses<Context extends readonly unknown[]> extends CachedResponses<
  Context,
  StoredResponse
> {
  /**
   * Answers a request with what was kept, or with what `make` makes of it. Headers that it had before its handler, in
   * `inherited`, are not kept.
   */
  async answer(
    request: Request,
    context: Context,
    make: () => Promise<Response>,
    inherited: Headers = new Headers(),
  ): Promise<Response> {
    const asked = askedOf(request)
    const way = await this.ask(context, asked)
    if (way.kind === 'kept') {
      const headers = new Headers(inherited)
      for (const [header, value] of way.content.headers) headers.set(header, value)
      return this.#sent(headers, way.content, asked, way)
    }
    try {
      const response = await make()
      const body = way.keeps && isWhole(response) ? await bodyOf(response, this.bodyBytesMax) : null
      const made = body instanceof Uint8Array ? this.#storableOf(response, body, inherited) : null
      if (made === null) return passedOn(response, body, way)
      way.settle({ content: made.response, ttlSeconds: made.ttlSeconds })
      return this.#sent(new Headers(response.headers), made.response, asked, way)
    } finally {
      way.settle(null)
    }
  }

  #storableOf(response: Response, body: Uint8Array, inherited: Headers): Storable | null {
    return this.storable({
      status: response.status,
      headers: Object.fromEntries(response.headers),
      inherited: Object.fromEntries(inherited),
      body,
    })
  }

  #sent(headers: Headers, content: StoredResponse, asked: AskedRequest, way: WayTaken): Response {
    const present = Object.fromEntries(headers)
    const { status, headers: own } = this.sending(content, { asked, way, present })
    for (const [name, value] of own) headers.set(name, value)
    if (status === 304) for (const name of ofBody) headers.delete(name)
    const isEmpty = status === 304 || content.body.length === 0
    return new Response(isEmpty ? null : Uint8Array.from(content.body), { status, headers })
  }
}

function passedOn(
  response: Response,
  body: Uint8Array<ArrayBuffer> | ReadableStream | null,
  way: WayTaken,
): Response {
  // A response that the platform has made may be immutable.
  const passed = new Response(body ?? response.body, response)
  passed.headers.set('cache-status', cacheStatus(way))
  return passed
}

/** A request, as the cache asks about it. */
function askedOf({ method, url, headers }: Request): AskedRequest {
  const { host, pathname, search } = new URL(url)
  return {
    method,
    target: `${pathname}${search}`,
    header: (name) => (name === 'host' ? host : (headers.get(name) ?? undefined)),
  }
}

/** Whether it is a response with an end, to be kept as it is. */
const isWhole = ({ status, headers }: Response): boolean =>
  status === 200 && !(headers.get('content-type') ?? '').startsWith('text/event-stream')

/** The bytes of a body; where there are more than `bytesMax`, the body itself, from its beginning. */
async function bodyOf(
  { body }: Response,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream> {
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = body?.getReader()
  const chunks: Uint8Array[] = []
  for (let bytes = 0; reader !== undefined && bytes <= bytesMax;) {
    const { done, value } = await reader.read()
    if (done) return Buffer.concat(chunks)
    chunks.push(value)
    bytes += value.length
  }
  if (reader === undefined) return new Uint8Array()
  return new ReadableStream({
    async pull(controller) {
      const next = chunks.shift() ?? (await reader.read()).value
      if (next === undefined) controller.close()
      else controller.enqueue(next)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}
