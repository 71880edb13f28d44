import { viewNamed, viewUnknown } from '../../engine/named-view.ts'
import { readView } from '../../engine/show.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { renderShow } from '../render/show.ts'
import { viewBody } from '../render/status.ts'

/** `tidemark show`: everything about one view. */
export const showCommand: CommandMaker = makeCommand({
  name: 'show',
  summary: 'everything about one view: query, sources and tidemark, schedules, events, last runs',
  examples: [['tidemark show sales_by_day', 'a page about the view']],
  arrange: (command) => {
    command.argument('<view>', 'the view')
  },
  run: (call) =>
    call.installed(async (database) => {
      const [text = ''] = call.words
      const page = await readView(database, await viewNamed(database, text))
      if (page === null) throw viewUnknown(text, [])
      const { status, ...rest } = page
      call.answer('show', { ...viewBody(status), ...rest }, (style) => renderShow(page, style))
      return 0
    }),
})
