import { hostname } from 'node:os'
import type { Configuration } from '../../model/declaration.ts'
import { checkMayRun, checkSchema } from '../../engine/connect.ts'
import { applyConfiguration } from '../../engine/define.ts'
import { runEngine } from '../../engine/engine.ts'
import { titleOf } from '../../engine/plan-files.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { engineLog } from '../engine-log.ts'
import type { EngineLog } from '../engine-log.ts'
import { duration, wholeNumber } from '../option-values.ts'

interface UpOptions {
  readonly workers?: string
  readonly poll?: string
  readonly apply?: boolean
}

const defaults = { workers: 2, pollMs: 250 }

/** Of a process that a second signal ended, as shells count it. */
const hurriedStatus = 130

/** `tidemark up`: keeps the views within their targets until it is told to stop. */
export const upCommand: CommandMaker = makeCommand<UpOptions>({
  name: 'up',
  summary: 'run the engine: keep every view within its target until Ctrl-C',
  examples: [
    ['tidemark up', 'with the workers that the configuration names'],
    ['tidemark up --workers 4', 'four refreshes at a time'],
    ['tidemark up --apply', 'apply the configuration first'],
  ],
  arrange: (command) => {
    command
      .option('--workers <n>', 'refreshes at a time, 1 to 64')
      .option('--poll <span>', 'how often to look for changes, 10ms to 1m')
      .option('--apply', 'apply the configuration first, as far as nothing is dropped')
  },
  run: async (call) => {
    const shape = shapeOf(call)
    const log = engineLog(call)
    const configuration =
      call.options.apply === true ? await call.configuration() : await call.configurationIfThere()
    const databaseUrl = await call.databaseUrl(configuration)
    if (configuration !== null && call.options.apply === true) {
      await applyBeforehand(call, configuration, log)
    }
    await call.database(async (database) => {
      await checkSchema(database)
      await checkMayRun(database)
    }, configuration)
    await keep(call, log, { databaseUrl, ...settings(configuration), ...shape })
    return 0
  },
})

/** Applies a configuration before the engine starts: without a question, and nothing is dropped. */
async function applyBeforehand(
  call: Call<UpOptions>,
  configuration: Configuration,
  log: EngineLog,
): Promise<void> {
  await call.database(
    (database) =>
      applyConfiguration(database, configuration, {
        populate: false,
        onProgress: ({ kind, step }) => {
          if (kind === 'done') log.info(`applied ${titleOf(step)}`)
        },
      }),
    configuration,
  )
}

interface EngineShape {
  readonly workers?: number
  readonly pollMs?: number
}

function shapeOf({ options }: Call<UpOptions>): EngineShape {
  const { workers, poll } = options
  const spans = { minMs: 10, maxMs: 60_000, example: '250ms' }
  return {
    ...(workers === undefined
      ? {}
      : { workers: wholeNumber('--workers', workers, { min: 1, max: 64 }) }),
    ...(poll === undefined ? {} : { pollMs: duration('--poll', poll, spans) }),
  }
}

type EngineSettings = Required<EngineShape> & { readonly idleAfterMs: number | null }

const settings = (configuration: Configuration | null): EngineSettings => ({
  idleAfterMs: configuration?.engine.idleAfterMs ?? null,
  workers: configuration?.engine.workers ?? defaults.workers,
  pollMs: configuration?.engine.pollMs ?? defaults.pollMs,
})

/** Runs the engine until a signal; refreshes that run are waited for, a second signal ends at once. */
async function keep(
  call: Call<UpOptions>,
  log: EngineLog,
  engine: EngineSettings & { readonly databaseUrl: string },
): Promise<void> {
  const end = new AbortController()
  const stop = (): void => {
    if (end.signal.aborted) return
    log.info('stopping; refreshes that run are waited for, again Ctrl-C ends at once')
    end.abort()
  }
  const deaf = call.surroundings.onStop(stop, () => process.exit(hurriedStatus))
  try {
    const name = `${hostname()} ${process.pid}`
    await runEngine({ ...engine, name, onEvent: log.onEvent }, end.signal)
  } finally {
    deaf()
  }
}
