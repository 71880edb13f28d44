import type { RowPart } from '../../invalidate/table-write.ts'

/** What is known of a row: fields without a value are not. */
export const known = (fields: readonly (readonly [column: string, value: unknown])[]): RowPart =>
  Object.fromEntries(fields.filter(([, value]) => value !== undefined))

/** Those columns of a row that are asked for. */
const picked = (row: RowPart, isPicked: (column: string) => boolean): RowPart =>
  Object.fromEntries(Object.entries(row).filter(([column]) => isPicked(column)))

/** What is known of the columns of a row that are named. */
export const columnsOf = (row: RowPart, columns: readonly string[]): RowPart =>
  picked(row, (column) => columns.includes(column))

/** What is known of the rows of an update. */
export interface UpdatedRows {
  /** The columns that it set; null: which is not known. */
  readonly set: readonly string[] | null
  /** What all its rows were like, by its condition. */
  readonly before: RowPart
  /** The values that it set. */
  readonly given: RowPart
  /** The rows as they are, as far as it told; null: it did not tell. */
  readonly returned: readonly RowPart[] | null
}

/** The rows of an update, as they were and as they are. */
export function updatedRows({ set, before, given, returned }: UpdatedRows): RowPart[] {
  const isKept = (column: string): boolean => set?.includes(column) === false
  const after = { ...picked(before, isKept), ...given }
  return (returned ?? [{}]).flatMap((row) => [
    { ...picked(row, isKept), ...before },
    { ...after, ...row },
  ])
}
