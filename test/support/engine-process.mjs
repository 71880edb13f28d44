// An engine in a process of its own, for tests that kill it: `engine-process.mjs URL NAME`.
import { load } from './built-or-source.mjs'

const { runEngine } = await load('engine/engine')
const [, , databaseUrl, name] = process.argv
if (databaseUrl === undefined || name === undefined) throw new Error('usage: URL NAME')
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
await runEngine(
  {
    databaseUrl,
    name,
    workers: 2,
    pollMs: 50,
    idleAfterMs: null,
    onEvent: (event) => {
      if (event.kind === 'lost') process.stderr.write(`${event.loop}: ${String(event.error)}\n`)
      if (event.kind === 'started') process.stdout.write('started\n')
    },
  },
  stop.signal,
)
