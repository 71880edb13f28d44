import { Command, CommanderError } from 'commander'
import { nearest } from '../base/nearest.ts'
import { TidemarkError } from '../model/errors.ts'
import { helpWidth } from './command.ts'
import { commandGroups } from './commands/index.ts'
import {
  faultBody,
  faultIn,
  renderFault,
  renderOrigin,
  renderUnexpected,
  withoutPasswords,
} from './render/fault.ts'
import { asJson } from './render/json.ts'
import { styleOf } from './surroundings.ts'
import type { Surroundings } from './surroundings.ts'
import { programVersion } from './program-version.ts'

/** Everything that `tidemark` can be told, for these surroundings. */
function makeProgram(surroundings: Surroundings, onDone: (status: number) => void): Command {
  const program = new Command('tidemark')
    .description('Keeps materialized views never staler than promised.')
    .usage('COMMAND [options]')
    .version(programVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this')
    .commandsGroup('About:')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: surroundings.out,
      writeErr: () => undefined,
      getOutHelpWidth: () => helpWidth(surroundings),
    })
    // What words a command takes is said by its own help.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showSuggestionAfterError(false)
    .addHelpText(
      'after',
      `
Every command knows --json, --database-url, --config and --help with examples.
First look at a database, changing nothing:
  tidemark scan --database-url postgres://user@host/db`,
    )
    .action(() => {
      program.help()
    })
  for (const { title, makers } of commandGroups) {
    for (const make of makers) program.addCommand(make(surroundings, onDone).helpGroup(title))
  }
  return program
}

/**
 * Runs one command line and returns its exit status: that of the command, 1 after an error.
 * Everything that a person must read was written by then.
 */
export async function runCli(
  words: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  let status = 0
  const program = makeProgram(surroundings, (done) => {
    status = done
  })
  try {
    await program.parseAsync([...words], { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const told = error instanceof CommanderError ? usageFault(error, words, program) : error
    tell(told, words, surroundings)
    return 1
  }
}

function tell(error: unknown, words: readonly string[], surroundings: Surroundings): void {
  const fault = faultIn(error)
  if (words.includes('--json')) {
    const message = error instanceof Error ? error.message : String(error)
    const body =
      fault === null
        ? { code: null, what: withoutPasswords(message), mend: null, place: null, also: [] }
        : faultBody(fault)
    surroundings.out(`${asJson('error', body)}\n`)
    return
  }
  const style = styleOf(surroundings)
  const verbose = words.includes('--verbose')
  const origin = renderOrigin(error, { verbose, colours: style.colours })
  const lines =
    fault === null
      ? [...renderUnexpected(error, style), ...origin]
      : [...renderFault(fault, style), ...(verbose ? origin : [])]
  surroundings.err(`${lines.join('\n')}\n`)
}

/** The command that the words call, as far as they name one. */
function calledCommand(words: readonly string[], program: Command): Command {
  const name = words.find((word) => !word.startsWith('-'))
  return program.commands.find((command) => command.name() === name) ?? program
}

/** What commander found wrong, in our words, with the nearest word that would have been right. */
function usageFault(
  error: CommanderError,
  words: readonly string[],
  program: Command,
): TidemarkError {
  const command = calledCommand(words, program)
  const path = command === program ? 'tidemark' : `tidemark ${command.name()}`
  const [, wrong = ''] = /'([^']*)'/.exec(error.message) ?? []
  const help = `'${path} --help' shows what there is.`
  const usage = (what: string, near?: string): TidemarkError =>
    new TidemarkError({
      code: 'TIDEMARK_USAGE',
      what,
      mend: near === undefined ? help : `Did you mean ${near}? ${help}`,
      cause: error,
    })
  const word = wrong.split(/[ ,=]/)[0] ?? ''
  switch (error.code) {
    case 'commander.unknownCommand':
      return usage(
        `There is no command ${word}`,
        nearest(
          word,
          program.commands.map((one) => one.name()),
        ),
      )
    case 'commander.unknownOption':
      return usage(`${path} knows no option ${word}`, nearest(word, optionsOf(command)))
    case 'commander.excessArguments':
      return command === program
        ? usage(
            `There is no command ${firstWord(words)}`,
            nearest(
              firstWord(words),
              program.commands.map((one) => one.name()),
            ),
          )
        : usage(`${path} was given more words than it takes: ${wordsAfter(words).join(' ')}`)
    case 'commander.missingArgument':
      return usage(`${path} needs a word more: ${wrong.toUpperCase()}`)
    case 'commander.optionMissingArgument':
      return usage(`${wrong} needs a value`)
    default:
      return usage(error.message.replace(/^error: /, ''))
  }
}

const firstWord = (words: readonly string[]): string =>
  words.find((word) => !word.startsWith('-')) ?? ''

const wordsAfter = (words: readonly string[]): readonly string[] =>
  words.filter((word) => !word.startsWith('-')).slice(1)

const optionsOf = (command: Command): readonly string[] => [
  ...command.options.flatMap(({ long }) => long ?? []),
  '--help',
]
