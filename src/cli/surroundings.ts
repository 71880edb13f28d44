import { createInterface } from 'node:readline/promises'
import { createColors } from 'picocolors'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { Terminal } from './demo/terminal.ts'

/** Paints text, or leaves it as it is where colours are not wanted. */
export type Colours = ReturnType<typeof createColors>

/** What a command sees of the world; a test gives another one. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly folder: string
  readonly clock: Clock
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Whether a person looks at the output. */
  readonly interactive: boolean
  /** Characters in a line; null where nobody counts them, as in a pipe. */
  readonly width: () => number | null
  /** Asks yes or no; null where nobody can answer. */
  readonly confirm: ((question: string) => Promise<boolean>) | null
  /** Takes the terminal over, to draw in place; null where there is none. */
  readonly openTerminal: (() => Terminal) | null
  /** Fires at Ctrl-C and its kin; {@link onHurry} at the second of them. */
  readonly onStop: (stop: () => void, hurry: () => void) => () => void
}

/** How text may be shown. */
export interface Style {
  /** Characters in a line; Infinity where nobody counts them. */
  readonly width: number
  readonly colours: Colours
  readonly now: Date
}

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The process, its terminal and its environment. */
export function processSurroundings(): Surroundings {
  const { stdin, stdout, stderr, env } = process
  const answerable = stdin.isTTY && stdout.isTTY
  return {
    environment: env,
    folder: process.cwd(),
    clock: systemClock,
    out: (text) => stdout.write(text),
    err: (text) => stderr.write(text),
    interactive: stdout.isTTY,
    width: () => widthOf(stdout.isTTY ? stdout.columns : undefined, env['COLUMNS']),
    confirm: answerable ? confirm : null,
    openTerminal: stdout.isTTY ? () => new Terminal(stdout, stdin.isTTY ? stdin : null) : null,
    onStop,
  }
}

function widthOf(columns: number | undefined, told: string | undefined): number | null {
  const number = columns ?? Number(told ?? '')
  return Number.isInteger(number) && number > 0 ? number : null
}

async function confirm(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return /^\s*y(es)?\s*$/i.test(await lines.question(`${question} (y/N) `))
  } finally {
    lines.close()
  }
}

function onStop(stop: () => void, hurry: () => void): () => void {
  let stopping = false
  const hear = (): void => {
    if (stopping) hurry()
    stopping = true
    stop()
  }
  for (const signal of stopSignals) process.on(signal, hear)
  return () => {
    for (const signal of stopSignals) process.off(signal, hear)
  }
}

/** Whether output is painted: NO_COLOR and FORCE_COLOR decide, else whether a person looks. */
export function wantsColours({ environment, interactive }: Surroundings): boolean {
  const forced = environment['FORCE_COLOR']
  if ((environment['NO_COLOR'] ?? '') !== '') return false
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false'
  return interactive && environment['TERM'] !== 'dumb'
}

/** How text may be shown in these surroundings, now. */
export function styleOf(surroundings: Surroundings): Style {
  return {
    width: surroundings.width() ?? Infinity,
    colours: createColors(wantsColours(surroundings)),
    now: surroundings.clock(),
  }
}
