import { appendFileSync } from 'node:fs'
import type { CacheManager, CacheOptions, Kind } from 'tidemark/cache'
import { createCache } from 'tidemark/cache'

/** Asks the database of the shop. */
export type Ask = <Row extends object>(sql: string, values?: readonly unknown[]) => Promise<Row[]>

/** The time to live of each kind of data, in one table: TTL_CONFIG of the document. */
const ttls = {
  estadisticas_ventas: '300s',
  estadisticas_usuarios: '600s',
  productos_vendidos: '300s',
  metodos_pago: '600s',
  perfil_usuario: '3600s',
  lista_productos: '300s',
} as const

const masVendidos = `
  select p.id, p.nombre, sum(i.cantidad)::int as vendidos
  from pedido_items i join productos p on p.id = i.producto_id
  group by p.id order by vendidos desc, p.id limit 10`

const porMetodo = `
  select metodo_pago, count(*)::int as pedidos, sum(total)::text as total
  from pedidos group by metodo_pago order by metodo_pago`

/** What the statistics of sales show. */
export type Ventas = Readonly<
  Record<
    'ventas_por_mes' | 'productos_mas_vendidos' | 'metodos_pago' | 'ticket_promedio',
    readonly object[]
  >
>

/** What the statistics of users show. */
export type Usuarios = Readonly<
  Record<
    'crecimiento_por_mes' | 'usuarios_por_rol' | 'usuarios_mas_activos' | 'tasa_retencion',
    readonly object[]
  >
>

/** The caches of the shop. */
export interface Caches {
  readonly cache: CacheManager
  readonly estadisticasVentas: Kind<[], Ventas>
  readonly estadisticasUsuarios: Kind<[], Usuarios>
  readonly productosVendidos: Kind<[], readonly object[]>
  readonly metodosPago: Kind<[], readonly object[]>
  readonly listaProductos: Kind<[], readonly object[]>
  readonly producto: Kind<[id: number], object | null>
  readonly perfilUsuario: Kind<[id: number], object | null>
}

/** Opens them, and says what is in each. Whoever writes says nothing: `dependsOn` says what makes an entry untrue. */
export function openCaches(ask: Ask, options: Partial<CacheOptions> = {}): Caches {
  // TIMEOUT of the document: what has no line in the table lives for five minutes.
  const cache = createCache({
    namespace: 'electro_isla',
    ttl: '300s',
    ttls,
    tenantForm: '{}',
    ...options,
  })
  return { cache, ...statistics(cache, ask), ...catalogue(cache, ask) }
}

function statistics(cache: CacheManager, ask: Ask) {
  const ventas = async (): Promise<Ventas> => ({
    ventas_por_mes: await ask(`
      select to_char(creado, 'YYYY-MM') as mes, sum(total)::text as total from pedidos
      where creado > now() - interval '12 months' group by 1 order by 1`),
    productos_mas_vendidos: await ask(masVendidos),
    metodos_pago: await ask(porMetodo),
    ticket_promedio: await ask(`select round(avg(total), 2)::text as promedio from pedidos`),
  })
  const usuarios = async (): Promise<Usuarios> => ({
    crecimiento_por_mes: await ask(`
      select to_char(creado, 'YYYY-MM') as mes, count(*)::int as altas from usuarios group by 1 order by 1`),
    usuarios_por_rol: await ask(
      `select rol, count(*)::int as usuarios from usuarios group by rol order by rol`,
    ),
    usuarios_mas_activos: await ask(`
      select u.id, u.nombre, count(*)::int as pedidos
      from pedidos p join usuarios u on u.id = p.usuario_id
      group by u.id order by pedidos desc, u.id limit 10`),
    tasa_retencion: await ask(`
      select round(100.0 * count(*) filter (where pedidos > 1) / nullif(count(*), 0), 1)::text as porcentaje
      from (select usuario_id, count(*) as pedidos from pedidos group by usuario_id) compras`),
  })
  return {
    estadisticasVentas: cache.define('estadisticas_ventas', ventas, {
      dependsOn: ['pedidos', 'pedido_items', 'productos'],
    }),
    estadisticasUsuarios: cache.define('estadisticas_usuarios', usuarios, {
      dependsOn: ['usuarios', 'pedidos'],
    }),
    productosVendidos: cache.define('productos_vendidos', () => ask(masVendidos), {
      dependsOn: ['pedido_items', 'productos'],
    }),
    metodosPago: cache.define('metodos_pago', () => ask(porMetodo), { dependsOn: ['pedidos'] }),
  }
}

function catalogue(cache: CacheManager, ask: Ask) {
  const one = (table: string) => async (id: number) =>
    (await ask(`select * from ${table} where id = $1`, [id]))[0] ?? null
  return {
    listaProductos: cache.define(
      'lista_productos',
      () => ask('select id, nombre, precio::text from productos order by id'),
      { dependsOn: ['productos'] },
    ),
    producto: cache.define('producto', one('productos'), { dependsOn: { productos: 'id' } }),
    perfilUsuario: cache.define('perfil_usuario', one('usuarios'), {
      dependsOn: { usuarios: 'id' },
    }),
  }
}

/** Writes what happens to a file, as logging of Django does: `2025-11-09 16:00:00 - cache_manager - INFO - Cache hit: …`. */
export function logTo(
  path: string,
  now: () => Date = () => new Date(),
): Record<'info' | 'warn' | 'error', (line: string) => void> {
  const write = (level: string) => (line: string) => {
    const time = now().toISOString().slice(0, 19).replace('T', ' ')
    appendFileSync(path, `${time} - cache_manager - ${level} - ${line}\n`)
  }
  return { info: write('INFO'), warn: write('WARNING'), error: write('ERROR') }
}
