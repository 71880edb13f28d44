// As users write it, with the types of each framework: this file is compiled, and not run.
import type { Context } from 'hono'
import { Hono } from 'hono'
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import type { Request as ExpressRequest } from 'express'
import type { CacheManager } from '../../src/cache.ts'
import * as h from 'tidemark/hono'
import * as f from 'tidemark/fastify'
import * as e from 'tidemark/express'
import * as n from 'tidemark/nest'
import express from 'express'
declare const cache: CacheManager
type Env = { Variables: { user: { tenantId: number } } }
const app = new Hono<Env>()
app.get(
  '/x',
  h.cacheResponse(cache, 'x', {
    tenant: (c: Context<Env>) => c.get('user').tenantId,
    dependsOn: { quotes: 'tenant_id' },
  }),
  (c) => c.json({}),
)
app.post(
  '/x',
  h.invalidatesRoute(cache, 'x:*', {
    with: (c: Context<Env>) => ({ tenantId: c.get('user').tenantId }),
    when: (c) => c.res.status === 201,
  }),
  (c) => c.json({}),
)
const fast = Fastify()
fast.get(
  '/x',
  f.cacheResponse(cache, 'y', { tenant: (request: FastifyRequest) => request.id }),
  () => ({}),
)
fast.post(
  '/x',
  {
    ...f.invalidatesRoute(cache, 'x:*', { when: (request: FastifyRequest) => request.is404 }),
    schema: {},
  },
  () => ({}),
)
const ex = express()
ex.post(
  '/x/:id',
  e.invalidatesRoute(cache, 'x:*', { when: (request: ExpressRequest) => request.xhr }),
  (_q, s) => void s.json({}),
)
export class C {
  @n.CacheResponse(cache, 'z', { tenant: (request: ExpressRequest) => request.ip })
  get() {}
  @n.InvalidatesRoute(cache, 'z:*', { when: (request: ExpressRequest) => request.xhr })
  post() {}
}
