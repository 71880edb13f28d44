import type { Caches } from './cache.ts'

/** Who asks, told from a request by whatever the shop logs people in with. */
export type RolOf = (request: Request) => string | null

const paths = ['/api/admin/estadisticas/ventas/', '/api/admin/estadisticas/usuarios/']

/** The endpoints of the statistics: for `admin` and `staff` alone, out of the cache. They run in any server that takes a Request. */
export function estadisticas(
  caches: Caches,
  rolOf: RolOf,
): (request: Request) => Promise<Response> {
  return async (request) => {
    const path = paths.indexOf(new URL(request.url).pathname)
    if (path < 0) return Response.json({ error: 'no existe' }, { status: 404 })
    if (!['admin', 'staff'].includes(rolOf(request) ?? '')) {
      return Response.json({ error: 'solo administradores' }, { status: 403 })
    }
    const kind = path === 0 ? caches.estadisticasVentas : caches.estadisticasUsuarios
    return Response.json((await kind.get()).value)
  }
}
