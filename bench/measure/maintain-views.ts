import { fillConfiguration } from '../../src/define/config/fill-configuration.ts'
import type { TidemarkConfig, ViewConfig } from '../../src/define/config/tidemark-config.ts'
import { applyConfiguration } from '../../src/engine/define.ts'
import type { Database } from '../../src/postgres/connection.ts'
import type { Compared } from './compare.ts'

/** Applies a configuration and gathers statistics of all tables; throws unless every view was populated. */
export async function maintainViews(database: Database, config: TidemarkConfig): Promise<void> {
  const configuration = fillConfiguration(config, { path: null, readText: () => null })
  const populated = await applyConfiguration(database, configuration)
  for (const { group, outcome } of populated)
    if (outcome !== 'completed') throw new Error(`${group}: ${outcome}`)
  await database.query('vacuum analyze')
}

/** The views that are compared with twins, as a configuration declares them, all alike. */
export const declared = (
  views: readonly Compared[],
  choices: Omit<ViewConfig, 'sql'>,
): TidemarkConfig => ({
  views: Object.fromEntries(views.map(({ name, sql }) => [`public.${name}`, { sql, ...choices }])),
})
