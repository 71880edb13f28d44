import type { CacheManager } from '../engine/caches/create-cache.ts'
import type { ResponseOptions } from './responses/response-options.ts'
import type { RouteRule } from './responses/route-invalidation.ts'
import { RouteInvalidation } from './responses/route-invalidation.ts'
import { WebResponses } from './responses/web.ts'

export type { ResponseOptions, Tenant } from './responses/response-options.ts'
export type { RouteOptions, RouteRule } from './responses/route-invalidation.ts'

/** What of a context of Hono is used. */
export interface HonoContext {
  readonly req: {
    readonly method: string
    readonly raw: Request
    param(): Readonly<Record<string, string>>
  }
  get res(): Response
  set res(response: Response | undefined)
}

/** A middleware of Hono. */
export type HonoMiddleware<Context> = (
  context: Context,
  next: () => Promise<void>,
) => Promise<Response | undefined>

/**
 * Keeps the responses of the routes that it stands before, as a kind of entries:
 * `app.get('/dashboard/kpis', cacheResponse(cache, 'dashboard:kpis', { tenant }), handler)`.
 */
export function cacheResponse<Context extends HonoContext = HonoContext>(
  cache: CacheManager,
  name: string,
  options: ResponseOptions<[context: Context]> = {},
): HonoMiddleware<Context> {
  const responses = new WebResponses(cache, name, options)
  return async (context, next) => {
    const inherited = new Headers(context.res.headers)
    const make = async (): Promise<Response> => {
      await next()
      return context.res
    }
    const response = await responses.answer(context.req.raw, [context], make, inherited)
    // Else Hono would set the headers of the response that was before over those of this one.
    context.res = undefined
    context.res = response
    return undefined
  }
}

/**
 * Invalidates once a route that writes has succeeded, before its response is out:
 * `app.post('/quotes', invalidatesRoute(cache, 'quotes:*', 'dashboard:*'), handler)`. Before routes that read it does nothing.
 */
export function invalidatesRoute<Context extends HonoContext = HonoContext>(
  cache: CacheManager,
  ...rule: RouteRule<[context: Context]>
): HonoMiddleware<Context> {
  const invalidation = new RouteInvalidation(cache, rule)
  return async (context, next) => {
    const concerned = invalidation.concerns(context.req.method)
    await next()
    if (!concerned) return undefined
    const { status } = context.res
    await invalidation.follow({ status, params: context.req.param(), context: [context] })
    return undefined
  }
}
