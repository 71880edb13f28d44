import { defineConfig } from 'tidemark'

/** The view that pg_cron refreshed every five minutes, now never older than two seconds. */
export default defineConfig({
  views: {
    mv_conversaciones_dashboard: {
      adopt: 'public.mv_conversaciones_dashboard',
      target: '2s',
      policy: 'eager',
      schedules: [{ name: 'refresh-conversaciones-dashboard', cron: '*/5 * * * *' }],
    },
  },
})
