import { readHistory } from '../../engine/history.ts'
import { viewNamed } from '../../engine/named-view.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { duration, wholeNumber } from '../option-values.ts'
import { renderHistory } from '../render/history.ts'

interface HistoryOptions {
  readonly failed?: boolean
  readonly limit: string
  readonly since: string
}

const dayMs = 86_400_000

/** `tidemark history`: what ran. */
export const historyCommand: CommandMaker = makeCommand<HistoryOptions>({
  name: 'history',
  summary: 'what ran: the newest first, success rate, average and longest duration',
  examples: [
    ['tidemark history', 'all views, the last 24 hours'],
    ['tidemark history sales_by_day --since 7d', 'one view, a week'],
    ['tidemark history --failed', 'only what did not end well'],
  ],
  arrange: (command) => {
    command
      .argument('[view]', 'only this view')
      .option('--failed', 'only runs that failed, were cancelled, timed out or were lost')
      .option('--since <span>', 'how far back, up to 35d', '24h')
      .option('--limit <n>', 'runs to list; totals count all', '20')
  },
  run: (call) => {
    const { failed, limit, since } = call.options
    const sinceMs = duration('--since', since, { minMs: 1_000, maxMs: 35 * dayMs, example: '24h' })
    const runsMax = wholeNumber('--limit', limit, { min: 1, max: 10_000 })
    return call.installed(async (database) => {
      const [text] = call.words
      const history = await readHistory(database, {
        view: text === undefined ? null : await viewNamed(database, text),
        failedOnly: failed === true,
        sinceMs,
        limit: runsMax,
      })
      call.answer('history', history, (style) => renderHistory(history, style))
      return 0
    })
  },
})
