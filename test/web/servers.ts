import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import * as forExpress from 'tidemark/express'
import * as forFastify from 'tidemark/fastify'
import * as forHono from 'tidemark/hono'
import * as forNext from 'tidemark/next'
import { nestOnExpress, nestOnFastify } from './nest.legacy.ts'
import type { Handled, Serve, Served } from './shop.ts'
import { open, tenantOf, written } from './shop.ts'

const asResponse = ({ status, headers, body }: Handled): Response =>
  Response.json(body, { status, headers })

/** A server that speaks in `Request` and `Response`. */
function serving(fetch: (request: Request) => Response | Promise<Response>): Promise<Served> {
  return new Promise((resolve) => {
    const server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
      const stop = () =>
        new Promise((ended) => {
          server.close(ended)
          if ('closeAllConnections' in server) server.closeAllConnections()
        })
      resolve({ url: `http://127.0.0.1:${port}`, stop })
    })
  })
}

const onHono: Serve = (cache, shop) => {
  const app = new Hono()
  app.use(async (c, next) => {
    c.header('x-outer', String(shop.runs))
    if (c.req.query('outer') !== undefined) c.header('vary', 'Origin')
    await next()
  })
  app.get(
    '/mine',
    forHono.cacheResponse(cache, 'mine', {
      tenant: (c) => tenantOf(c.req.raw.headers.get('x-tenant')),
    }),
    async (c) => {
      const { status, headers, body } = await shop.read(c.req.query('what') ?? null)
      return c.json(body, status as 200, headers)
    },
  )
  app.get('/open', forHono.cacheResponse(cache, 'open', open), async (c) => {
    const { status, headers, body } = await shop.read(c.req.query('what') ?? null)
    return c.json(body, status as 200, headers)
  })
  app.all('/write/:tenantId', forHono.invalidatesRoute(cache, ...written), (c) =>
    c.json({}, Number(c.req.query('status') ?? 200) as 200),
  )
  return serving(app.fetch)
}

const onNext: Serve = (cache, shop) => {
  const handler = async (request: Request) =>
    asResponse(await shop.read(new URL(request.url).searchParams.get('what')))
  const mine = forNext.cacheResponse(cache, 'mine', {
    tenant: (request) => tenantOf(request.headers.get('x-tenant')),
  })(handler)
  const all = forNext.cacheResponse(cache, 'open', open)(handler)
  const write = forNext.invalidatesRoute(
    cache,
    ...written,
  )((request: Request, _context: { params: Promise<{ tenantId: string }> }) =>
    Response.json({}, { status: Number(new URL(request.url).searchParams.get('status') ?? 200) }),
  )
  return serving((request) => {
    const [, first, tenantId = ''] = new URL(request.url).pathname.split('/')
    if (first === 'write') return write(request, { params: Promise.resolve({ tenantId }) })
    return first === 'mine' ? mine(request) : all(request)
  })
}

const onExpress: Serve = async (cache, shop) => {
  const app = express()
  app.use((request, response, next) => {
    response.setHeader('x-outer', String(shop.runs))
    if (request.query['outer'] !== undefined) response.setHeader('vary', 'Origin')
    next()
  })
  const handler: express.RequestHandler = async (request, response) => {
    const what = request.query['what']
    const { status, headers, body } = await shop.read(typeof what === 'string' ? what : null)
    response.status(status).set(headers).json(body)
  }
  const tenant = (request: express.Request) => tenantOf(request.get('x-tenant'))
  app.get('/mine', forExpress.cacheResponse(cache, 'mine', { tenant }), handler)
  app.get('/open', forExpress.cacheResponse(cache, 'open', open), handler)
  app.all(
    '/write/:tenantId',
    forExpress.invalidatesRoute(cache, ...written),
    (request, response) => {
      response.status(Number(request.query['status'] ?? 200)).json({})
    },
  )
  app.get('/raw', forExpress.cacheResponse(cache, 'raw'), (request, response) => {
    shop.runs += 1
    const cookie = request.query['cookie'] === undefined ? {} : { 'Set-Cookie': 'session=1' }
    response.writeHead(200, { 'Content-Type': 'text/plain', ...cookie })
    response.write('run ')
    setImmediate(() => response.end(Buffer.from(String(shop.runs))))
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((ended) => {
        server.close(ended)
        server.closeAllConnections()
      }),
  }
}

const onFastify: Serve = async (cache, shop) => {
  const app = Fastify({ forceCloseConnections: true })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-outer', String(shop.runs))
    if (request.url.includes('outer')) reply.header('vary', 'Origin')
    return Promise.resolve()
  })
  const handler = async (
    request: { query: unknown },
    reply: {
      code(status: number): unknown
      headers(values: Readonly<Record<string, string>>): unknown
    },
  ) => {
    const { what = null } = request.query as { what?: string }
    const { status, headers, body } = await shop.read(what)
    reply.code(status)
    reply.headers(headers)
    return body
  }
  const tenant = (request: forFastify.FastifyRequest) =>
    tenantOf(String(request.headers['x-tenant']))
  app.get('/mine', forFastify.cacheResponse(cache, 'mine', { tenant }), handler)
  app.get('/open', forFastify.cacheResponse(cache, 'open', open), handler)
  app.route({
    method: ['GET', 'POST'],
    url: '/write/:tenantId',
    ...forFastify.invalidatesRoute(cache, ...written),
    handler: async (request, reply) => {
      reply.code(Number((request.query as { status?: string }).status ?? 200))
      return Promise.resolve({})
    },
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { url, stop: () => app.close() }
}

/** Every server, by name. */
export const servers: Readonly<Record<string, Serve>> = {
  Hono: onHono,
  'a Next.js route handler': onNext,
  Express: onExpress,
  Fastify: onFastify,
  'NestJS on Express': nestOnExpress,
  'NestJS on Fastify': nestOnFastify,
}
