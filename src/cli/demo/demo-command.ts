import { join } from 'node:path'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { usage } from '../option-values.ts'
import { runDemo } from './demo.ts'
import { demoOptions } from './demo-options.ts'
import type { DemoFlags } from './demo-options.ts'

/** Where the data of a demonstration lies, below the folder it is run in. */
const dataFolder = join('.tidemark', 'demo')

/** `tidemark demo`: what `npm start` runs. The status is 1 when a write was lost or a view not exact. */
export const demoCommand: CommandMaker = makeCommand<DemoFlags>({
  name: 'demo',
  summary: 'a shop on an embedded PostgreSQL, its dashboards kept fresh, live in the terminal',
  examples: [
    ['tidemark demo', 'until q; the data stays, and the next time goes on with it'],
    ['tidemark demo --for 20s --json', 'unattended, with one JSON line at the end'],
    ['tidemark demo --reset --rows 5_000_000', 'a new and larger shop'],
  ],
  arrange: (command) => {
    command
      .option('--rows <n>', 'order lines of the shop (default 1,000,000)')
      .option('--seed <n>', 'another seed makes another shop (default 1)')
      .option('--rate <n>', 'orders, payments and refunds a second (default 20)')
      .option('--for <span>', 'end by itself after this long: 20s, 5m')
      .option('--reset', 'throw the data of earlier demonstrations away first')
      .option('--port <n>', 'port of PostgreSQL (default: a free one)')
  },
  run: ({ options, surroundings }) => {
    if (options.databaseUrl !== undefined || options.config !== undefined) {
      throw usage(
        'The demonstration has a database and a configuration of its own',
        "Leave out --database-url and --config, or look at your own database with 'tidemark scan'.",
      )
    }
    const folder = join(surroundings.folder, dataFolder)
    return runDemo(demoOptions(options, folder), surroundings)
  },
})
