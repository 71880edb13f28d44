import { spawn, spawnSync } from 'node:child_process'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, RunningServer } from '../../src/postgres/cluster.ts'
import { freePort, initialiseCluster, isAlive, startCluster } from '../../src/postgres/cluster.ts'
import type { EmbeddedServer } from '../../src/postgres/embedded.ts'
import { startEmbedded } from '../../src/postgres/embedded.ts'
import { plainUser } from '../../src/postgres/plain-user.ts'

/** A server of a test's own, which may be killed, stopped and started again on the same data and port. */
export interface OwnServer {
  readonly port: number
  /** The URL of one of its databases, as superuser. */
  readonly url: (database?: string) => string
  /** SIGKILL for the postmaster and all its processes: the machine lost its power. */
  readonly kill: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly start: () => Promise<void>
  /** Stops it and removes its data. */
  readonly remove: () => Promise<void>
}

/** Where Debian's PostgreSQL 15 keeps its programs. */
const debianBinFolder = '/usr/lib/postgresql/15/bin'

type Settings = Readonly<Record<string, string | number>>

/** The embedded server as users get it: with fsync, so that what it acknowledged is on the disk. */
export async function ownEmbeddedServer(settings: Settings = {}): Promise<OwnServer> {
  const folder = await openFolder()
  let running: EmbeddedServer = await startEmbedded({ dataFolder: join(folder, 'data'), settings })
  const { port } = running
  return {
    port,
    url: (database = 'postgres') => running.url.replace(/\/postgres$/, `/${database}`),
    kill: () => killAll(running),
    stop: () => running.stop(),
    async start() {
      running = await startEmbedded({ dataFolder: join(folder, 'data'), settings, port })
    },
    async remove() {
      await running.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A cluster of Debian's PostgreSQL 15; everyone is trusted. */
export async function ownDebianServer(settings: Settings = {}): Promise<OwnServer> {
  const folder = await openFolder()
  const cluster = debianCluster(join(folder, 'data'))
  await initialiseCluster(cluster, { passwordFile: null, sync: false })
  return started(cluster, settings, folder)
}

/** A streaming standby of a Debian server, made by pg_basebackup. */
export async function standbyOf(primary: OwnServer): Promise<OwnServer> {
  const folder = await openFolder()
  const cluster = debianCluster(join(folder, 'data'))
  await debianProgram('pg_basebackup', [
    ...['-D', cluster.dataFolder, '-d', primary.url()],
    ...['-R', '-X', 'stream', '-c', 'fast', '--no-sync'],
  ])
  return started(cluster, {}, folder)
}

/** Runs a program of Debian's PostgreSQL to its end as the server's account; rejects with what it wrote. */
export async function debianProgram(name: string, args: readonly string[]): Promise<string> {
  const user = plainUser()
  const child = spawn(join(debianBinFolder, name), args, {
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    cwd: debianBinFolder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (status !== 0) throw new Error(`${name} ended with ${String(status)}: ${output}`)
  return output
}

/** A folder that the server's account owns and that other accounts may pass through. */
export async function openFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `tidemark-test-${process.pid}-`))
  await chmod(folder, 0o755)
  const user = plainUser()
  if (user !== null) await chown(folder, user.uid, user.gid)
  return folder
}

function debianCluster(dataFolder: string): Cluster {
  return { binFolder: debianBinFolder, dataFolder, user: plainUser() }
}

async function started(cluster: Cluster, settings: Settings, folder: string): Promise<OwnServer> {
  const port = await freePort()
  const options = {
    port,
    settings: { fsync: 'off', timezone: 'UTC', ...settings },
    onLog: () => undefined,
  }
  let running = await startCluster(cluster, options)
  return {
    port,
    url: (database = 'postgres') => `postgres://postgres@127.0.0.1:${port}/${database}`,
    kill: () => killAll(running),
    stop: () => running.stop(),
    async start() {
      running = await startCluster(cluster, options)
    },
    async remove() {
      await running.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function killAll(server: Pick<RunningServer, 'pid' | 'ended'>): Promise<void> {
  const { stdout } = spawnSync('pgrep', ['-P', String(server.pid)], { encoding: 'utf8' })
  const family = [server.pid, ...stdout.split('\n').filter(Boolean).map(Number)]
  for (const pid of family) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended between the list and the signal.
    }
  }
  await server.ended
  while (family.some(isAlive)) await sleep(5)
}
