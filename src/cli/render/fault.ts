import { faultIn as faultOfError, TidemarkError } from '../../model/errors.ts'
import type { Fault } from '../../model/errors.ts'
import type { Colours, Style } from '../surroundings.ts'
import { wrap } from './table.ts'

const indent = '    '

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
export function renderFault(fault: Fault, style: Style): readonly string[] {
  return [fault, ...(fault.also ?? [])].flatMap((one) => oneFault(one, style))
}

function oneFault({ what, code, place, mend }: Fault, style: Style): readonly string[] {
  const { colours } = style
  return [
    ...paragraph(`${withoutPasswords(what)} (${code})`, colours.red('error:'), style).map((line) =>
      line.replace(`(${code})`, colours.dim(`(${code})`)),
    ),
    ...(place === undefined ? [] : [`  at ${place}`]),
    ...paragraph(withoutPasswords(mend), `  ${colours.cyan('→')}`, style),
  ]
}

/** A text behind a sign, in lines that keep clear of it; SQL in it stays as it is written. */
function paragraph(text: string, sign: string, { width }: Style): readonly string[] {
  const lines = text.split('\n').flatMap((line) => wrap(line, width - 'error: '.length))
  return lines.map((line, at) => (at === 0 ? `${sign} ${line}` : `${indent}${line}`))
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

/** An error that nobody expected, in short. */
export function renderUnexpected(error: unknown, style: Style): readonly string[] {
  const text = error instanceof Error ? error.message : String(error)
  return paragraph(withoutPasswords(text), style.colours.red('error:'), style)
}

/** Where an error comes from; where that was not asked for, how to ask. */
export const renderOrigin = (
  error: unknown,
  { verbose, colours }: { readonly verbose: boolean; readonly colours: Colours },
): readonly string[] =>
  verbose
    ? stacksOf(error).map(withoutPasswords)
    : [`  ${colours.cyan('→')} Add --verbose to see where it comes from.`]

function stacksOf(error: unknown): readonly string[] {
  const stacks: string[] = []
  let at: unknown = error
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    stacks.push(`${depth === 0 ? '' : 'caused by '}${at.stack ?? at.message}`)
    at = at.cause
  }
  return stacks
}
