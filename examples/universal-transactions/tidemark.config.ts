import { defineConfig } from 'tidemark'

/** Three levels: cron as a base line, events for what is large, by hand for who may. */
export default defineConfig({
  database: { timeZone: 'America/Mexico_City' },
  calendars: {
    oficina: { zone: 'America/Mexico_City', days: 'mon-fri', from: '09:00', to: '19:00' },
  },
  views: {
    universal_transactions_mv: {
      adopt: 'public.universal_transactions_mv',
      key: ['origen', 'id'],
      // `select tidemark.refresh(…)` answers with id, duration and rows only where one statement computes the view.
      maintain: 'full',
      target: '60m',
      schedules: [
        { name: 'hourly_job', cron: '0 * * * *' },
        { name: 'frequent_job', cron: '*/15 9-18 * * 1-5', businessHours: 'oficina' },
      ],
      events: ['cpg_consignment', 'cpg_pos', 'cpg_online'].map((table) => ({
        name: `${table} de 10,000 o más`,
        on: table,
        when: 'monto_total >= 10000',
        priority: 'critical' as const,
        batch: '5m',
      })),
      refreshBy: { roles: ['admin', 'cfo'], perHour: 10 },
      fallback: 'source',
    },
  },
})
