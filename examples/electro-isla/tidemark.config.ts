import { defineConfig } from 'tidemark'

/**
 * What the caches of the shop depend on, told by the database itself: so that bulk updates, psql, triggers and cascades, of which no
 * ORM sends a signal, invalidate as well.
 */
export default defineConfig({
  views: {},
  caches: {
    electro_isla: {
      dependsOn: {
        usuarios: [[], ['id']],
        productos: [[], ['id']],
        pedidos: [],
        pedido_items: [],
      },
    },
  },
})
