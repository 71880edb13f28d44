import type { Costs, Load } from '../measure/interleave.ts'

/** A line of what the bench of caches prints, in the form that `--json` promises. */
export interface Line {
  readonly measure: string
  readonly subject: string
  /** Of several turns the median. */
  readonly value: number
  /** The best turn, which others on the machine delay least. */
  readonly best: number
  readonly unit: 'µs' | 'bytes' | 'loads'
  /** Of the subject's value to that of the measure's yardstick. */
  readonly ratio: number
}

/** What was measured together, and how busy the machine was. */
export interface Measured {
  readonly lines: readonly Line[]
  readonly load: Load
}

/** The lines of a measure; `yardstick` is who the others are compared with. */
export function linesOf(
  measure: string,
  unit: Line['unit'],
  costs: Costs,
  yardstick: string,
): Line[] {
  const whole = costs.get(yardstick)?.median ?? NaN
  return [...costs].map(([subject, { median, best }]) => ({
    measure,
    subject,
    value: rounded(median),
    best: rounded(best),
    unit,
    ratio: rounded(median / whole),
  }))
}

const rounded = (value: number): number =>
  Number(value.toFixed(value < 10 ? 3 : value < 100 ? 1 : 0))

/** A value as about one row of an API has it, read from 200 bytes of JSON. */
export const sampleOf = (id: number): object =>
  JSON.parse(sampleText.replaceAll('$', String(id))) as object

const sampleText = JSON.stringify({
  id: '$',
  name: 'product $',
  description: 'x'.repeat(96),
  tags: ['one', 'two'],
  updatedAt: '2026-11-22T12:00:00Z',
})

/** The first of so many names: `tag0`, `tag1`. */
export const tagNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `tag${at}`)
