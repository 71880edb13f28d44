import { createHash } from 'node:crypto'
import type { ChangeKind } from './declaration.ts'
import { changeKinds } from './declaration.ts'
import type { RelationName } from './ids.ts'

/** PostgreSQL cuts identifiers at 63 bytes, silently; two long names would then be one. */
const nameBytesMax = 63

/**
 * Fits a name into PostgreSQL's 63 bytes: kept when it fits, else cut and ended with eight hex digits
 * of the SHA-256 of the whole. Equal input gives equal output; different input gives different output
 * but for a collision in 32 bits among names of the same beginning.
 */
export function objectName(text: string): string {
  if (Buffer.byteLength(text) <= nameBytesMax) return text
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 8)
  let head = text
  while (Buffer.byteLength(head) > nameBytesMax - 9) head = head.slice(0, -1)
  return `${head}~${digest}`
}

/** An index that was asked for on a user's table, or on a partition of it; it lies in the schema of its table. */
export const askedIndexName = (table: string, columns: readonly string[]): string =>
  objectName(`${askedIndexPrefix}${table} by ${columns.join(', ')}`)

/** How every {@link askedIndexName} begins. */
export const askedIndexPrefix = 'tidemark '

/** Objects of a captured source, all in schema `tidemark` (unquoted names). */
export const captureNames = {
  /** The function that holds the captured columns; its name is the mend that PostgreSQL prints when it refuses a DROP COLUMN. */
  holder: (source: RelationName): string => objectName(`${source} is captured; run tidemark plan`),
  image: (source: RelationName): string => objectName(`image of ${source}`),
  imageType: (source: RelationName): string => objectName(`image ${source}`),
  /** The function of capture triggers: of the statement trigger for one kind of change, or of all others. */
  trigger: (source: RelationName, change?: ChangeKind): string =>
    objectName(`capture ${change === undefined ? '' : `${change} of `}${source}`),
  /** All of {@link captureNames.trigger} that there may be. */
  triggers: (source: RelationName): readonly string[] =>
    [undefined, ...changeKinds].map((change) => captureNames.trigger(source, change)),
  log: (source: RelationName, bucket: 0 | 1 | 2): string => objectName(`log ${bucket} ${source}`),
  logIndex: (source: RelationName, bucket: 0 | 1 | 2): string =>
    objectName(`log ${bucket} by xid ${source}`),
  event: (rule: string): string => objectName(`event ${rule}`),
} as const

/** Objects of a view, all in schema `tidemark_state` (unquoted names). */
export const viewNames = {
  state: (view: RelationName): string => objectName(view),
  maintain: (view: RelationName): string => objectName(`maintain ${view}`),
  fallback: (view: RelationName): string => objectName(`source of ${view}`),
  exact: (view: RelationName): string => objectName(`exact ${view}`),
  changes: (view: RelationName): string => objectName(`changes of ${view}`),
  difference: (view: RelationName): string => objectName(`difference of ${view}`),
  present: (view: RelationName): string => objectName(`present ${view}`),
} as const

/**
 * What a column is called in a change log, whose own columns are `xid`, `w` and those of {@link beforeName}: its own name,
 * with a dot before it where that is taken. No two columns get one name.
 */
export const loggedName = (column: string): string =>
  /^\.*(xid$|w$|before )/.test(column) ? objectName(`.${column}`) : column

/** What the value of a column before an update is called in a change log. */
export const beforeName = (column: string): string => objectName(`before ${loggedName(column)}`)
