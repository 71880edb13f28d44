import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { startEmbedded } from '../../src/postgres/embedded.ts'

/** Memory as a server for so much data would have it; everything else, fsync included, as PostgreSQL has it. */
const settings = {
  shared_buffers: '2GB',
  work_mem: '64MB',
  maintenance_work_mem: '512MB',
  max_wal_size: '8GB',
  effective_cache_size: '6GB',
  random_page_cost: 1.1,
}

/**
 * Runs a bench on a PostgreSQL 18 of its own, which is gone afterwards.
 */
export async function onBenchServer(
  body: (database: Database, url: string, postmaster: number) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  const server = await startEmbedded({ dataFolder: join(folder, 'data'), settings })
  const database = openDatabase(server.url)
  try {
    await body(database, server.url, server.pid)
  } finally {
    await database.close()
    await server.stop()
    // As root the data is elsewhere, where the account of the server can reach it.
    await rm(server.dataFolder, { recursive: true, force: true })
    await rm(folder, { recursive: true, force: true })
  }
}
