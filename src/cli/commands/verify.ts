import type { Database } from '../../engine/connect.ts'
import { viewNamed, viewNamesOf } from '../../engine/named-view.ts'
import { verifyView } from '../../engine/verify.ts'
import type { Verified } from '../../engine/verify.ts'
import type { RelationName } from '../../model/ids.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { faultBody, faultIn } from '../render/fault.ts'
import { renderFailed, renderVerified, verifiedSummary } from '../render/verify.ts'

/** `verify` ends with this when a view is not what its query says. */
const differing = 3

/** `tidemark verify`: whether views are what their queries say. */
export const verifyCommand: CommandMaker = makeCommand({
  name: 'verify',
  summary: 'compare views with their queries at one snapshot, and show the first differing rows',
  examples: [
    [
      'tidemark verify',
      'all views; status 0: equal, 3: some differ, 1: some could not be compared',
    ],
    ['tidemark verify sales_by_day', 'one view'],
    ['tidemark verify --json', 'the same for a program'],
  ],
  arrange: (command) => {
    command.argument('[view]', 'only this view')
  },
  run: (call) =>
    call.installed((database) => {
      const [text] = call.words
      return text === undefined ? verifyAll(call, database) : verifyOne(call, database, text)
    }),
})

async function verifyOne(call: Call<object>, database: Database, text: string): Promise<number> {
  const verified = await verifyView(database, await viewNamed(database, text))
  call.say(renderVerified(verified, call.style))
  const equal = verified.outcome === 'equal'
  call.answer('verify', { equal, views: [verified], failed: [] }, () => [])
  return equal ? 0 : differing
}

/** Goes on after a view that could not be compared; the status then is 1. */
async function verifyAll(call: Call<object>, database: Database): Promise<number> {
  const views: Verified[] = []
  const failed: (object & { readonly view: RelationName; readonly outcome: 'failed' })[] = []
  for (const view of await viewNamesOf(database)) {
    try {
      const verified = await verifyView(database, view)
      views.push(verified)
      call.say(renderVerified(verified, call.style))
    } catch (error) {
      const fault = faultIn(error)
      if (fault === null) throw error
      failed.push({ view, outcome: 'failed', ...faultBody(fault) })
      call.say(renderFailed(view, fault, call.style))
    }
  }
  const equal = failed.length === 0 && views.every(({ outcome }) => outcome === 'equal')
  call.answer('verify', { equal, views, failed }, () => verifiedSummary(views, failed.length))
  return failed.length > 0 ? 1 : equal ? 0 : differing
}
