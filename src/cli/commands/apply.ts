import { planConfiguration } from '../../engine/define.ts'
import { readPlanFile } from '../../engine/plan-files.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { performPlan } from '../perform-plan.ts'
import type { PerformOptions } from '../perform-plan.ts'

interface ApplyOptions extends PerformOptions {
  /** Commander's word for `--no-populate`. */
  readonly populate?: boolean
}

/** `tidemark apply`: makes the database what the configuration says. */
export const applyCommand: CommandMaker = makeCommand<ApplyOptions>({
  name: 'apply',
  summary: 'make the database what the configuration says, after showing the plan',
  examples: [
    ['tidemark apply', 'shows the plan and asks'],
    ['tidemark apply --yes', 'does not ask, as in CI'],
    ['tidemark apply --create-indexes', 'also makes the indexes that the plan proposes'],
    ['tidemark apply plan.json', 'just this plan, refused when the database has changed since'],
  ],
  arrange: (command) => {
    command
      .argument('[file]', 'a plan that plan --out has written')
      .option('--yes', 'do not ask')
      .option('--allow-destructive', 'also do what takes away something of yours')
      .option('--create-indexes', 'also make the indexes that the plan proposes, concurrently')
      .option('--no-populate', 'leave the first refreshes to the engine')
  },
  run: async (call) => {
    const [file] = call.words
    if (file !== undefined) {
      const plan = readPlanFile(call.surroundings.folder, file)
      return call.database((database) => performPlan(call, database, plan))
    }
    const configuration = await call.configuration()
    return call.database(async (database) => {
      const plan = await planConfiguration(database, configuration)
      return performPlan(call, database, plan)
    }, configuration)
  },
})
