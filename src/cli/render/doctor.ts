import type { Check, CheckStatus } from '../../engine/doctor.ts'
import type { Colours, Style } from '../surroundings.ts'
import { counted, oneLine } from './figures.ts'
import { wrap } from './table.ts'

const signs: Readonly<Record<CheckStatus, string>> = { ok: '✓', note: 'i', warn: '!', fail: '✗' }
const nameWidth = 14

/** The checks of a database, each with its mend, and how many need somebody. */
export function renderDoctor(checks: readonly Check[], style: Style): readonly string[] {
  const { colours } = style
  const bad = checks.filter(({ status }) => status === 'warn' || status === 'fail').length
  return [
    ...checks.flatMap((check) => renderCheck(check, style)),
    '',
    bad === 0
      ? colours.green('All is well.')
      : colours.yellow(`${counted(bad, 'thing needs', 'things need')} somebody.`),
  ]
}

function renderCheck({ name, status, what, mend }: Check, style: Style): readonly string[] {
  const { colours } = style
  const width = Math.max(40, Math.min(style.width, 120) - nameWidth - 3)
  const lines = wrap(oneLine(what), width)
  const head = `${paintOf(status, colours)(signs[status])} ${colours.dim(name.padEnd(nameWidth))} `
  const blank = ' '.repeat(nameWidth + 3)
  return [
    ...lines.map((line, i) => (i === 0 ? head : blank) + line),
    ...(mend === null
      ? []
      : wrap(`→ ${oneLine(mend)}`, width).map((line) => blank + colours.cyan(line))),
  ]
}

function paintOf(status: CheckStatus, colours: Colours): (text: string) => string {
  switch (status) {
    case 'ok':
      return colours.green
    case 'note':
      return colours.cyan
    case 'warn':
      return colours.yellow
    case 'fail':
      return colours.red
  }
}
