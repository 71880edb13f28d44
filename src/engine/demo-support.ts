import type { Configuration } from '../model/declaration.ts'
import type { Database } from '../postgres/connection.ts'

/** What the demonstration needs of the folders below the engine. */
export { loadConfiguration } from '../define/config/load-configuration.ts'
export { openDatabase, openSession } from '../postgres/connection.ts'
export type { Database, Queryable, Session } from '../postgres/connection.ts'
export { startEmbedded } from '../postgres/embedded.ts'
export type { EmbeddedServer } from '../postgres/embedded.ts'
export { readFreshness, worstFirst } from '../observe/freshness.ts'
export { identifier, qualified, qualifiedName } from '../postgres/identifier.ts'

/** Not there yet: planning and applying are being built. */
export function applyConfiguration(
  database: Database,
  configuration: Configuration,
): Promise<void> {
  return Promise.reject(
    new Error(`${configuration.views.length} views cannot be applied yet to ${typeof database}`),
  )
}
