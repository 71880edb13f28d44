import { scan } from '../../engine/scan.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { renderScan } from '../render/scan.ts'

interface ScanOptions {
  readonly schema?: readonly string[]
}

/** `tidemark scan`: how a database keeps derived data today, changing nothing. */
export const scanCommand: CommandMaker = makeCommand<ScanOptions>({
  name: 'scan',
  summary: 'a first look at a database, changing nothing: its views, caches, and a config to paste',
  examples: [
    ['tidemark scan --database-url postgres://user@host/db', 'everything that the role may see'],
    ['tidemark scan --schema mart --schema public', 'only what is in these schemas'],
    ['tidemark scan --json | jq .views', 'for programs'],
    [`tidemark scan --json | jq -r .config > tidemark.config.ts`, 'the configuration alone'],
  ],
  arrange: (command) => {
    command.option(
      '--schema <name>',
      'only what is in this schema; may be given more than once',
      (name: string, before: readonly string[] | undefined) => [...(before ?? []), name],
    )
  },
  run: (call) =>
    call.database(async (database) => {
      const report = await scan(database, call.options.schema ?? null)
      call.answer('scan', report, (style) => renderScan(report, style))
      return 0
    }),
})
