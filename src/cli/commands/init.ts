import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { configFileNames, openDatabase, resolveDatabaseUrl } from '../../engine/connect.ts'
import { writeTextFile } from '../../engine/plan-files.ts'
import { scan } from '../../engine/scan.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { usage } from '../option-values.ts'
import { counted } from '../render/figures.ts'
import { configTemplate } from '../render/template.ts'

interface InitOptions {
  readonly yes?: boolean
  readonly template?: boolean
}

const fileName = configFileNames[0]

/** What a new configuration holds. */
interface Draft {
  readonly text: string
  /** Materialized views that it adopts. */
  readonly adopted: number
}

const blank: Draft = { text: configTemplate, adopted: 0 }

/** `tidemark init`: writes a configuration, from a look at the database or to fill in. */
export const initCommand: CommandMaker = makeCommand<InitOptions>({
  name: 'init',
  summary: `write ${fileName}: from a look at the database, or a template; never overwrites`,
  examples: [
    ['tidemark init', 'asks for the database, looks at it and changes nothing there'],
    ['tidemark init --yes', 'does not ask: TIDEMARK_DATABASE_URL or DATABASE_URL, else a template'],
    ['tidemark init --template --yes', 'asks no database'],
  ],
  arrange: (command) => {
    command
      .option('--yes', 'do not ask')
      .option('--template', 'write a template without a look at the database')
  },
  run: async (call) => {
    const { folder } = call.surroundings
    const there = configFileNames.find((name) => existsSync(join(folder, name)))
    if (there !== undefined) {
      throw usage(
        `There is a configuration in this folder already: ${there}`,
        `Edit it, and look at what it does with 'tidemark plan'.`,
      )
    }
    const asks = call.options.yes !== true
    if (asks && (call.surroundings.confirm === null || call.json)) {
      throw usage('Nobody can be asked here', 'Add --yes to take what is found.')
    }
    const draft = asks ? await askForDraft(call) : await draftOf(call, urlKnown(call))
    if (draft === null) {
      call.say(['Nothing was written.'])
      return 1
    }
    writeTextFile(folder, fileName, draft.text)
    call.answer('init', { file: fileName, adopted: draft.adopted }, () => [
      draft.adopted === 0
        ? `Wrote ${fileName}: declare a view in it.`
        : `Wrote ${fileName}: it adopts ${counted(draft.adopted, 'materialized view')}.`,
      'Next: tidemark plan shows what would be done, tidemark apply does it, tidemark up keeps it.',
    ])
    return 0
  },
})

/** The database that the command line or the environment names; undefined for none. */
function urlKnown(call: Call<InitOptions>): string | undefined {
  const flag = call.options.databaseUrl
  const { environment } = call.surroundings
  const named = [flag, environment['TIDEMARK_DATABASE_URL'], environment['DATABASE_URL']]
  if (named.every((text) => text === undefined || text.trim() === '')) return undefined
  const sources = { configuration: null, environment }
  return resolveDatabaseUrl(flag === undefined ? sources : { ...sources, flag })
}

async function draftOf(call: Call<InitOptions>, url: string | undefined): Promise<Draft> {
  if (call.options.template === true || url === undefined) return blank
  const database = openDatabase(url)
  try {
    const report = await scan(database)
    const adopted = report.views.filter(({ managed }) => !managed).length
    return adopted === 0 ? blank : { text: report.config, adopted }
  } finally {
    await database.close()
  }
}

/** Asks step by step; null when somebody turns back. */
async function askForDraft(call: Call<InitOptions>): Promise<Draft | null> {
  const { cancel, confirm, intro, isCancel, password, spinner } = await import('@clack/prompts')
  intro('Tidemark: views that are never staler than promised')
  let url = urlKnown(call)
  if (url === undefined && call.options.template !== true) {
    // A URL may hold a password, so what is typed is not shown.
    const typed = await password({ message: 'Database URL (empty for a template without a look)' })
    if (isCancel(typed)) {
      cancel('')
      return null
    }
    url = typed === '' ? undefined : typed
  }
  const looking = spinner()
  looking.start(url === undefined ? 'A template' : 'Looking at the database')
  const draft = await draftOf(call, url).catch((error: unknown) => {
    looking.error('The look failed')
    throw error
  })
  looking.stop(foundText(url, draft.adopted))
  const agreed = await confirm({ message: `Write ${fileName}?` })
  return agreed === true ? draft : null
}

function foundText(url: string | undefined, adopted: number): string {
  if (url === undefined) return 'A template'
  if (adopted === 0) return 'Nothing to adopt there: a template'
  return `Found ${counted(adopted, 'materialized view')} to adopt`
}
