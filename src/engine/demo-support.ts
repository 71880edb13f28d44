/** What the demonstration needs of the folders below the engine. */
export { loadConfiguration } from '../define/config/load-configuration.ts'
export { openDatabase, openSession } from '../postgres/connection.ts'
export type { Database, Queryable, Session } from '../postgres/connection.ts'
export { startEmbedded } from '../postgres/embedded.ts'
export type { EmbeddedServer } from '../postgres/embedded.ts'
export { readFreshness, worstFirst } from '../observe/freshness.ts'
export { identifier, qualified, qualifiedName } from '../postgres/identifier.ts'
