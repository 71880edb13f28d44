import { fillConfiguration } from '../../src/define/config/fill-configuration.ts'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration, planDestroy } from '../../src/engine/define.ts'
import type { Configuration } from '../../src/model/declaration.ts'
import type { Plan } from '../../src/model/plan.ts'
import { stepSigns } from '../../src/model/plan.ts'
import type { Database } from '../../src/postgres/connection.ts'

/** A configuration from a value, as `tidemark.config.ts` would give it. */
export const configured = (config: TidemarkConfig): Configuration =>
  fillConfiguration(config, { path: null, readText: () => null })

/** Plans and applies; returns the plan. */
export async function planAndApply(
  database: Database,
  config: TidemarkConfig,
  options: Parameters<typeof apply>[2] = {},
): Promise<Plan> {
  const plan = await planConfiguration(database, configured(config))
  await apply(database, plan, { populate: false, ...options })
  return plan
}

/** Takes everything away. */
export async function destroyAll(database: Database): Promise<Plan> {
  const plan = await planDestroy(database)
  await apply(database, plan, { allowDestructive: true })
  return plan
}

/** The steps of a plan as signs and names, `+ view public.sales`; warnings left out. */
export const titles = ({ steps }: Plan): readonly string[] =>
  steps
    .filter(({ kind }) => kind !== 'warn')
    .map(({ kind, noun, name }) => `${stepSigns[kind]} ${noun} ${name}`)
