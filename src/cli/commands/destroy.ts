import { planDestroy } from '../../engine/define.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { performPlan } from '../perform-plan.ts'
import type { PerformOptions } from '../perform-plan.ts'

/** `tidemark destroy`: leaves the database as it was found. */
export const destroyCommand: CommandMaker = makeCommand<PerformOptions>({
  name: 'destroy',
  summary: 'take Tidemark out of the database and leave it as it was found',
  examples: [
    ['tidemark destroy', 'shows what goes and what comes back, and asks'],
    ['tidemark destroy --yes', 'does not ask'],
  ],
  arrange: (command) => {
    command
      .option('--yes', 'do not ask')
      .option('--allow-destructive', 'also do what takes away something of yours')
  },
  run: (call) =>
    call.database(async (database) => performPlan(call, database, await planDestroy(database))),
})
