import type { CacheManager } from '../engine/caches/create-cache.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Sending } from './responses/answering.ts'
import { cacheStatus } from './responses/answering.ts'
import { CachedResponses } from './responses/cached-responses.ts'
import type { NodeRequest, NodeResponse } from './responses/node-messages.ts'
import { askedOf } from './responses/node-messages.ts'
import type { ResponseOptions } from './responses/response-options.ts'
import { asNotModified } from './responses/response-tap.ts'
import type { RouteRule } from './responses/route-invalidation.ts'
import { RouteInvalidation } from './responses/route-invalidation.ts'
import type { StoredResponse } from './responses/stored-response.ts'

export type { ResponseOptions, Tenant } from './responses/response-options.ts'
export type { NodeRequest } from './responses/node-messages.ts'
export type { RouteOptions, RouteRule } from './responses/route-invalidation.ts'

/** What the cache is injected by: `@Inject(TIDEMARK_CACHE) cache: CacheManager`. */
export const TIDEMARK_CACHE = 'TIDEMARK_CACHE'

/** A decorator of a method of a controller. */
export type RouteDecorator = (
  target: object,
  name: string | symbol,
  descriptor: PropertyDescriptor,
) => void

/** A dynamic module of NestJS. */
export interface NestModule {
  readonly module: new () => object
  readonly global: true
  readonly providers: { readonly provide: string; readonly useValue: unknown }[]
  readonly exports: string[]
}

/** What a response is on both platforms of NestJS. */
interface NestResponse {
  readonly statusCode: number
  getHeaders(): Readonly<Record<string, unknown>>
  header(name: string, value: string): unknown
  /** The response of Node, where this is one of Fastify. */
  readonly raw?: NodeResponse
}

interface NestContext {
  getType(): string
  getHandler(): object
  switchToHttp(): { getRequest(): NodeRequest; getResponse(): NestResponse & NodeResponse }
}

interface NestResult {
  subscribe(observer: {
    next: (value: unknown) => void
    error: (error: unknown) => void
    complete: () => void
  }): unknown
}

/** What a handler of a controller has returned: what it is answered with again, by whatever makes JSON of it. */
interface Returned {
  readonly value: unknown
  /** Its headers and entity tag; the body is made of `value`. */
  readonly response: StoredResponse
}

/** What the decorators say of a method. */
interface Route {
  readonly cache: CacheManager
  readonly intercept: (exchange: Exchange) => Promise<unknown>
}

/** One request at an interceptor. */
interface Exchange {
  readonly request: NodeRequest
  readonly response: NestResponse & NodeResponse
  /** Runs what is within the interceptor, and gives what it has returned. */
  readonly run: () => Promise<unknown>
}

/** The module: `imports: [TidemarkModule.forRoot(cache)]`. */
export const TidemarkModule = {
  /**
   * Provides the cache as {@link TIDEMARK_CACHE}, starts it when the application starts, which fails for a pattern that can match
   * no key, makes the decorators work, and closes it with the application.
   */
  forRoot(cache: CacheManager): NestModule {
    class TidemarkCacheModule {
      onApplicationBootstrap(): Promise<void> {
        return started(cache)
      }

      onApplicationShutdown(): Promise<void> {
        return cache.close()
      }
    }
    return {
      module: TidemarkCacheModule,
      global: true,
      providers: [
        { provide: TIDEMARK_CACHE, useValue: cache },
        { provide: 'APP_INTERCEPTOR', useValue: interceptorOf(cache) },
      ],
      exports: [TIDEMARK_CACHE],
    }
  },
}

/**
 * Keeps what a method of a controller returns, as a kind of entries. Guards run before it is answered from what was kept.
 *
 * What has a class of its own is not kept: what comes back from the shared store would not have it.
 */
export function CacheResponse<Asked extends NodeRequest = NodeRequest>(
  cache: CacheManager,
  name: string,
  options: ResponseOptions<[request: Asked]> = {},
): RouteDecorator {
  const responses = new CachedResponses<[Asked], Returned>(cache, name, options)
  return marking({
    cache,
    intercept: async ({ request, response, run }) => {
      const asked = askedOf(request)
      // The caller says what his requests are.
      const way = await responses.ask([request as Asked], asked)
      if (way.kind === 'kept') {
        for (const [header, value] of way.content.response.headers) response.header(header, value)
        const present = response.getHeaders()
        prepare(response, responses.sending(way.content.response, { asked, way, present }))
        return way.content.value
      }
      const inherited = response.getHeaders()
      try {
        response.header('cache-status', cacheStatus(way))
        const value = await run()
        const body = way.keeps && isPlain(value) ? JSON.stringify(value) : undefined
        if (body === undefined) return value
        const [present, status] = [response.getHeaders(), response.statusCode]
        const of = { status, headers: present, inherited, body: Buffer.from(body) }
        const made = responses.storable(of)
        if (made === null) return value
        const content = { value, response: { ...made.response, body: new Uint8Array() } }
        way.settle({ content, ttlSeconds: made.ttlSeconds })
        prepare(response, responses.sending(made.response, { asked, way, present }))
        return value
      } finally {
        way.settle(null)
      }
    },
  })
}

/** Invalidates once a method of a controller has succeeded, before its response is out. At a method that reads it does nothing. */
export function InvalidatesRoute<Asked extends NodeRequest = NodeRequest>(
  cache: CacheManager,
  ...rule: RouteRule<[request: Asked, returned: unknown]>
): RouteDecorator {
  const invalidation = new RouteInvalidation(cache, rule)
  return marking({
    cache,
    intercept: async ({ request, response, run }) => {
      const concerned = invalidation.concerns(request.method ?? 'GET')
      const returned = await run()
      if (concerned) {
        const { params = {} } = request
        const context: [Asked, unknown] = [request as Asked, returned]
        await invalidation.follow({ status: response.statusCode, params, context })
      }
      return returned
    },
  })
}

const routesKey = 'tidemark:routes'

/** Where NestJS keeps what decorators say, so that those of others that wrap the method take it along. */
interface Metadata {
  readonly defineMetadata: (key: string, value: unknown, target: object) => void
  readonly getMetadata: (key: string, target: object) => unknown
}

function metadata(): Metadata {
  const reflect: unknown = Reflect
  return reflect as Metadata
}

const routesOf = (handler: object): readonly Route[] =>
  (metadata().getMetadata(routesKey, handler) as readonly Route[] | undefined) ?? []

function marking(route: Route): RouteDecorator {
  return (_target, _name, { value }: { readonly value?: unknown }) => {
    const handler = value as object
    metadata().defineMetadata(routesKey, [...routesOf(handler), route], handler)
  }
}

function interceptorOf(cache: CacheManager): unknown {
  return {
    intercept(context: NestContext, next: { handle(): NestResult }): unknown {
      const routes = routesOf(context.getHandler()).filter((route) => route.cache === cache)
      if (context.getType() !== 'http' || routes.length === 0) return next.handle()
      const request = context.switchToHttp().getRequest()
      const response = context.switchToHttp().getResponse()
      const run = routes.reduce(
        (inner, { intercept }) =>
          () =>
            intercept({ request, response, run: inner }),
        () => lastOf(next.handle()),
      )
      // An iterable of one value is as good as an Observable of it, and needs no rxjs.
      return run().then((value) => [value])
    },
  }
}

const lastOf = (result: NestResult): Promise<unknown> =>
  new Promise((resolve, reject) => {
    let last: unknown
    result.subscribe({
      next: (value) => {
        last = value
      },
      error: reject,
      complete: () => {
        resolve(last)
      },
    })
  })

async function started(cache: CacheManager): Promise<void> {
  try {
    await cache.start()
  } catch (error) {
    // A store that is away now may come back, and the cache has told of it; a declaration that is wrong stays wrong.
    if (error instanceof TidemarkError && error.code !== 'TIDEMARK_DATABASE_UNREACHABLE')
      throw error
  }
}

/** Whether a value is the same after it has been kept. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function'
  if (Array.isArray(value)) return value.every(isPlain)
  if (value instanceof Date) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return (
    (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlain)
  )
}

/** Sets what a response says of itself. */
function prepare(response: NestResponse & NodeResponse, { status, headers }: Sending): void {
  for (const [name, value] of headers) response.header(name, value)
  if (status === 304) asNotModified(response.raw ?? response)
}
