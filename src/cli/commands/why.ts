import { viewNamed, viewUnknown } from '../../engine/named-view.ts'
import { readWhy } from '../../engine/why.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { renderWhy, sentence } from '../render/why.ts'

/** `tidemark why`: the chain from a commit to the view. */
export const whyCommand: CommandMaker = makeCommand({
  name: 'why',
  summary: 'why a view is as stale as it is: commit, captured, queued, waited, ran, with times',
  examples: [
    ['tidemark why sales_by_day', 'what is not reflected and what it waits for; the last run'],
    ['tidemark why sales_by_day --json', 'the same facts for a program'],
  ],
  arrange: (command) => {
    command.argument('<view>', 'the view')
  },
  run: (call) =>
    call.installed(async (database) => {
      const [text = ''] = call.words
      const facts = await readWhy(database, await viewNamed(database, text))
      if (facts === null) throw viewUnknown(text, [])
      const { view, ...rest } = facts
      const body = {
        sentence: sentence(facts),
        freshness: view.freshness,
        next: view.next,
        ...rest,
      }
      call.answer('why', body, (style) => renderWhy(facts, style))
      return 0
    }),
})
