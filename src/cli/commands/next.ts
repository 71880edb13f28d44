import { viewNamed } from '../../engine/named-view.ts'
import { readNext } from '../../engine/next.ts'
import { readStatus } from '../../engine/status.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { wholeNumber } from '../option-values.ts'
import { renderNext } from '../render/next.ts'

interface NextOptions {
  readonly count: string
}

/** `tidemark next`: what is about to run. */
export const nextCommand: CommandMaker = makeCommand<NextOptions>({
  name: 'next',
  summary: 'what is about to run: slots in their zone and in UTC, deadlines of targets',
  examples: [
    ['tidemark next', 'every schedule and what targets ask for'],
    ['tidemark next sales_by_day --count 20', 'the next 20 slots of a view'],
  ],
  arrange: (command) => {
    command
      .argument('[view]', 'only this view')
      .option('--count <n>', 'slots of each schedule, 1 to 1000', '5')
  },
  run: (call) => {
    const count = wholeNumber('--count', call.options.count, { min: 1, max: 1_000 })
    return call.installed(async (database) => {
      const [text] = call.words
      const view = text === undefined ? null : await viewNamed(database, text)
      const status = await readStatus(database, view ?? undefined)
      const schedules = await readNext(database, view, count)
      const views = status.views.map(({ freshness, next }) => ({ view: freshness.view, next }))
      call.answer('next', { at: status.at, schedules, views }, (style) =>
        renderNext(status, schedules, style),
      )
      return 0
    })
  },
})
