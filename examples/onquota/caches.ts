import type { CacheManager, CacheOptions, Kind } from 'tidemark/cache'
import { createCache } from 'tidemark/cache'
import type { Database } from './database.ts'

/** Whose rows they are. */
export type TenantId = string

/** TTL per kind, in one table. */
export const ttls = {
  'quotes:list': '5m',
  'quotes:summary': '5m',
  'dashboard:kpis': '10m',
  'dashboard:expenses_monthly': '1h',
  'dashboard:top_clients': '1h',
} as const

/** What each endpoint that writes invalidates, in one table. */
export const patterns = {
  quotes: ['quotes:*', 'dashboard:*'],
  expenses: ['dashboard:expenses_monthly:*', 'dashboard:kpis:*'],
  clients: ['dashboard:top_clients:*', 'dashboard:kpis:*'],
  clientUpdated: ['dashboard:top_clients:*'],
} as const

/** Told as soon as less than this share of a minute's answers of a kind needs no load. */
const hitRate = { min: 0.8 }

/** Keys are `onquota:dashboard:kpis:{tenant_id}:{params}:{hash}`. */
export function openCache(options: Partial<CacheOptions> = {}): CacheManager {
  return createCache({ namespace: 'onquota', tenantForm: '{}', ttls, hitRate, ...options })
}

/** The numbers on the dashboard. */
export interface Kpis {
  readonly quotes: number
  readonly accepted: string
  readonly spent: string
}

/** What the dashboard reads. */
export interface Dashboard {
  readonly kpis: Kind<[tenant: TenantId], Kpis>
  readonly summary: Kind<[tenant: TenantId], readonly { status: string; quotes: number }[]>
  readonly expensesMonthly: Kind<
    [tenant: TenantId, year: number],
    readonly { month: number; spent: string }[]
  >
  readonly topClients: Kind<[tenant: TenantId], readonly { name: string; accepted: string }[]>
}

/** Defines what is cached of the dashboard; that of these tenants is warm from the start, and read again each ten minutes. */
export function dashboardOf(
  cache: CacheManager,
  database: Database,
  warm: readonly TenantId[] = [],
): Dashboard {
  const ofTenant = { tenant: (tenant: TenantId) => tenant, params: () => [] }
  const kpis = async (tenant: TenantId): Promise<Kpis> => {
    const [row] = await database.query<Kpis>(
      `select (select count(*)::int from quotes where tenant_id = $1) as quotes,
              (select coalesce(sum(total), 0)::text from quotes where tenant_id = $1 and status = 'ACCEPTED') as accepted,
              (select coalesce(sum(amount), 0)::text from expenses where tenant_id = $1) as spent`,
      [tenant],
    )
    return row ?? { quotes: 0, accepted: '0', spent: '0' }
  }
  const summary = (tenant: TenantId) =>
    database.query<{ status: string; quotes: number }>(
      `select status, count(*)::int as quotes from quotes where tenant_id = $1 group by status order by status`,
      [tenant],
    )
  const expensesMonthly = (tenant: TenantId, year: number) =>
    database.query<{ month: number; spent: string }>(
      `select extract(month from spent_on)::int as month, sum(amount)::text as spent from expenses
       where tenant_id = $1 and extract(year from spent_on) = $2 group by month order by month`,
      [tenant, year],
    )
  const topClients = (tenant: TenantId) =>
    database.query<{ name: string; accepted: string }>(
      `select c.name, sum(q.total)::text as accepted from quotes q join clients c on c.id = q.client_id
       where q.tenant_id = $1 and q.status = 'ACCEPTED' group by c.id, c.name order by sum(q.total) desc limit 10`,
      [tenant],
    )
  return {
    kpis: cache.define('dashboard:kpis', kpis, {
      ...ofTenant,
      warm: { entries: () => warm.map((tenant): [TenantId] => [tenant]), every: '10m', hot: 100 },
    }),
    summary: cache.define('quotes:summary', summary, ofTenant),
    expensesMonthly: cache.define('dashboard:expenses_monthly', expensesMonthly, {
      tenant: (tenant) => tenant,
      params: (_, year) => [year],
    }),
    topClients: cache.define('dashboard:top_clients', topClients, ofTenant),
  }
}
