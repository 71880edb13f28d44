import { afterEach, expect, test } from 'vitest'
import type { CacheManager, CacheOptions, Kind, TableWrite } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'

let open: CacheManager[] = []

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
})

/** A cache without a database, and what writes to `productos` and `usuarios` may concern. */
function shop(options: Partial<CacheOptions> = {}) {
  const cache = createCache({ namespace: 'shop', tenantForm: '{}', ...options })
  open.push(cache)
  const load = (...args: readonly unknown[]): unknown => ({ args })
  const kinds = {
    lista: cache.define('lista', () => load(), { dependsOn: ['productos'] }),
    producto: cache.define('producto', (id: number | string | null) => load(id), {
      dependsOn: { productos: 'id' },
    }),
    marca: cache.define('marca', (tienda: number, marca: string) => load(tienda, marca), {
      dependsOn: {
        productos: { tienda_id: (tienda) => tienda, marca: (_tienda, marca) => marca },
      },
    }),
    perfil: cache.define('perfil', (id: number) => load(id), { tenant: (id) => id }),
    roles: cache.define('roles', () => load()),
  }
  return { cache, ...kinds }
}

/** Whether an entry is still answered after writes. */
async function lasts<Args extends readonly unknown[]>(
  cache: CacheManager,
  kind: Kind<Args, unknown>,
  args: Args,
  write: Partial<TableWrite>,
): Promise<boolean> {
  const entry = kind.prepare(...args)
  await entry.get()
  await cache.wrote([{ table: 'productos', rows: null, columns: null, ...write }])
  return entry.hit() !== undefined
}

test('a write whose rows are known invalidates what depends on these rows, and what depends on the table', async () => {
  const { cache, lista, producto, marca } = shop()
  const rows = [{ id: 1, tienda_id: 7, marca: 'Osram' }]
  expect(await lasts(cache, lista, [], { rows })).toBe(false)
  expect(await lasts(cache, producto, [1], { rows })).toBe(false)
  expect(await lasts(cache, producto, [2], { rows })).toBe(true)
  expect(await lasts(cache, marca, [7, 'Osram'], { rows })).toBe(false)
  expect(await lasts(cache, marca, [7, 'Philips'], { rows })).toBe(true)
  expect(await lasts(cache, marca, [7, 'Osram'], { rows, table: 'ventas.productos' })).toBe(true)
  expect(await lasts(cache, lista, [], { rows: [] })).toBe(true)
})

test('a write that leaves a column untold invalidates whatever tells rows apart by it', async () => {
  const { cache, producto, marca } = shop()
  const rows = [{ id: 1, tienda_id: 7 }]
  expect(await lasts(cache, marca, [8, 'Philips'], { rows })).toBe(false)
  expect(await lasts(cache, producto, [2], { rows: [{ id: 1 }, {}] })).toBe(false)
  expect(await lasts(cache, producto, [2], { rows: null })).toBe(false)
  expect(await lasts(cache, producto, [2], { rows: [{ id: new Date(0) }] })).toBe(false)
  const many = Array.from({ length: 1_001 }, (_, id) => ({ id: id + 10 }))
  expect(await lasts(cache, producto, [2], { rows: many })).toBe(false)
})

test('a value is recognised in every spelling that PostgreSQL would understand', async () => {
  const { cache, producto } = shop()
  const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
  const spelt = [
    [5, '5'],
    [5, ' +05 '],
    [5, 5n],
    [-3, '-03'],
    [null, null],
    [id, id.toUpperCase()],
    [id, `{${id.replaceAll('-', '')}}`],
  ] as const
  for (const [kept, written] of spelt) {
    const rows = [{ id: written }]
    expect(await lasts(cache, producto, [kept], { rows }), String(written)).toBe(false)
  }
  // Which day that is depends on settings of the server: as good as untold.
  expect(await lasts(cache, producto, [5], { rows: [{ id: '2026-11-22T00:00:00Z' }] })).toBe(false)
})

test('onWrite: patterns by table or by model, with places for columns, some for updates of some columns alone', async () => {
  const { cache, perfil, roles } = shop({
    onWrite: {
      Usuario: ['perfil:{id}:*', { invalidates: ['roles:*'], columns: ['rol'] }],
      'rrhh.turnos': ['roles:*'],
    },
  })
  await cache.start()
  const saved = { table: 'usuarios', model: 'Usuario', rows: [{ id: 1, rol: 'x' }] }
  expect(await lasts(cache, perfil, [1], saved)).toBe(false)
  expect(await lasts(cache, perfil, [2], saved)).toBe(true)
  expect(await lasts(cache, perfil, [2], { ...saved, rows: null })).toBe(false)
  expect(await lasts(cache, perfil, [2], { ...saved, rows: [{ rol: 'x' }] })).toBe(false)
  expect(await lasts(cache, roles, [], saved)).toBe(false)
  expect(await lasts(cache, roles, [], { ...saved, columns: ['nombre'] })).toBe(true)
  expect(await lasts(cache, roles, [], { ...saved, columns: ['nombre', 'rol'] })).toBe(false)
  expect(await lasts(cache, roles, [], { table: 'rrhh.turnos' })).toBe(false)
  expect(await lasts(cache, roles, [], { table: 'turnos' })).toBe(true)
})

test('a pattern of onWrite that no key can match is refused at start', async () => {
  const { cache } = shop({ onWrite: { Usuario: ['perfiles:{id}:*'] } })
  await expect((async () => cache.start())()).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_INVALID',
    what: expect.stringContaining('perfiles:{id}:*') as unknown,
  })
})

test('onWrite: what cannot be read is refused before anything is written', () => {
  const lists: readonly unknown[] = [
    'perfil:*',
    [],
    [{ invalidates: ['roles:*'] }],
    [{ invalidates: 'roles:*', columns: ['rol'] }],
    [{ invalidates: ['roles:*'], columns: [] }],
    [{ invalidates: ['roles:*'], columnas: ['rol'] }],
    [7],
  ]
  for (const list of lists) {
    const onWrite = { Usuario: list } as NonNullable<CacheOptions['onWrite']>
    expect(() => shop({ onWrite }), JSON.stringify(list)).toThrow(
      expect.objectContaining({
        code: 'TIDEMARK_CACHE_INVALID',
        place: "createCache.onWrite['Usuario']",
      }),
    )
  }
})

test('a load under way when its table is written is not kept', async () => {
  const { cache } = shop()
  let finish: (value: number) => void = () => undefined
  const slow = cache.define('lento', () => new Promise<number>((done) => (finish = done)), {
    dependsOn: ['productos'],
  })
  const first = slow.get()
  await new Promise((done) => setImmediate(done))
  await cache.wrote([{ table: 'productos', rows: [{ id: 1 }], columns: null }])
  finish(1)
  expect((await first).value).toBe(1)
  expect(slow.prepare().hit()).toBe(undefined)
})
