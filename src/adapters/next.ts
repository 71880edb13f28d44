import type { CacheManager } from '../engine/caches/create-cache.ts'
import type { ResponseOptions } from './responses/response-options.ts'
import type { RouteRule } from './responses/route-invalidation.ts'
import { RouteInvalidation } from './responses/route-invalidation.ts'
import { WebResponses } from './responses/web.ts'

export type { ResponseOptions, Tenant } from './responses/response-options.ts'
export type { RouteOptions, RouteRule } from './responses/route-invalidation.ts'

/** A route handler, of Next.js or of any server that speaks in `Request` and `Response`. */
export type RouteHandler<Asked extends Request, Rest extends readonly unknown[]> = (
  request: Asked,
  ...rest: Rest
) => Response | Promise<Response>

/** A handler that was wrapped. */
type WrappedHandler<Asked extends Request, Rest extends readonly unknown[]> = (
  request: Asked,
  ...rest: Rest
) => Promise<Response>

/**
 * Keeps the responses of a GET handler, as a kind of entries:
 * `export const GET = cacheResponse(cache, 'dashboard:kpis', { tenant })(handler)`.
 */
export function cacheResponse<
  Asked extends Request = Request,
  Rest extends readonly unknown[] = [],
>(
  cache: CacheManager,
  name: string,
  options: ResponseOptions<[request: Asked, ...rest: Rest]> = {},
): (handler: RouteHandler<Asked, Rest>) => WrappedHandler<Asked, Rest> {
  const responses = new WebResponses(cache, name, options)
  return (handler) =>
    (request, ...rest) =>
      responses.answer(request, [request, ...rest], async () => handler(request, ...rest))
}

/**
 * Invalidates once a handler that writes has succeeded, before its response is out:
 * `export const POST = invalidatesRoute(cache, 'quotes:*', 'dashboard:*')(handler)`.
 * Places are filled from the parameters of the path, which Next.js gives as a promise in its second argument.
 */
export function invalidatesRoute<
  Asked extends Request = Request,
  Rest extends readonly unknown[] = readonly unknown[],
>(
  cache: CacheManager,
  ...rule: RouteRule<[request: Asked, ...rest: Rest]>
): <Given extends Rest>(handler: RouteHandler<Asked, Given>) => WrappedHandler<Asked, Given> {
  const invalidation = new RouteInvalidation(cache, rule)
  return (handler) =>
    async (request, ...rest) => {
      if (!invalidation.concerns(request.method)) return handler(request, ...rest)
      const response = await handler(request, ...rest)
      const params = await paramsOf(rest[0])
      await invalidation.follow({ status: response.status, params, context: [request, ...rest] })
      return response
    }
}

async function paramsOf(context: unknown): Promise<Readonly<Record<string, unknown>>> {
  if (typeof context !== 'object' || context === null || !('params' in context)) return {}
  const params: unknown = await context.params
  return typeof params === 'object' && params !== null ? { ...params } : {}
}
