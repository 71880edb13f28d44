import type { Colours } from '../surroundings.ts'
import { oneLine } from './figures.ts'

const known = new Set(['level', 'time', 'msg'])

/** A log line of JSON as a line for people: time, sign, message, the group, what else it holds. */
export function renderLogLine(json: string, colours: Colours): string {
  const record = JSON.parse(json) as Readonly<Record<string, unknown>>
  const time = new Date(String(record['time'])).toTimeString().slice(0, 8)
  const rest = Object.entries(record).filter(([key]) => !known.has(key))
  const more = rest.map(
    ([key, value]) => `${key === 'group' ? '' : colours.dim(`${key} `)}${oneLine(textOf(value))}`,
  )
  return [colours.dim(time), signOf(record['level'], colours), String(record['msg']), ...more].join(
    ' ',
  )
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value)

function signOf(level: unknown, colours: Colours): string {
  switch (level) {
    case 'error':
    case 'fatal':
      return colours.red('✗')
    case 'warn':
      return colours.yellow('!')
    case 'debug':
      return colours.dim('·')
    default:
      return colours.green('●')
  }
}
