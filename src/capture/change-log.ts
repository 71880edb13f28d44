import type { CaptureWish } from '../model/capture.ts'
import { logsPairs } from '../model/capture.ts'
import { captureNames } from '../model/names.ts'
import { identifier, qualified } from '../postgres/identifier.ts'
import type { Bucket } from './capture-function.ts'
import { imageColumns } from './image.ts'

/**
 * Creates one table of a change log.
 *
 * Rows are appended, read and truncated, never updated: packed full, and left alone by autovacuum, whose
 * lock would make the cleaner's attempts fail. PostgreSQL vacuums against wrap-around all the same.
 * Looks and refreshes find what is new by the index, however much lies in the log for a reader that is behind; a statement
 * that writes very many rows takes a sixth longer by it (decision 75).
 */
export function createLog(wish: CaptureWish, bucket: Bucket): readonly string[] {
  const log = qualified('tidemark', captureNames.log(wish.shape.name, bucket))
  return [
    `create table if not exists ${log} (
  xid xid8 not null default pg_current_xact_id(),
  w smallint not null${logFields(wish)
    .map((field) => `,\n  ${field}`)
    .join('')}
) with (fillfactor = 100, autovacuum_enabled = false, toast.autovacuum_enabled = false)`,
    `revoke all on table ${log} from public`,
    `create index if not exists ${identifier(captureNames.logIndex(wish.shape.name, bucket))} on ${log} (xid)`,
  ]
}

/** The columns of a log beside `xid` and `w`: the image, and that of before an update where both are one row. */
export function logFields(wish: CaptureWish): readonly string[] {
  if (wish.mode !== 'rows') return []
  const after = imageColumns(wish).map(({ logged, type }) => `${identifier(logged)} ${type}`)
  const before = imageColumns(wish).map((column) => `${identifier(column.before)} ${column.type}`)
  return [...after, ...(logsPairs(wish.shape) ? before : [])]
}
