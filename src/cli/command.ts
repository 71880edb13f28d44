import { Command, Option } from 'commander'
import type { Configuration } from '../model/declaration.ts'
import {
  loadConfiguration,
  loadConfigurationIfThere,
  openDatabase,
  openInstalled,
  resolveDatabaseUrl,
} from '../engine/connect.ts'
import type { Database } from '../engine/connect.ts'
import { usage } from './option-values.ts'
import { asJson } from './render/json.ts'
import { wrap } from './render/table.ts'
import { styleOf } from './surroundings.ts'
import type { Style, Surroundings } from './surroundings.ts'

/** Options that every command knows. */
export interface CommonOptions {
  readonly json?: boolean
  readonly databaseUrl?: string
  readonly config?: string
  readonly verbose?: boolean
}

/** A command as it is written down. */
export interface CommandShape<Options extends object> {
  readonly name: string
  readonly summary: string
  /** Lines to type, each with a word on what it does. */
  readonly examples: readonly (readonly [line: string, what: string])[]
  /** Adds words and options of its own. */
  readonly arrange?: (command: Command) => void
  /** Does it and returns the exit status. */
  readonly run: (call: Call<Options>) => Promise<number>
}

/** Builds a command for the surroundings that it will run in. `onDone` is told its exit status. */
export type CommandMaker = (surroundings: Surroundings, onDone: (status: number) => void) => Command

/** One call of a command. */
export class Call<Options extends object> {
  readonly options: Options & CommonOptions
  /** What stands after the command without a dash. */
  readonly words: readonly string[]
  readonly surroundings: Surroundings

  constructor(
    options: Options & CommonOptions,
    words: readonly string[],
    surroundings: Surroundings,
  ) {
    this.options = options
    this.words = words
    this.surroundings = surroundings
  }

  /** Whether a program reads the output. */
  get json(): boolean {
    return this.options.json === true
  }

  /** How text may be shown, now. */
  get style(): Style {
    return styleOf(this.surroundings)
  }

  /** Prints lines for people; nothing with `--json`. */
  say(lines: readonly string[]): void {
    if (!this.json && lines.length > 0) this.surroundings.out(`${lines.join('\n')}\n`)
  }

  /** Prints the answer: one line of JSON with `--json`, else lines for people. */
  answer(kind: string, body: object, lines: (style: Style) => readonly string[]): void {
    if (this.json) this.surroundings.out(`${asJson(kind, body)}\n`)
    else this.say(lines(this.style))
  }

  /** The configuration; throws when there is none. */
  configuration(): Promise<Configuration> {
    return loadConfiguration(this.surroundings.folder, this.options.config)
  }

  /** The configuration, or null where none was named and none is in the folder. */
  configurationIfThere(): Promise<Configuration | null> {
    return loadConfigurationIfThere(this.surroundings.folder, this.options.config)
  }

  /** The database that is meant. Asks the configuration only where nothing else has named one first. */
  async databaseUrl(known?: Configuration | null): Promise<string> {
    const flag = this.options.databaseUrl
    const configuration = known ?? (flag === undefined ? await this.configurationIfThere() : null)
    return resolveDatabaseUrl({
      ...(flag === undefined ? {} : { flag }),
      configuration,
      environment: this.surroundings.environment,
    })
  }

  /** Lends the database, with Tidemark in it, and closes it afterwards. */
  async installed<Result>(body: (database: Database) => Promise<Result>): Promise<Result> {
    const database = await openInstalled(await this.databaseUrl())
    return closing(database, body)
  }

  /** Lends the database, whatever is in it, and closes it afterwards. */
  async database<Result>(
    body: (database: Database) => Promise<Result>,
    known?: Configuration | null,
  ): Promise<Result> {
    return closing(openDatabase(await this.databaseUrl(known)), body)
  }
}

async function closing<Result>(
  database: Database,
  body: (database: Database) => Promise<Result>,
): Promise<Result> {
  try {
    return await body(database)
  } finally {
    await database.close()
  }
}

/** Makes a command of its shape: common options, examples under `--help`, and the call. */
export function makeCommand<Options extends object>(shape: CommandShape<Options>): CommandMaker {
  return (surroundings, onDone) => {
    const command = new Command(shape.name)
      .description(shape.summary)
      .exitOverride()
      .configureOutput({
        writeOut: surroundings.out,
        writeErr: () => undefined,
        getOutHelpWidth: () => helpWidth(surroundings),
      })
      .showSuggestionAfterError(false)
      .allowExcessArguments(false)
    shape.arrange?.(command)
    command
      .addOption(
        new Option(
          '--database-url <url>',
          'the database; else configuration, TIDEMARK_DATABASE_URL, DATABASE_URL',
        ),
      )
      .addOption(
        new Option('--config <file>', 'the configuration; else tidemark.config.ts in this folder'),
      )
      .addOption(new Option('--json', 'print JSON for programs'))
      .addOption(new Option('--verbose', 'tell more, also the stack of an unexpected error'))
      .helpOption('-h, --help', 'show this')
      .addHelpText('after', examplesText(shape.examples, helpWidth(surroundings)))
      .action(async () => {
        refuseOptionsAsValues(command)
        const words = command.processedArgs
          .flat()
          .filter((word) => word !== undefined)
          .map(String)
        onDone(await shape.run(new Call(command.opts(), words, surroundings)))
      })
    return command
  }
}

/** `--out --json` forgets the value of the first: commander takes the second for it. */
function refuseOptionsAsValues(command: Command): void {
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName())
    if (typeof value !== 'string' || !value.startsWith('--')) continue
    throw usage(
      `${option.flags} needs a value`,
      `'tidemark ${command.name()} --help' shows what there is.`,
    )
  }
}

/** Longer lines than this tire the eye. */
const helpWidthMax = 110

/** Characters in a line of help. */
export const helpWidth = (surroundings: Surroundings): number =>
  Math.min(surroundings.width() ?? helpWidthMax, helpWidthMax)

/** Lines to type, with what they do beside them, or below them where that is too long. */
function examplesText(examples: readonly (readonly [string, string])[], width: number): string {
  const beside = 2 + Math.max(...examples.map(([line]) => line.length)) + 2
  const fits = examples.every(([, what]) => beside + what.length <= width)
  const lines = examples.flatMap(([line, what]) =>
    fits
      ? [`  ${line.padEnd(beside - 4)}  ${what}`]
      : [`  ${line}`, ...wrap(what, width - 6).map((part) => `      ${part}`)],
  )
  return `\nExamples:\n${lines.join('\n')}`
}
