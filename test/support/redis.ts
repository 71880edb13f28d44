import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createClient } from 'redis'

/** A Redis of a test's own, which keeps nothing on disk. */
export interface TestRedis {
  readonly url: string
  /** Ends it as a power cut would. */
  readonly kill: () => Promise<void>
  /** Starts it again, empty, at the same place. */
  readonly restart: () => Promise<void>
  /** Lets it stand still, its connections open, and lets it go on. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** Becomes a replica of another one, or a primary with what it has by then. */
  readonly follow: (primary: string | null) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Starts a Redis on a port that was free. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  let server = await started(port, url)
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  }
  return {
    url,
    kill,
    async restart() {
      await kill()
      server = await started(port, url)
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
    async follow(primary) {
      const of = primary === null ? null : new URL(primary)
      const client = await createClient({ url }).connect()
      await client.sendCommand(['replicaof', of?.hostname ?? 'no', of?.port ?? 'one'])
      client.destroy()
    },
    stop: kill,
  }
}

/** Keeps nothing on disk, nor takes what it replicates by way of one, and has a replica wait for nothing. */
const inMemory = [
  ['--save', ''],
  ['--appendonly', 'no'],
  ['--repl-diskless-load', 'on-empty-db'],
  ['--repl-diskless-sync-delay', '0'],
].flat()

async function started(port: number, url: string): Promise<ChildProcess> {
  const server = spawn(
    'redis-server',
    [...inMemory, '--port', String(port), '--bind', '127.0.0.1'],
    { stdio: 'ignore' },
  )
  const client = createClient({ url, socket: { reconnectStrategy: 20 } })
  client.on('error', () => undefined)
  for (;;) {
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`)
    const answer = await client.connect().then(
      () => client.ping(),
      () => null,
    )
    if (answer === 'PONG') break
    await pause(10)
  }
  client.destroy()
  return server
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
