/** What `tidemark init` writes where there is nothing to adopt: a configuration to fill in. */
export const configTemplate = `import { defineConfig } from 'tidemark'

// The database is TIDEMARK_DATABASE_URL, else DATABASE_URL. Next: tidemark plan
export default defineConfig({
  views: {
    // One view: its query, and how stale it may become.
    //
    // sales_by_day: {
    //   sql: \`
    //     select ordered_at::date as day, count(*) as orders, sum(total) as revenue
    //     from orders
    //     group by 1\`,
    //   key: ['day'],
    //   target: '30s',
    // },
    //
    // A materialized view that exists, taken over under its own name:
    //
    // mv_revenue: { adopt: 'public.mv_revenue', target: '5m' },
  },
})
`
