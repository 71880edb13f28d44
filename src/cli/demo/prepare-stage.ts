import { rm } from 'node:fs/promises'
import { must } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import { applyConfiguration } from '../../engine/define.ts'
import { loadConfiguration, openDatabase, startEmbedded } from '../../engine/demo-support.ts'
import type { Database, EmbeddedServer } from '../../engine/demo-support.ts'
import type { ViewDeclaration } from '../../model/declaration.ts'
import { TidemarkError, faultIn } from '../../model/errors.ts'
import { CommitLedger } from './commit-ledger.ts'
import type { DemoOptions } from './demo-options.ts'
import { DemoStage } from './demo-stage.ts'
import type { ShopView } from './demo-stage.ts'
import { EngineProcess } from './engine-process.ts'
import { foundShop, readShop, shopFolder } from './found-shop.ts'
import { loadBatch } from './load-shop.ts'
import { ShopWriter } from './shop-writer.ts'
import { Twins, bareName } from './twins.ts'
import { Watch } from './watch.ts'

/** Tells one step in one line, with the time it took. */
export type Step = <Result>(text: string, work: () => Promise<Result>) => Promise<Result>

/** A server with the shop's database on it. */
export interface ShopServer {
  readonly server: EmbeddedServer
  readonly database: Database
  readonly databaseUrl: string
}

const shopDatabase = 'shop'
/** A run shorter than this keeps all targets low, so that each view is refreshed often in it. */
const hurriedBelowMs = 180_000
/** Enough that every view has rows to show. */
const firstBatch = 2_000

/** As on a small server of one's own: durable, and large enough that a load is no storm of checkpoints. */
const settings = {
  shared_buffers: '256MB',
  synchronous_commit: 'on',
  max_wal_size: '4GB',
  min_wal_size: '1GB',
  checkpoint_timeout: '15min',
  work_mem: '32MB',
  maintenance_work_mem: '128MB',
  effective_cache_size: '1GB',
  random_page_cost: 1.1,
  autovacuum_naptime: '10s',
  max_connections: 60,
  log_checkpoints: 'off',
}

/** Starts PostgreSQL on the data of the demonstration, or on new data. */
export async function startShopServer(options: DemoOptions, step: Step): Promise<ShopServer> {
  const server = await step('start an embedded PostgreSQL 18', async () => {
    const start = {
      dataFolder: options.folder,
      settings,
      ...(options.port === null ? {} : { port: options.port }),
    }
    if (!options.reset) return startEmbedded(start)
    // Started once first: it refuses a folder that is in use or is not of an embedded server.
    const old = await startEmbedded(start)
    await old.stop()
    await rm(old.dataFolder, { recursive: true, force: true })
    return startEmbedded(start)
  })
  try {
    const databaseUrl = await makeDatabase(server.url)
    return { server, databaseUrl, database: openDatabase(databaseUrl, { connectionsMax: 16 }) }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** Makes the shop and declares its views; nothing runs yet. */
export async function prepareStage(
  shopServer: ShopServer,
  options: DemoOptions,
  step: Step,
): Promise<DemoStage> {
  const { database, databaseUrl, server } = shopServer
  const shop = await step('open the shop', async () => {
    const found = await foundShop(database, { lines: options.lines, seed: options.seed })
    if (found.ordersLoaded === 0) await loadBatch(database, firstBatch)
    return readShop(database)
  })
  const hurried = options.forMs !== null && options.forMs < hurriedBelowMs
  const config = shopFolder + (hurried ? 'hurried.config.ts' : 'tidemark.config.ts')
  const views = await step('declare five views and fill them', async () => {
    const configuration = await loadConfiguration(shopFolder, config)
    await applyConfiguration(database, configuration).catch((error: unknown) => {
      throw ofEarlierVersion(error) ?? error
    })
    return configuration.views.map(shopView)
  })
  const twins = await step('make a twin of each, the old way', async () => {
    const made = new Twins(await withSources(database, views))
    await made.create(database)
    return made
  })
  const [version] = await database.query<{ text: string }>(
    `select split_part(current_setting('server_version'), ' ', 1) as text`,
  )
  const ledger = new CommitLedger()
  // What is told comes after the stage that tells it.
  const stageOf = (): DemoStage => stage
  const tell = (text: string): void => {
    stageOf().tell(text)
  }
  const stage: DemoStage = new DemoStage({
    server,
    serverVersion: version?.text ?? '18',
    database,
    shop,
    views,
    twins,
    ledger,
    watch: new Watch(database),
    writer: new ShopWriter({
      database,
      ledger,
      shop,
      rate: options.rate,
      clock: systemClock,
      onFailure: (error) => {
        tell(`a write failed: ${messageOf(error)}`)
      },
    }),
    engine: new EngineProcess({ command: engineCommand(config), databaseUrl, onEvent: tell }),
  })
  return stage
}

/** What to do about the data of a demonstration that another version of the program has left. Undefined: it is not that. */
function ofEarlierVersion(error: unknown): TidemarkError | undefined {
  const fault = faultIn(error)
  if (fault?.code !== 'TIDEMARK_SCHEMA_CHANGED' && fault?.code !== 'TIDEMARK_SCHEMA_NEWER')
    return undefined
  return new TidemarkError({
    code: fault.code,
    what: 'The data of the last demonstration was made by another version of Tidemark',
    mend: "'npm start -- --reset' or 'tidemark demo --reset' begins with new data.",
    cause: error,
  })
}

/** An error in one line. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** This very program, as the engine. */
function engineCommand(config: string): readonly string[] {
  const program = must(process.argv[1], 'a program of Node has a file')
  return [...process.execArgv, program, 'up', '--config', config]
}

async function makeDatabase(adminUrl: string): Promise<string> {
  const admin = openDatabase(adminUrl, { connectionsMax: 1 })
  try {
    const [found] = await admin.query('select from pg_database where datname = $1', [shopDatabase])
    if (found === undefined) await admin.query(`create database ${shopDatabase}`)
  } finally {
    await admin.close()
  }
  const url = new URL(adminUrl)
  url.pathname = `/${shopDatabase}`
  return url.href
}

/** What the demonstration needs of a declared view. */
export function shopView({ name, definition, key }: ViewDeclaration): ShopView {
  return {
    name,
    sql: definition.kind === 'adopt' ? `table ${bareName(definition.relation)}` : definition.sql,
    key: must(key, 'every view of the shop declares its key'),
  }
}

async function withSources(
  database: Database,
  views: readonly ShopView[],
): Promise<readonly (ShopView & { readonly sources: readonly string[] })[]> {
  const rows = await database.query<{ view: string; sources: string[] }>(
    `select view, array_agg(regexp_replace(source, '^public[.]', '')) as sources
       from tidemark.view_source group by view`,
  )
  return views.map((view) => ({
    ...view,
    sources: rows.find((row) => row.view === view.name)?.sources ?? [],
  }))
}
