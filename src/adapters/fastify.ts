import type { CacheManager } from '../engine/caches/create-cache.ts'
import type { Sending } from './responses/answering.ts'
import { cacheStatus, ofBody } from './responses/answering.ts'
import type { Making } from './responses/cached-responses.ts'
import { CachedResponses } from './responses/cached-responses.ts'
import { askedOf } from './responses/node-messages.ts'
import type { AskedRequest, ResponseOptions } from './responses/response-options.ts'
import type { RouteRule } from './responses/route-invalidation.ts'
import { RouteInvalidation } from './responses/route-invalidation.ts'
import type { StoredResponse } from './responses/stored-response.ts'

export type { ResponseOptions, Tenant } from './responses/response-options.ts'
export type { RouteOptions, RouteRule } from './responses/route-invalidation.ts'

/** What of a request of Fastify is used. */
export interface FastifyRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly params: unknown
}

/** What of a reply of Fastify is used. */
export interface FastifyReply {
  readonly statusCode: number
  readonly raw: { once(event: 'close', listener: () => void): unknown }
  code(status: number): unknown
  header(name: string, value: string): unknown
  getHeaders(): Readonly<Record<string, number | string | string[] | undefined>>
  removeHeader(name: string): unknown
  send(payload?: unknown): unknown
}

/** Hooks of a route of Fastify. */
export interface FastifyHooks<Asked> {
  readonly preHandler: (request: Asked, reply: FastifyReply) => Promise<unknown>
  readonly onSend: (request: Asked, reply: FastifyReply, payload: unknown) => Promise<unknown>
}

/** A request whose handler runs, and may keep what it makes. */
interface Watched {
  readonly asked: AskedRequest
  readonly way: Making<StoredResponse>
  readonly inherited: ReturnType<FastifyReply['getHeaders']>
}

/**
 * Keeps the responses of a route, as a kind of entries:
 * `app.get('/dashboard/kpis', cacheResponse(cache, 'dashboard:kpis', { tenant }), handler)`, or spread among the route's options.
 * Answers before the handler runs, after all hooks of the application; streams are not kept.
 */
export function cacheResponse<Asked extends FastifyRequest = FastifyRequest>(
  cache: CacheManager,
  name: string,
  options: ResponseOptions<[request: Asked]> = {},
): FastifyHooks<NoInfer<Asked>> {
  const responses = new CachedResponses<[Asked], StoredResponse>(cache, name, options)
  const watched = new WeakMap<Asked, Watched>()
  return {
    async preHandler(request, reply) {
      const asked = askedOf(request)
      const way = await responses.ask([request], asked)
      if (way.kind === 'kept') {
        for (const [header, value] of way.content.headers) reply.header(header, value)
        const present = reply.getHeaders()
        const isEmpty = prepare(reply, responses.sending(way.content, { asked, way, present }))
        return reply.send(isEmpty ? undefined : Buffer.from(way.content.body))
      }
      reply.header('cache-status', cacheStatus(way))
      if (!way.keeps) return undefined
      watched.set(request, { asked, way, inherited: reply.getHeaders() })
      reply.raw.once('close', () => {
        way.settle(null)
      })
      return undefined
    },
    onSend(request, reply, payload) {
      const seen = watched.get(request)
      if (seen === undefined) return Promise.resolve(payload)
      const { asked, way, inherited } = seen
      const [body, present, status] = [bytesOf(payload), reply.getHeaders(), reply.statusCode]
      const made = body && responses.storable({ status, headers: present, inherited, body })
      if (made === null) {
        way.settle(null)
        return Promise.resolve(payload)
      }
      way.settle({ content: made.response, ttlSeconds: made.ttlSeconds })
      const isEmpty = prepare(reply, responses.sending(made.response, { asked, way, present }))
      return Promise.resolve(isEmpty ? '' : payload)
    },
  }
}

/**
 * Invalidates once a route that writes has succeeded, before its response is out:
 * `app.post('/quotes', invalidatesRoute(cache, 'quotes:*', 'dashboard:*'), handler)`.
 */
export function invalidatesRoute<Asked extends FastifyRequest = FastifyRequest>(
  cache: CacheManager,
  ...rule: RouteRule<[request: Asked, reply: FastifyReply]>
): FastifyHooks<NoInfer<Asked>> {
  const invalidation = new RouteInvalidation(cache, rule)
  return {
    preHandler(request) {
      invalidation.concerns(request.method)
      return Promise.resolve()
    },
    async onSend(request, reply, payload) {
      if (invalidation.concerns(request.method)) {
        const params = isRecord(request.params) ? request.params : {}
        const context: [Asked, FastifyReply] = [request, reply]
        await invalidation.follow({ status: reply.statusCode, params, context })
      }
      return payload
    },
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/** Sets what a response says of itself; whether it is a 304. */
function prepare(reply: FastifyReply, { status, headers }: Sending): boolean {
  reply.code(status)
  for (const [name, value] of headers) reply.header(name, value)
  if (status === 304) for (const name of ofBody) reply.removeHeader(name)
  return status === 304
}

function bytesOf(payload: unknown): Uint8Array | null {
  if (typeof payload === 'string') return Buffer.from(payload)
  return payload instanceof Uint8Array ? payload : null
}
