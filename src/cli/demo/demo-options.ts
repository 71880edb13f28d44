import { parseDuration } from '../../base/duration.ts'
import { TidemarkError } from '../../model/errors.ts'

/** What may be chosen about a demonstration. */
export interface DemoOptions {
  /** Order lines of the shop; null: those of the shop that is there, else a million. */
  readonly lines: number | null
  readonly seed: number | null
  /** Transactions a second of the writers. */
  readonly rate: number
  /** Ends by itself after this long; null: when somebody ends it. */
  readonly forMs: number | null
  readonly json: boolean
  readonly reset: boolean
  /** Null: a free one. */
  readonly port: number | null
  /** Where the data is kept. */
  readonly folder: string
}

/** The flags as they were written. */
export interface DemoFlags {
  readonly rows?: string
  readonly seed?: string
  readonly rate?: string
  readonly for?: string
  readonly port?: string
  readonly json?: boolean
  readonly reset?: boolean
}

const rateDefault = 20
/** Reads the flags. Throws `TIDEMARK_USAGE` for a value that has no meaning. */
export function demoOptions(flags: DemoFlags, folder: string): DemoOptions {
  const forMs = flags.for === undefined ? null : durationOf(flags.for)
  return {
    lines: numberOf('--rows', flags.rows, { min: 1_000, max: 50_000_000 }),
    seed: numberOf('--seed', flags.seed, { min: 1, max: 1_000_000_000 }),
    rate: numberOf('--rate', flags.rate, { min: 0, max: 1_000 }) ?? rateDefault,
    forMs,
    json: flags.json === true,
    reset: flags.reset === true,
    port: numberOf('--port', flags.port, { min: 1_024, max: 65_535 }),
    folder,
  }
}

function numberOf(
  flag: string,
  text: string | undefined,
  bounds: { readonly min: number; readonly max: number },
): number | null {
  if (text === undefined) return null
  const number = Number(text.replaceAll(/[_,]/g, ''))
  if (Number.isInteger(number) && number >= bounds.min && number <= bounds.max) return number
  throw new TidemarkError({
    code: 'TIDEMARK_USAGE',
    what: `${flag} ${text} is not a whole number from ${bounds.min} to ${bounds.max}`,
    mend: `Write it as in ${flag} ${bounds.min}.`,
  })
}

function durationOf(text: string): number {
  const ms = parseDuration(text)
  if (ms !== null && ms >= 1_000) return ms
  throw new TidemarkError({
    code: 'TIDEMARK_USAGE',
    what: `--for ${text} is not a span of a second or more`,
    mend: `Write it with its unit, as in --for 20s or --for 5m.`,
  })
}
