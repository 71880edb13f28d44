import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** An engine process that a test may kill. */
export interface EngineProcess {
  /** SIGKILL, and waits until the process is gone. */
  readonly kill: () => Promise<void>
  /** SIGTERM, and waits until the process has ended; its exit code. */
  readonly stop: () => Promise<number | null>
  /** Freezes the process and thaws it. */
  readonly signal: (name: 'SIGSTOP' | 'SIGCONT') => void
  /** What it wrote to stderr so far. */
  readonly errors: () => string
}

/** Starts an engine on a database and waits until it has said that it started. */
export async function spawnEngine(databaseUrl: string, name: string): Promise<EngineProcess> {
  const script = fileURLToPath(new URL('./engine-process.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, databaseUrl, name], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const exited = once(child, 'exit')
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error(`the engine did not start: ${errors}`)
    }),
  ])
  return {
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async stop() {
      child.kill('SIGTERM')
      await exited
      return child.exitCode
    },
    signal: (which) => child.kill(which),
    errors: () => errors,
  }
}
