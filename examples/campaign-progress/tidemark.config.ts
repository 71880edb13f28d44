import { defineConfig } from 'tidemark'

const view = { target: '5m', schedules: ['*/5 * * * *'] }
const ofUser = { usuario_id: 'usuario_id' }

/**
 * The progress of campaigns as a table that never holds what is no longer true. A write empties the rows of its user within
 * its own transaction; nothing is filled from a view that lacks the write; the views are within five minutes, as they were.
 */
export default defineConfig({
  views: {
    vw_polizas_metricas: { adopt: 'public.vw_polizas_metricas', ...view },
    vw_cancelaciones_indices: { adopt: 'public.vw_cancelaciones_indices', ...view },
    vw_rc_metricas: { adopt: 'public.vw_rc_metricas', ...view },
  },
  cacheTables: {
    campaign_progress: {
      key: ['usuario_id', 'campaign_id'],
      updatedAt: 'computed_at',
      ttl: '5m',
      paths: ['/api/cron/clean-campaign-cache'],
      views: ['vw_polizas_metricas', 'vw_cancelaciones_indices', 'vw_rc_metricas'],
      rules: [
        {
          on: 'candidatos',
          lookup: 'select id as usuario_id from usuarios where email = $email_agente',
        },
        { on: 'polizas', key: ofUser },
        { on: 'clientes', key: ofUser },
        { on: 'prospectos', key: ofUser },
        { on: 'planificaciones', key: ofUser },
        { on: 'campaigns_custom_metrics', key: { ...ofUser, campaign_id: 'campaign_id' } },
        { on: 'user_segments', key: ofUser },
      ],
    },
  },
})
