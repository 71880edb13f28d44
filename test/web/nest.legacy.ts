import 'reflect-metadata'
import type { INestApplication } from '@nestjs/common'
import { All, Controller, Get, Header, Inject, Query, Req, Res } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { CacheManager } from '../../src/cache.ts'
import type { NodeRequest } from 'tidemark/nest'
import { CacheResponse, InvalidatesRoute, TIDEMARK_CACHE, TidemarkModule } from 'tidemark/nest'
import type { Handled, Serve, Shop } from './shop.ts'
import { open, tenantOf, written } from './shop.ts'

/** What both platforms of NestJS have. */
interface Reply {
  status(status: number): unknown
  header(name: string, value: string): unknown
}

function answered({ status, headers, body }: Handled, reply: Reply): Handled['body'] {
  if (status !== 200) reply.status(status)
  for (const [name, value] of Object.entries(headers)) reply.header(name, value)
  return body
}

/** The controllers of one application; their decorators name its cache. */
function controllerOf(cache: CacheManager, shop: Shop) {
  const tenant = (request: NodeRequest) => tenantOf(String(request.headers['x-tenant']))

  @Controller()
  class Controlled {
    constructor(@Inject(TIDEMARK_CACHE) injected: CacheManager) {
      if (injected !== cache) throw new Error('another cache was injected')
    }

    @Get('mine')
    @CacheResponse(cache, 'mine', { tenant })
    @Header('x-outer', 'nest')
    async mine(@Query('what') what: string | undefined, @Res({ passthrough: true }) reply: Reply) {
      return answered(await shop.read(what ?? null), reply)
    }

    @Get('open')
    @CacheResponse(cache, 'open', open)
    async open(@Query('what') what: string | undefined, @Res({ passthrough: true }) reply: Reply) {
      return answered(await shop.read(what ?? null), reply)
    }

    @All('write/:tenantId')
    @InvalidatesRoute(cache, ...written)
    write(
      @Req() request: { query: { status?: string } },
      @Res({ passthrough: true }) reply: Reply,
    ) {
      reply.status(Number(request.query.status ?? 200))
      return {}
    }
  }
  return Controlled
}

async function serve(app: INestApplication) {
  await app.listen(0, '127.0.0.1')
  return { url: await app.getUrl(), stop: () => app.close() }
}

const moduleOf = (cache: CacheManager, shop: Shop) => ({
  module: class Root {},
  imports: [TidemarkModule.forRoot(cache)],
  controllers: [controllerOf(cache, shop)],
})

/** NestJS on Express, which is its default. */
export const nestOnExpress: Serve = async (cache, shop) =>
  serve(
    await NestFactory.create(moduleOf(cache, shop), new ExpressAdapter(), {
      logger: false,
      forceCloseConnections: true,
    }),
  )

/** NestJS on Fastify. */
export const nestOnFastify: Serve = async (cache, shop) =>
  serve(
    await NestFactory.create(moduleOf(cache, shop), new FastifyAdapter(), {
      logger: false,
      forceCloseConnections: true,
    }),
  )
