import { pendingMigrations } from '../define/migrate.ts'
import {
  configFileNames,
  findConfigFile,
  loadConfiguration,
} from '../define/config/load-configuration.ts'
import type { Configuration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import { openDatabase } from '../postgres/connection.ts'
import type { Database, DatabaseOptions, Queryable } from '../postgres/connection.ts'

export { configFileNames, loadConfiguration }
export { openDatabase } from '../postgres/connection.ts'
export type { Database, Queryable } from '../postgres/connection.ts'

/** Where the name of a database may come from, in the order in which they are asked. */
export interface UrlSources {
  /** `--database-url`. */
  readonly flag?: string
  readonly configuration: Configuration | null
  readonly environment: Readonly<Record<string, string | undefined>>
}

/**
 * The database that is meant: the flag, else the configuration, else `TIDEMARK_DATABASE_URL`, else
 * `DATABASE_URL`. Throws `TIDEMARK_DATABASE_URL_MISSING` when none of them names one.
 */
export function resolveDatabaseUrl({ flag, configuration, environment }: UrlSources): string {
  const url = [
    flag,
    configuration?.databaseUrl,
    environment['TIDEMARK_DATABASE_URL'],
    environment['DATABASE_URL'],
  ].find((text) => text !== undefined && text !== null && text.trim() !== '')
  if (url !== undefined && url !== null) return url
  throw new TidemarkError({
    code: 'TIDEMARK_DATABASE_URL_MISSING',
    what: 'No database is named',
    mend: 'Write --database-url postgres://user@host/database, or set TIDEMARK_DATABASE_URL.',
  })
}

/** The configuration, where there is one: null when none was named and none is in the folder. */
export async function loadConfigurationIfThere(
  folder: string,
  named?: string,
): Promise<Configuration | null> {
  if (named !== undefined) return loadConfiguration(folder, named)
  try {
    findConfigFile(folder)
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'TIDEMARK_CONFIG_NOT_FOUND') return null
    throw error
  }
  return loadConfiguration(folder)
}

/**
 * Opens a database in which Tidemark is installed, in the version of this program.
 * Throws `TIDEMARK_NOT_INSTALLED`, `TIDEMARK_SCHEMA_OLDER` or `TIDEMARK_SCHEMA_NEWER`, and what makes
 * a connection fail. The caller closes it.
 */
export async function openInstalled(url: string, options: DatabaseOptions = {}): Promise<Database> {
  const database = openDatabase(url, options)
  try {
    await checkSchema(database)
    return database
  } catch (error) {
    await database.close()
    throw error
  }
}

/** What {@link checkSchema} throws, as a word; `unreadable` is not thrown: a mere reader may go on. */
export type SchemaState = 'current' | 'absent' | 'older' | 'unreadable'

/**
 * How Tidemark's schema in a database compares with this program.
 * Throws `TIDEMARK_SCHEMA_NEWER` or `TIDEMARK_SCHEMA_CHANGED` for one that this program must not touch.
 */
export async function schemaState(database: Queryable): Promise<SchemaState> {
  const [found] = await database.query<{ there: boolean; readable: boolean }>(
    `select n.oid is not null as there,
            n.oid is not null and has_schema_privilege(n.oid, 'usage')
              and c.oid is not null and has_table_privilege(c.oid, 'select') as readable
       from (select) one
       left join pg_namespace n on n.nspname = 'tidemark'
       left join pg_class c on c.relnamespace = n.oid and c.relname = 'migration'`,
  )
  if (found?.there !== true) return 'absent'
  if (!found.readable) return (await hasMigrations(database)) ? 'unreadable' : 'absent'
  return (await pendingMigrations(database)).length === 0 ? 'current' : 'older'
}

async function hasMigrations(database: Queryable): Promise<boolean> {
  const [found] = await database.query(
    `select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'tidemark' and c.relname = 'migration'`,
  )
  return found !== undefined
}

/**
 * Refuses a role that may not run the engine, whose every look would fail.
 * Throws `TIDEMARK_PRIVILEGE_MISSING`.
 */
export async function checkMayRun(database: Queryable): Promise<void> {
  const [row] = await database.query<{ role: string; may: boolean }>(
    `select current_user::text as role,
            has_schema_privilege('tidemark', 'usage')
              and has_function_privilege('tidemark.tick()', 'execute') as may`,
  )
  if (row?.may !== false) return
  throw new TidemarkError({
    code: 'TIDEMARK_PRIVILEGE_MISSING',
    what: `Role ${row.role} may not run the engine`,
    mend: `Name it in the configuration, database: { runtimeRole: '${row.role}' }, and run 'tidemark apply' as the role that applies.`,
  })
}

/** Refuses a database in which Tidemark is not installed, or in another version. */
export async function checkSchema(database: Queryable): Promise<void> {
  const state = await schemaState(database)
  if (state === 'absent') {
    throw new TidemarkError({
      code: 'TIDEMARK_NOT_INSTALLED',
      what: 'Tidemark is not installed in this database',
      mend: "Declare views in a configuration and run 'tidemark apply'; 'tidemark init' writes one.",
    })
  }
  if (state === 'older') {
    throw new TidemarkError({
      code: 'TIDEMARK_SCHEMA_OLDER',
      what: 'The schema of Tidemark in this database is older than this program',
      mend: "Run 'tidemark apply': it brings the schema up to date.",
    })
  }
}
