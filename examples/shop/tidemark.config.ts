import { defineConfig } from 'tidemark'

/** Five dashboards of a shop, each with the staleness that its readers can live with. */
export default defineConfig({
  // Every refresh compares what it keeps with the query run afresh, at the same snapshot.
  defaults: { verify: 'sample' },

  views: {
    // The till: as fresh as can be.
    payments_by_month: {
      sql: `
        select date_trunc('month', p.paid_at at time zone 'UTC')::date as month, p.method,
          count(*) as payments, sum(p.amount) as paid
        from payments p
        group by 1, 2`,
      policy: 'eager',
      key: ['month', 'method'],
      target: '2s',
    },

    // Who owes us: sales staff call these customers.
    open_orders: {
      sql: `
        select c.customer_id, c.name, c.region,
          count(*) as orders, sum(o.total) as owed, min(o.ordered_at) as oldest
        from orders o
        join customers c using (customer_id)
        left join payments p using (order_id)
        where p.payment_id is null and o.status <> 'cancelled'
        group by c.customer_id`,
      key: ['customer_id'],
      target: '10s',
      indexes: ['(region, owed)'],
    },

    sales_by_day: {
      sql: `
        select (o.ordered_at at time zone 'UTC')::date as day, c.region,
          count(*) as orders, sum(o.total) as revenue, avg(o.total)::numeric(12, 2) as mean
        from orders o
        join customers c using (customer_id)
        where o.status <> 'cancelled'
        group by 1, 2`,
      key: ['day', 'region'],
      target: '30s',
    },

    // One group, one snapshot: the best sellers and the whole list never contradict each other.
    revenue_by_product: {
      sql: `
        select p.product_id, p.name, p.category,
          sum(l.quantity) as sold, sum(l.quantity * l.unit_price) as revenue
        from products p
        join order_lines l using (product_id)
        group by p.product_id`,
      group: 'products',
      key: ['product_id'],
      target: '15s',
      indexes: ['(category, revenue desc)'],
    },

    top_products: {
      sql: `
        select category, place, name, sold, revenue
        from (
          select p.category, p.name, sum(l.quantity) as sold, sum(l.quantity * l.unit_price) as revenue,
            row_number() over (
              partition by p.category order by sum(l.quantity * l.unit_price) desc, p.product_id
            ) as place
          from products p
          join order_lines l using (product_id)
          group by p.product_id
        ) ranked
        where place <= 10`,
      group: 'products',
      key: ['category', 'place'],
      target: '15s',
    },
  },
})
