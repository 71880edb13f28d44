import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { Caches } from '../../examples/electro-isla/cache.ts'
import { logTo, openCaches } from '../../examples/electro-isla/cache.ts'
import { estadisticas } from '../../examples/electro-isla/endpoints.ts'
import type { CacheEvent, CacheOptions } from '../../src/cache.ts'
import { redis } from '../../src/cache.ts'
import { systemTiming } from '../../src/base/timing.ts'
import type { TestDatabase } from '../support/database.ts'
import { startRedis } from '../support/redis.ts'
import { applyExample, exampleDatabase } from './example.ts'

let db: TestDatabase
let opened: Caches[] = []

beforeEach(async () => {
  db = await exampleDatabase('electro-isla')
  await db.sql(`
    insert into usuarios (nombre, rol) values ('Ana', 'admin'), ('Beto', 'cliente');
    insert into productos (nombre, precio) values ('Foco LED', 99.99), ('Cable', 20), ('Regleta', 150);
    insert into pedidos (usuario_id, metodo_pago, total) values (2, 'tarjeta', 199.98), (2, 'efectivo', 20);
    insert into pedido_items (pedido_id, producto_id, cantidad) values (1, 1, 2), (2, 2, 1)`)
})
afterEach(async () => {
  await Promise.all(opened.map(({ cache }) => cache.close()))
  opened = []
  await db.drop()
})

/** The caches of one process; in memory, as in development, if nothing else is said. */
function open(options: Partial<CacheOptions> = {}): Caches {
  const caches = openCaches(db.sql, options)
  opened.push(caches)
  return caches
}

test('E1: CacheManager.get, invalidate, invalidate_pattern, clear_all and get_stats, as Tidemark says them', async () => {
  const { cache, producto, listaProductos, metodosPago } = open()
  // get(key, fetch, ttl): what fetches is said once, with its name; the key is made from the arguments.
  expect(await producto.get(1)).toMatchObject({ state: 'miss', value: { nombre: 'Foco LED' } })
  expect(await producto.get(1)).toMatchObject({ state: 'hit', value: { nombre: 'Foco LED' } })
  await Promise.all([producto.get(2), listaProductos.get(), metodosPago.get()])
  const states = async (): Promise<string[]> => {
    const entries = [
      producto.prepare(1),
      producto.prepare(2),
      listaProductos.prepare(),
      metodosPago.prepare(),
    ]
    const found = entries.map((entry) => (entry.hit() === undefined ? '-' : 'hit'))
    await Promise.all(entries.map((entry) => entry.get()))
    return found
  }
  // invalidate(keys), by arguments or by the keys themselves
  await producto.remove(1)
  expect(await states()).toEqual(['-', 'hit', 'hit', 'hit'])
  await cache.remove({ keys: [producto.key(2), listaProductos.key()] })
  expect(await states()).toEqual(['hit', '-', '-', 'hit'])
  // invalidate_pattern
  await cache.remove({ patterns: ['producto:*'] })
  expect(await states()).toEqual(['-', '-', 'hit', 'hit'])
  await cache.remove({ patterns: ['producto:{id}:*'], with: { id: 2 } })
  expect(await states()).toEqual(['hit', '-', 'hit', 'hit'])
  // clear_all
  await cache.remove({ patterns: ['*'] })
  expect(await states()).toEqual(['-', '-', '-', '-'])
  // get_stats: hits, misses, invalidations, last_updated
  const { hits, misses, invalidations, lastUpdated } = cache.getStats()
  expect({ hits, misses, invalidations }).toEqual({ hits: 21, misses: 14, invalidations: 6 })
  expect(Date.parse(lastUpdated ?? '')).toBeGreaterThan(Date.now() - 60_000)
})

test('E2: each kind lives as long as the table says, and what is not in it five minutes', async () => {
  let now = 0
  const caches = open({ timing: { ...systemTiming, now: () => now } })
  // TTL_CONFIG of the document, and its TIMEOUT.
  const kinds = {
    estadisticas_ventas: [caches.estadisticasVentas.prepare(), 300],
    estadisticas_usuarios: [caches.estadisticasUsuarios.prepare(), 600],
    productos_vendidos: [caches.productosVendidos.prepare(), 300],
    metodos_pago: [caches.metodosPago.prepare(), 600],
    perfil_usuario: [caches.perfilUsuario.prepare(1), 3600],
    lista_productos: [caches.listaProductos.prepare(), 300],
    producto: [caches.producto.prepare(1), 300],
  } as const
  for (const [name, [entry, seconds]] of Object.entries(kinds)) {
    await entry.get()
    now += (seconds - 1) * 1_000
    expect((await entry.get()).state, name).toBe('hit')
    await caches.cache.remove({ patterns: ['*'] })
    await entry.get()
    now += seconds * 1_000
    expect((await entry.get()).state, name).toBe('miss')
  }
})

test('E3, its flaws mended: bulk updates, raw SQL and cascades invalidate, and orders the best sellers and the most active users', async () => {
  await applyExample(db, 'electro-isla')
  const caches = open({ database: db.url })
  await caches.cache.start()
  const best = async (): Promise<unknown> => (await caches.productosVendidos.get()).value[0]
  const active = async (): Promise<unknown> =>
    (await caches.estadisticasUsuarios.get()).value.usuarios_mas_activos[0]
  expect(await best()).toMatchObject({ nombre: 'Foco LED', vendidos: 2 })
  expect(await active()).toMatchObject({ nombre: 'Beto', pedidos: 2 })
  await db.sql(`
    insert into pedidos (usuario_id, metodo_pago, total) select 1, 'efectivo', 150 from generate_series(1, 3);
    insert into pedido_items (pedido_id, producto_id, cantidad) select id, 3, 1 from pedidos where usuario_id = 1`)
  await expect.poll(best).toMatchObject({ nombre: 'Regleta', vendidos: 3 })
  await expect.poll(active).toMatchObject({ nombre: 'Ana', pedidos: 3 })
  // A bulk update, as Producto.objects.update() sends it.
  await caches.producto.get(2)
  await db.sql(`update productos set precio = precio * 1.1`)
  const price = async () => (await caches.listaProductos.get()).value[1]
  await expect.poll(price).toMatchObject({ precio: '22.00' })
  // A cascade: the items go with their order.
  await db.sql(`delete from pedidos where usuario_id = 1`)
  await expect.poll(best).toMatchObject({ nombre: 'Foco LED', vendidos: 2 })
})

test('E4: the statistics are for admin and staff, and their second answer comes from the cache', async () => {
  const caches = open()
  const answer = estadisticas(caches, (request) => request.headers.get('x-rol'))
  const ask = (path: string, rol: string): Promise<Response> =>
    answer(new Request(`http://tienda${path}`, { headers: { 'x-rol': rol } }))
  const ventas = '/api/admin/estadisticas/ventas/'
  expect((await ask(ventas, 'cliente')).status).toBe(403)
  expect((await ask('/api/admin/estadisticas/otra/', 'admin')).status).toBe(404)
  expect(caches.cache.getStats().misses).toBe(0)
  expect(await (await ask(ventas, 'admin')).json()).toMatchObject({
    ventas_por_mes: [{ total: '219.98' }],
    productos_mas_vendidos: [{ nombre: 'Foco LED' }, { nombre: 'Cable' }],
    metodos_pago: [{ metodo_pago: 'efectivo' }, { metodo_pago: 'tarjeta' }],
    ticket_promedio: [{ promedio: '109.99' }],
  })
  expect(await (await ask('/api/admin/estadisticas/usuarios/', 'staff')).json()).toMatchObject({
    crecimiento_por_mes: [{ altas: 2 }],
    usuarios_por_rol: [
      { rol: 'admin', usuarios: 1 },
      { rol: 'cliente', usuarios: 1 },
    ],
    usuarios_mas_activos: [{ nombre: 'Beto', pedidos: 2 }],
    tasa_retencion: [{ porcentaje: '100.0' }],
  })
  await ask(ventas, 'staff')
  expect(caches.cache.getStats()).toMatchObject({ hits: 1, misses: 2 })
})

test('E5, E6: with Redis processes share entries, and while it is away the database answers', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  const [one, two] = [open({ store: redis(server.url) }), open({ store: redis(server.url) })]
  expect(await one.listaProductos.get()).toMatchObject({ state: 'miss', tier: 'source' })
  await expect
    .poll(async () => (await two.listaProductos.get()).tier, { timeout: 10_000 })
    .not.toBe('source')
  expect(two.cache.getStats().kinds['lista_productos']?.loads).toBe(0)
  await one.listaProductos.remove()
  expect(await two.listaProductos.get()).toMatchObject({ state: 'miss' })
  await server.kill()
  await db.sql(`insert into productos (nombre, precio) values ('Clavija', 5)`)
  await expect.poll(async () => (await one.listaProductos.get()).value.length).toBe(4)
  expect((await two.productosVendidos.get()).value).toMatchObject([
    { vendidos: 2 },
    { vendidos: 1 },
  ])
})

test('E7: hits, misses, what is stored with its TTL and what is invalidated stand in a log file, under the prefix', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'electro-isla-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const path = join(folder, 'cache.log')
  const events: CacheEvent['event'][] = []
  const { cache, estadisticasVentas } = open({
    log: logTo(path, () => new Date('2025-11-09T16:00:00Z')),
    onEvent: ({ event }) => void events.push(event),
  })
  await estadisticasVentas.get()
  await estadisticasVentas.get()
  await cache.remove({ patterns: ['estadisticas_ventas:*'] })
  const key = estadisticasVentas.key()
  expect(key).toMatch(/^electro_isla:estadisticas_ventas:-:[\da-f]{8}$/)
  const written = (await readFile(path, 'utf8')).trimEnd().split('\n')
  expect(written).toEqual([
    `2025-11-09 16:00:00 - cache_manager - INFO - Cache set: ${key} (TTL 300 s)`,
    `2025-11-09 16:00:00 - cache_manager - WARNING - Cache miss: ${key}`,
    `2025-11-09 16:00:00 - cache_manager - INFO - Cache hit: ${key}`,
    `2025-11-09 16:00:00 - cache_manager - INFO - Invalidated cache pattern: estadisticas_ventas:*`,
  ])
  expect(events).toEqual(['loaded', 'answered', 'answered', 'invalidated'])
})
