import { viewNamed, viewNamesOf } from '../../engine/named-view.ts'
import { verifyView } from '../../engine/verify.ts'
import type { Verified } from '../../engine/verify.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { renderVerified, verifiedSummary } from '../render/verify.ts'

/** `verify` ends with this when a view is not what its query says. */
const differing = 3

/** `tidemark verify`: whether views are what their queries say. */
export const verifyCommand: CommandMaker = makeCommand({
  name: 'verify',
  summary: 'compare views with their queries at one snapshot, and show the first differing rows',
  examples: [
    ['tidemark verify', 'all views; status 0: equal, 3: some differ, 1: error'],
    ['tidemark verify sales_by_day', 'one view'],
    ['tidemark verify --json', 'the same for a program'],
  ],
  arrange: (command) => {
    command.argument('[view]', 'only this view')
  },
  run: (call) =>
    call.installed(async (database) => {
      const [text] = call.words
      const views =
        text === undefined ? await viewNamesOf(database) : [await viewNamed(database, text)]
      const all: Verified[] = []
      for (const view of views) {
        const verified = await verifyView(database, view)
        all.push(verified)
        call.say(renderVerified(verified, call.style))
      }
      const equal = all.every(({ outcome }) => outcome === 'equal')
      call.answer('verify', { equal, views: all }, () => verifiedSummary(all))
      return equal ? 0 : differing
    }),
})
