/** An engine in a process of its own, for benches: `engine-process.ts URL POLL_MS`. Says when it has started. */
import { runEngine } from '../../src/engine/engine.ts'

const [, , databaseUrl, pollMs] = process.argv
if (databaseUrl === undefined || pollMs === undefined) throw new Error('usage: URL POLL_MS')
const stop = new AbortController()
process.on('SIGTERM', () => {
  stop.abort()
})
await runEngine(
  {
    databaseUrl,
    name: 'bench',
    workers: 1,
    pollMs: Number(pollMs),
    idleAfterMs: null,
    onEvent: (event) => {
      if (event.kind === 'lost') process.stderr.write(`${event.loop}: ${String(event.error)}\n`)
      if (event.kind === 'problem') process.stderr.write(`${event.problem}\n`)
      if (event.kind === 'started') process.stdout.write('started\n')
    },
  },
  stop.signal,
)
