import type { CacheManager } from '../engine/caches/create-cache.ts'
import type { ResponseOptions } from './responses/response-options.ts'
import type { NodeRequest, NodeResponse } from './responses/node-messages.ts'
import { NodeResponses } from './responses/node.ts'
import type { RouteRule } from './responses/route-invalidation.ts'
import { RouteInvalidation } from './responses/route-invalidation.ts'

export type { ResponseOptions, Tenant } from './responses/response-options.ts'
export type { NodeRequest, NodeResponse } from './responses/node-messages.ts'
export type { RouteOptions, RouteRule } from './responses/route-invalidation.ts'

/** A middleware of Express, and of every server over Node's `http` that calls `(request, response, next)`. */
export type ExpressMiddleware<Asked> = (
  request: Asked,
  response: NodeResponse,
  next: (error?: unknown) => void,
) => void

/**
 * Keeps the responses of the routes that it stands before, as a kind of entries:
 * `app.get('/dashboard/kpis', cacheResponse(cache, 'dashboard:kpis', { tenant }), handler)`.
 */
export function cacheResponse<Asked extends NodeRequest = NodeRequest>(
  cache: CacheManager,
  name: string,
  options: ResponseOptions<[request: Asked]> = {},
): ExpressMiddleware<Asked> {
  const responses = new NodeResponses(cache, name, options)
  return (request, response, next) => {
    responses.answer(request, response, [request], next).catch(next)
  }
}

/**
 * Invalidates once a route that writes has succeeded, before its response has ended:
 * `app.post('/quotes', invalidatesRoute(cache, 'quotes:*', 'dashboard:*'), handler)`. Before routes that read it does nothing.
 */
export function invalidatesRoute<Asked extends NodeRequest = NodeRequest>(
  cache: CacheManager,
  ...rule: RouteRule<[request: Asked, response: NodeResponse]>
): ExpressMiddleware<Asked> {
  const invalidation = new RouteInvalidation(cache, rule)
  return (request, response, next) => {
    if (invalidation.concerns(request.method ?? 'GET')) {
      endAfter(response, () => {
        const { params = {} } = request
        const context: [Asked, NodeResponse] = [request, response]
        return invalidation.follow({ status: response.statusCode, params, context })
      })
    }
    next()
  }
}

/** Holds back the end of a response until `first` has ended: who gets it reads what came after. */
function endAfter(response: NodeResponse, first: () => Promise<void>): void {
  const end = response.end.bind(response)
  let isEnding = false
  response.end = (...chunk) => {
    if (isEnding) return response
    isEnding = true
    void first().finally(() => {
      end(...chunk)
    })
    return response
  }
}
