import { duration, wholeNumber } from '../option-values.ts'

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
const forBounds = { minMs: 1_000, maxMs: 86_400_000, example: '20s' }

/** Reads the flags. Throws `TIDEMARK_USAGE` for a value that has no meaning. */
export function demoOptions(flags: DemoFlags, folder: string): DemoOptions {
  return {
    lines: numberOf('--rows', flags.rows, { min: 1_000, max: 50_000_000 }),
    seed: numberOf('--seed', flags.seed, { min: 1, max: 1_000_000_000 }),
    rate: numberOf('--rate', flags.rate, { min: 0, max: 1_000 }) ?? rateDefault,
    forMs: flags.for === undefined ? null : duration('--for', flags.for, forBounds),
    json: flags.json === true,
    reset: flags.reset === true,
    port: numberOf('--port', flags.port, { min: 1_024, max: 65_535 }),
    folder,
  }
}

/** Thousands may stand apart, as in 5_000_000. */
function numberOf(
  flag: string,
  text: string | undefined,
  bounds: { readonly min: number; readonly max: number },
): number | null {
  return text === undefined ? null : wholeNumber(flag, text.replaceAll(/[_,]/g, ''), bounds)
}
