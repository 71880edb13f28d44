import type { Tag } from './invalidation.ts'

/** Keys that another program gives to what it keeps of a row: `electro_isla:1:producto_{id}`, `{id}` for a column. */
export interface KeyTemplate {
  /** The columns, in the order of their names. */
  readonly columns: readonly string[]
  /** All its keys, as Redis matches them. */
  readonly glob: string
  /** What it concerns that a source has changed: some keys, or all that the template can make; null: nothing. */
  readonly keysOf: (tag: Tag) => readonly string[] | 'all' | null
}
