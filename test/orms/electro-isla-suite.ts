import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DataSource, EntitySchema } from 'typeorm'
import type { Caches } from '../../examples/electro-isla/cache.ts'
import { openCaches } from '../../examples/electro-isla/cache.ts'
import { cacheSubscriber } from '../../src/adapters/typeorm.ts'
import type { TestDatabase } from '../support/database.ts'
import { applyExample, exampleDatabase } from '../examples/example.ts'

const id = { type: Number, primary: true, generated: 'increment' } as const
const Usuario = new EntitySchema<{ id: number; nombre: string; rol: string }>({
  name: 'Usuario',
  tableName: 'usuarios',
  columns: { id, nombre: { type: String }, rol: { type: String, default: 'cliente' } },
})
const Producto = new EntitySchema<{ id: number; nombre: string; precio: string }>({
  name: 'Producto',
  tableName: 'productos',
  columns: { id, nombre: { type: String }, precio: { type: 'numeric' } },
})
interface Item {
  id: number
  pedido: Pedido
  producto_id: number
  cantidad: number
}
interface Pedido {
  id: number
  usuario_id: number
  estado: string
  metodo_pago: string
  total: string
  items: Item[]
}
const Pedido = new EntitySchema<Pedido>({
  name: 'Pedido',
  tableName: 'pedidos',
  columns: {
    id,
    usuario_id: { type: Number },
    estado: { type: String, default: 'pendiente' },
    metodo_pago: { type: String },
    total: { type: 'numeric' },
  },
  relations: {
    items: { type: 'one-to-many', target: 'Item', inverseSide: 'pedido', cascade: true },
  },
})
const Item = new EntitySchema<Item>({
  name: 'Item',
  tableName: 'pedido_items',
  columns: { id, producto_id: { type: Number }, cantidad: { type: Number } },
  relations: {
    pedido: { type: 'many-to-one', target: 'Pedido', joinColumn: { name: 'pedido_id' } },
  },
})

let db: TestDatabase
let source: DataSource
let caches: Caches

async function open(options: Parameters<typeof openCaches>[1] = {}): Promise<void> {
  caches = openCaches(db.sql, options)
  source = new DataSource({
    type: 'postgres',
    url: db.url,
    entities: [Usuario, Producto, Pedido, Item],
  })
  await source.initialize()
  source.subscribers.push(cacheSubscriber(caches.cache))
}

beforeEach(async () => {
  db = await exampleDatabase('electro-isla')
  await db.sql(`
    insert into usuarios (nombre) values ('Ana'), ('Beto');
    insert into productos (nombre, precio) values ('Foco LED', 89.99), ('Cable', 20)`)
})
afterEach(async () => {
  await source.destroy()
  await caches.cache.close()
  await db.drop()
})

/** Which entries a write made untrue; all are there before it. */
async function outdatedBy(work: () => Promise<unknown>): Promise<string[]> {
  const entries = {
    estadisticas_ventas: caches.estadisticasVentas.prepare(),
    estadisticas_usuarios: caches.estadisticasUsuarios.prepare(),
    productos_vendidos: caches.productosVendidos.prepare(),
    metodos_pago: caches.metodosPago.prepare(),
    lista_productos: caches.listaProductos.prepare(),
    producto_1: caches.producto.prepare(1),
    producto_2: caches.producto.prepare(2),
    perfil_usuario_1: caches.perfilUsuario.prepare(1),
    perfil_usuario_2: caches.perfilUsuario.prepare(2),
  }
  for (const entry of Object.values(entries)) await entry.get()
  await work()
  return Object.entries(entries).flatMap(([name, { hit }]) => (hit() === undefined ? [name] : []))
}

const ofProducto = ['estadisticas_ventas', 'productos_vendidos', 'lista_productos', 'producto_1']

describe('E3: what the signals of Electro Isla did', () => {
  beforeEach(() => open())

  test('producto.save() and producto.delete(): the statistics, the best sellers, the list, and that one product', async () => {
    const productos = source.getRepository(Producto)
    const producto = await productos.findOneByOrFail({ id: 1 })
    producto.precio = '99.99'
    expect(await outdatedBy(() => productos.save(producto))).toEqual(ofProducto)
    expect((await caches.listaProductos.get()).value[0]).toMatchObject({ precio: '99.99' })
    expect(await outdatedBy(() => productos.remove(producto))).toEqual(ofProducto)
    expect((await caches.producto.get(1)).value).toBe(null)
  })

  test('an order with its items, in one save(): also the best sellers and the most active users, which it forgot', async () => {
    const pedidos = source.getRepository(Pedido)
    const pedido = pedidos.create({ usuario_id: 1, metodo_pago: 'tarjeta', total: '89.99' })
    const items = [{ producto_id: 1, cantidad: 1 } as Item]
    const ofPedido = ['estadisticas_ventas', 'estadisticas_usuarios', 'metodos_pago']
    expect(await outdatedBy(() => pedidos.save({ ...pedido, items }))).toEqual([
      'estadisticas_ventas',
      'estadisticas_usuarios',
      'productos_vendidos',
      'metodos_pago',
    ])
    expect((await caches.productosVendidos.get()).value).toMatchObject([{ nombre: 'Foco LED' }])
    const saved = await pedidos.findOneByOrFail({ id: 1 })
    saved.estado = 'pagado'
    expect(await outdatedBy(() => pedidos.save(saved))).toEqual(ofPedido)
  })

  test('a user who is new or whose role changes: the statistics of users, and that profile', async () => {
    const usuarios = source.getRepository(Usuario)
    expect(await outdatedBy(() => usuarios.save({ nombre: 'Carla' }))).toEqual([
      'estadisticas_usuarios',
    ])
    const usuario = await usuarios.findOneByOrFail({ id: 2 })
    usuario.rol = 'staff'
    expect(await outdatedBy(() => usuarios.save(usuario))).toEqual([
      'estadisticas_usuarios',
      'perfil_usuario_2',
    ])
  })

  test('a bulk update, which sent no signal', async () => {
    const productos = source.getRepository(Producto)
    expect(await outdatedBy(() => productos.updateAll({ precio: '1' }))).toEqual([
      ...ofProducto,
      'producto_2',
    ])
  })
})

test('E3: with a database that tells, a cascade is in what this process answers as soon as the ORM has deleted', async () => {
  await applyExample(db, 'electro-isla')
  // So seldom does the cache look by itself that only the write can have made it look.
  await open({ database: db.url, maxLag: '1h' })
  await caches.cache.start()
  await db.sql(`
    insert into pedidos (usuario_id, metodo_pago, total) values (1, 'tarjeta', 1);
    insert into pedido_items (pedido_id, producto_id, cantidad) values (1, 1, 1)`)
  const pedidos = source.getRepository(Pedido)
  const outdated = await outdatedBy(() => pedidos.delete({ id: 1 }))
  expect(outdated).toContain('productos_vendidos')
  expect((await caches.productosVendidos.get()).value).toEqual([])
})
