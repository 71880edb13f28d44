import { cancelByHand } from '../../engine/by-hand.ts'
import { viewNamed } from '../../engine/named-view.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { nameOf } from '../render/status.ts'

interface CancelOptions {
  readonly reason: string
}

/** `tidemark cancel`: stops a refresh that runs. */
export const cancelCommand: CommandMaker = makeCommand<CancelOptions>({
  name: 'cancel',
  summary: 'stop the refresh of a view that runs; the view stays as it was',
  examples: [['tidemark cancel sales_by_day', 'its transaction is rolled back']],
  arrange: (command) => {
    command
      .argument('<view>', 'the view')
      .option('--reason <text>', 'for the run log', 'cancelled by hand')
  },
  run: (call) =>
    call.installed(async (database) => {
      const view = await viewNamed(database, call.words[0] ?? '')
      await cancelByHand(database, view, call.options.reason)
      call.answer('cancel', { view }, () => [`The refresh of ${nameOf(view)} was told to stop.`])
      return 0
    }),
})
