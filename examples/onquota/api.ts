import type { CacheManager } from 'tidemark/cache'
import { cacheResponse, invalidatesRoute } from 'tidemark/next'
import type { Dashboard, TenantId } from './caches.ts'
import type { Transactions } from './database.ts'
import { NotFound } from './database.ts'
import { clientsOf } from './ledger.ts'
import { salesOf } from './sales.ts'

/** Whose request it is; a real service looks its token up. */
const tenantOf = (request: Request): TenantId | null =>
  /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1] ?? null

type Handler = (request: Request) => Promise<Response>

/** The endpoints, by method and path, for whatever server they run in. */
export function apiOf(
  cache: CacheManager,
  database: Transactions,
  dashboard: Dashboard,
): (request: Request) => Promise<Response> {
  const sales = salesOf(cache, database)
  const clients = clientsOf(cache, database)
  const needTenant =
    (handler: (tenant: TenantId, request: Request) => Promise<unknown>): Handler =>
    async (request) => {
      const tenant = tenantOf(request)
      if (tenant === null) return Response.json({ detail: 'Not authenticated' }, { status: 401 })
      try {
        return Response.json(await handler(tenant, request), {
          status: request.method === 'POST' ? 201 : 200,
        })
      } catch (error) {
        if (!(error instanceof NotFound)) throw error
        return Response.json({ detail: 'Not found' }, { status: 404 })
      }
    }
  const listed = cacheResponse(cache, 'quotes:list', { tenant: tenantOf })
  const expenseWritten = invalidatesRoute(cache, 'dashboard:expenses_monthly:*', 'dashboard:kpis:*')
  const routes: Readonly<Record<string, Handler>> = {
    'GET /api/v1/dashboard/kpis': needTenant(
      async (tenant) => (await dashboard.kpis.get(tenant)).value,
    ),
    'GET /api/v1/dashboard/top_clients': needTenant(
      async (tenant) => (await dashboard.topClients.get(tenant)).value,
    ),
    'GET /api/v1/sales/quotes': listed(
      needTenant((tenant) =>
        database.query(
          `select id::int, status, total::text from quotes where tenant_id = $1 order by id`,
          [tenant],
        ),
      ),
    ),
    'POST /api/v1/sales/quotes': needTenant(async (tenant, request) =>
      sales.create(tenant, (await request.json()) as { clientId: number; total: number }),
    ),
    'POST /api/v1/clients': needTenant(async (tenant, request) =>
      clients.create(tenant, ((await request.json()) as { name: string }).name),
    ),
    'POST /api/v1/expenses': expenseWritten(
      needTenant(async (tenant, request) => {
        const { amount } = (await request.json()) as { amount: number }
        return database.query(
          'insert into expenses (tenant_id, amount) values ($1, $2) returning id::int',
          [tenant, amount],
        )
      }),
    ),
  }
  return async (request) => {
    const handler = routes[`${request.method} ${new URL(request.url).pathname}`]
    return handler?.(request) ?? Response.json({ detail: 'Not found' }, { status: 404 })
  }
}
