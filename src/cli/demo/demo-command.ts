import { join } from 'node:path'
import type { Command } from 'commander'
import { runDemo } from './demo.ts'
import { demoOptions } from './demo-options.ts'
import type { DemoFlags } from './demo-options.ts'

/** Where the data of a demonstration lies, below the folder it is run in. */
const dataFolder = join('.tidemark', 'demo')

/** Adds `tidemark demo`. The exit status is 1 when something was lost or not exact. */
export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'a shop on an embedded PostgreSQL, its dashboards kept fresh, live in the terminal',
    )
    .option('--rows <n>', 'order lines of the shop (default 1,000,000)')
    .option('--seed <n>', 'another seed makes another shop (default 1)')
    .option('--rate <n>', 'orders, payments and refunds a second (default 20)')
    .option('--for <span>', 'end by itself after this long: 20s, 5m')
    .option('--json', 'unattended: one JSON line on stdout at the end, all else on stderr')
    .option('--reset', 'throw the data of earlier demonstrations away first')
    .option('--port <n>', 'port of PostgreSQL (default: a free one)')
    .action(async (flags: DemoFlags) => {
      process.exitCode = await runDemo(demoOptions(flags, join(process.cwd(), dataFolder)))
    })
}
