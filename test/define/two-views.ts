import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'

/** Two tables, one of them with a hundred rows. */
export const ordersAndItems = `
  create table orders (id int primary key, region text, amount numeric(10,2));
  insert into orders select g, 'r' || g % 3, g from generate_series(1, 100) g;
  create table items (id int primary key, order_id int, price numeric);`

/** The query of `by_region` in {@link config}. */
export const byRegion = 'select region, sum(amount) as total from orders group by region'

/** A view with everything that can be declared of it, and a materialized view that reads it. */
export const config: TidemarkConfig = {
  database: { readerRoles: ['public'] },
  views: {
    by_region: {
      sql: byRegion,
      target: '1m',
      indexes: ['unique (region)'],
      schedules: ['0 * * * *'],
      events: [{ on: 'orders', when: 'amount >= 10000', priority: 'critical' }],
      fallback: 'source',
    },
    total: { sql: 'select sum(total) as total from by_region', as: 'matview' },
  },
}
