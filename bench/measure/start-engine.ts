import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Starts an engine of one worker in a process of its own, and waits until it has said that it started. */
export async function startEngine(databaseUrl: string, pollMs: number): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('engine-process.ts', import.meta.url))
  const engine = spawn(
    process.execPath,
    ['--import', 'jiti/register', script, databaseUrl, String(pollMs)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  await Promise.race([
    once(engine.stdout, 'data'),
    once(engine, 'exit').then(() => {
      throw new Error('the engine did not start')
    }),
  ])
  return engine
}
