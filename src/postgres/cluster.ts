import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** The account that a server runs under when we are root, which PostgreSQL refuses to be. */
export interface PlainUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** A data folder and the programs that serve it. */
export interface Cluster {
  /** Folder of `initdb` and `postgres`. */
  readonly binFolder: string
  readonly dataFolder: string
  /** Null: the account that we run under. */
  readonly user: PlainUser | null
}

/** How a cluster is made. */
export interface InitOptions {
  /** File with the password of `postgres`, readable by the user. Null: everyone is trusted. */
  readonly passwordFile: string | null
  /** False saves half a second where the data is not worth keeping. */
  readonly sync: boolean
}

/** How a server is started. */
export interface StartOptions {
  readonly port: number
  readonly settings: Readonly<Record<string, string | number>>
  /** Called with each line of the server's log. */
  readonly onLog: (line: string) => void
}

/** A server that accepts connections. */
export interface RunningServer {
  /** The postmaster. */
  readonly pid: number
  /** Resolves when the server has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Ends all sessions and stops cleanly; a second call waits for the same end. */
  readonly stop: () => Promise<void>
}

const readyWithinMs = 60_000
const stopWithinMs = 30_000
const logLinesKept = 20

/** Makes a cluster in UTF-8, sorted by code point, the same on every platform. */
export async function initialiseCluster(cluster: Cluster, options: InitOptions): Promise<void> {
  const version = await majorVersion(cluster)
  await runProgram(cluster, 'initdb', [
    `--pgdata=${cluster.dataFolder}`,
    '--username=postgres',
    '--encoding=UTF8',
    '--locale=C',
    ...(version >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []),
    ...(options.passwordFile === null
      ? ['--auth=trust']
      : ['--auth=scram-sha-256', `--pwfile=${options.passwordFile}`]),
    ...(options.sync ? [] : ['--no-sync']),
  ])
}

/**
 * Starts a server on 127.0.0.1; resolves when it accepts connections, rejects with the end of its log.
 *
 * Guarantees: Ctrl-C in the terminal does not reach the server (who started it stops it, after its own
 * work), and the server stops by itself when the process that started it is gone, however it went.
 */
export async function startCluster(
  cluster: Cluster,
  options: StartOptions,
): Promise<RunningServer> {
  // A server that was killed leaves its file behind, which calls it ready.
  const left = await readPostmaster(cluster.dataFolder)
  const child = spawnServer(cluster, options)
  const log: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      log.push(line)
      if (log.length > logLinesKept) log.shift()
      options.onLog(line)
    })
  }
  const state = { over: false }
  const ended = new Promise<void>((resolve) => {
    const finish = (): void => {
      state.over = true
      resolve()
    }
    child.on('error', (error) => {
      log.push(error.message)
      finish()
    })
    child.on('exit', () => child.stdin?.end())
    child.on('close', finish)
  })
  const deadline = Date.now() + readyWithinMs
  for (;;) {
    const postmaster = await readPostmaster(cluster.dataFolder)
    if (state.over) throw new Error(log.join('\n'))
    if (postmaster?.ready === true && isSuccessor(postmaster, left, options.port)) {
      return runningServer(postmaster.pid, ended)
    }
    if (Date.now() > deadline) {
      child.stdin?.end()
      throw new Error(`It was not ready within ${readyWithinMs} ms.\n${log.join('\n')}`)
    }
    await sleep(10)
  }
}

/** What `postmaster.pid` says; undefined when there is none. A crash leaves it behind. */
export async function readPostmaster(dataFolder: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => '')
  const [pid, , startedAt = '', port, , , , status] = text.split('\n')
  if (pid === undefined || !/^\d+$/.test(pid)) return undefined
  return { pid: Number(pid), startedAt, port: Number(port), ready: status?.trim() === 'ready' }
}

function isSuccessor(postmaster: Postmaster, left: Postmaster | undefined, port: number): boolean {
  const same = postmaster.pid === left?.pid && postmaster.startedAt === left.startedAt
  return postmaster.port === port && !same
}

interface Postmaster {
  readonly pid: number
  /** In seconds: numbers of processes come again, in a container often the same. */
  readonly startedAt: string
  readonly port: number
  readonly ready: boolean
}

/** A port of 127.0.0.1 that nobody uses at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Whether a process of this number lives. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and is not ours.
    return error instanceof Error && Reflect.get(error, 'code') === 'EPERM'
  }
}

/**
 * The postmaster runs under a shell that reads from a pipe of ours. The pipe closes when we are gone,
 * SIGKILL included, and the shell then asks for a fast shutdown.
 */
const guardian = `
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ cat <&3; kill -INT $server; } >/dev/null 2>&1 & guard=$!
exec 3<&-
wait $server; status=$?
kill $guard 2>/dev/null
exit $status
`

function spawnServer(cluster: Cluster, options: StartOptions): ChildProcess {
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: options.port,
    ...options.settings,
  }
  const postgres = [
    join(cluster.binFolder, executable('postgres')),
    '-D',
    cluster.dataFolder,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${String(value)}`]),
  ]
  const command =
    process.platform === 'win32' ? postgres : ['/bin/sh', '-c', guardian, 'sh', ...postgres]
  return spawn(command[0] ?? '', command.slice(1), {
    ...identityOf(cluster),
    detached: process.platform !== 'win32',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

function runningServer(pid: number, ended: Promise<void>): RunningServer {
  const signal = (name: 'SIGINT' | 'SIGQUIT'): void => {
    if (isAlive(pid)) process.kill(pid, name)
  }
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    signal('SIGINT')
    const late = setTimeout(() => {
      signal('SIGQUIT')
    }, stopWithinMs)
    await ended
    clearTimeout(late)
  }
  return { pid, ended, stop: () => (stopping ??= stop()) }
}

async function majorVersion(cluster: Cluster): Promise<number> {
  const text = await runProgram(cluster, 'postgres', ['--version'])
  return Number(/(\d+)\./.exec(text)?.[1] ?? /(\d+)/.exec(text)?.[1] ?? 0)
}

/** Runs one of the server's programs to its end; rejects with what it wrote. */
function runProgram(cluster: Cluster, name: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(cluster.binFolder, executable(name)), args, {
      ...identityOf(cluster),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    child.on('error', reject)
    child.on('close', (status) => {
      if (status === 0) resolve(output)
      else reject(new Error(output.trim()))
    })
  })
}

function identityOf(cluster: Cluster): {
  uid?: number
  gid?: number
  cwd: string
  env: NodeJS.ProcessEnv
} {
  const { user } = cluster
  return {
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    // Our own folder may be closed to the user.
    cwd: cluster.binFolder,
    env: { ...process.env, LC_ALL: 'C', PGDATA: '' },
  }
}

const executable = (name: string): string => (process.platform === 'win32' ? `${name}.exe` : name)
