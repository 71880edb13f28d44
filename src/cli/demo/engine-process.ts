import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pause } from '../../base/clock.ts'
import type { EngineLine } from './demo-model.ts'

/** How the engine is started. */
export interface EngineProcessOptions {
  /** Arguments of Node: the program and its own. */
  readonly command: readonly string[]
  readonly databaseUrl: string
  /** Told when it went by itself or was killed, and when it is back. */
  readonly onEvent: (text: string) => void
}

const restartAfterMs = 1_000
const stopWithinMs = 4_000

/** Ends the engine when its input ends: nobody else would, if we were killed as it can be. */
const untilWeAreGone = [
  '--import',
  `data:text/javascript,${encodeURIComponent(
    `process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume().unref()`,
  )}`,
] as const

/**
 * The engine as a process of its own, started again a second after it went, however it went.
 */
export class EngineProcess {
  readonly #options: EngineProcessOptions
  #child: ChildProcess | null = null
  #status: EngineLine['status'] = 'starting'
  #restarts = 0
  #lastWords = ''

  constructor(options: EngineProcessOptions) {
    this.#options = options
  }

  /** What to show of it. */
  get line(): EngineLine {
    return { status: this.#status, pid: this.#child?.pid ?? null, restarts: this.#restarts }
  }

  /** Keeps the engine running until the signal fires; then stops it, and kills it if it does not end. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (signal.aborted) break
      const child = this.#start()
      const gone = Promise.race([once(child, 'close'), once(child, 'error')])
      await Promise.race([gone, aborted(signal)])
      if (child.exitCode === null && child.signalCode === null) await stop(child, gone)
      else this.#tellEnd(child)
      this.#child = null
      this.#status = 'killed'
      await pause(restartAfterMs, signal)
      this.#restarts += 1
    }
    this.#status = 'stopped'
  }

  /** Kills it as nothing else could: no handler of its own runs. */
  kill(): void {
    if (this.#child === null) return
    this.#options.onEvent(`kill −9 of the engine, process ${this.#child.pid ?? '?'}`)
    this.#child.kill('SIGKILL')
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, [...untilWeAreGone, ...this.#options.command], {
      env: { ...process.env, TIDEMARK_DATABASE_URL: this.#options.databaseUrl },
      // Its input is a pipe of ours: see untilWeAreGone.
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    this.#status = this.#restarts === 0 ? 'starting' : 'running'
    child.once('spawn', () => {
      this.#status = 'running'
      if (this.#restarts > 0) {
        this.#options.onEvent(`the engine is back as process ${child.pid ?? '?'}`)
      }
    })
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.trim() !== '') this.#lastWords = wordsOf(line)
      })
    }
    return child
  }

  #tellEnd(child: ChildProcess): void {
    if (child.signalCode === 'SIGKILL') return
    const how = child.signalCode ?? `status ${child.exitCode ?? '?'}`
    this.#options.onEvent(`the engine ended (${how}): ${this.#lastWords}`)
  }
}

/** A log line is JSON; what it says of an error is the better part of it. */
function wordsOf(line: string): string {
  const [, error] = /"error":"((?:[^"\\]|\\.)*)"/.exec(line) ?? []
  const [, message] = /"msg":"((?:[^"\\]|\\.)*)"/.exec(line) ?? []
  return error ?? message ?? line
}

async function stop(child: ChildProcess, gone: Promise<unknown>): Promise<void> {
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), stopWithinMs)
  await gone
  clearTimeout(late)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
  })
}
