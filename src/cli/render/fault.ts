import { faultIn as faultOfError, TidemarkError } from '../../model/errors.ts'
import type { Fault } from '../../model/errors.ts'
import type { Colours } from '../surroundings.ts'

/** Hides the password of every URL in a text. */
export const withoutPasswords = (text: string): string =>
  text.replaceAll(/(:\/\/[^:\s/]*:)[^\s]*@/g, '$1***@')

/** What a reader of a terminal can mend, of an error; null for one that nobody expected. */
export function faultIn(error: unknown): Fault | null {
  const fault = faultOfError(error)
  const isOurs = fault === null || error instanceof TidemarkError
  return isOurs ? fault : { ...fault, mend: commandInstead(fault.mend) }
}

/** Functions in the database name a mend in SQL; here a command does the same. */
const commandInstead = (mend: string): string =>
  mend
    .replace(/select tidemark\.resume\('(?:public\.)?([^']*)'\)/, 'tidemark resume $1')
    .replace(/select view from tidemark\.freshness;/, 'tidemark status')
    .replace('select * from tidemark.schedules;', 'tidemark next')
    .replace('See tidemark.refresh_log.', "'tidemark history --failed' tells more.")

/** A fault for people: what is so, where, the mend; further ones of the same look below it. */
export function renderFault(fault: Fault, colours: Colours): readonly string[] {
  return [fault, ...(fault.also ?? [])].flatMap((one) => oneFault(one, colours))
}

function oneFault(fault: Fault, colours: Colours): readonly string[] {
  return [
    `${colours.red('error:')} ${withoutPasswords(fault.what)} ${colours.dim(`(${fault.code})`)}`,
    ...(fault.place === undefined ? [] : [`  at ${fault.place}`]),
    `  ${colours.cyan('→')} ${withoutPasswords(fault.mend).replaceAll('\n', '\n    ')}`,
  ]
}

/** A fault as the body of a JSON answer. */
export function faultBody(fault: Fault): object {
  return {
    code: fault.code,
    what: withoutPasswords(fault.what),
    mend: withoutPasswords(fault.mend),
    place: fault.place ?? null,
    also: (fault.also ?? []).map(faultBody),
  }
}

/** An error that nobody expected, in short; its stack as well when more was asked for. */
export function renderUnexpected(
  error: unknown,
  options: { readonly verbose: boolean; readonly colours: Colours },
): readonly string[] {
  const { verbose, colours } = options
  const text = error instanceof Error ? error.message : String(error)
  const short = `${colours.red('error:')} ${withoutPasswords(text)}`
  if (!verbose) return [short, `  ${colours.cyan('→')} Add --verbose to see where it comes from.`]
  return [short, ...stacksOf(error).map(withoutPasswords)]
}

function stacksOf(error: unknown): readonly string[] {
  const stacks: string[] = []
  let at: unknown = error
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    stacks.push(`${depth === 0 ? '' : 'caused by '}${at.stack ?? at.message}`)
    at = at.cause
  }
  return stacks
}
