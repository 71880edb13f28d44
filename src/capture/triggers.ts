import type { CaptureWish } from '../model/capture.ts'
import type { RelationName } from '../model/ids.ts'
import { captureNames, objectName } from '../model/names.ts'
import { identifier, qualified, qualifiedName } from '../postgres/identifier.ts'
import { firing, seesUpdates } from './capture-function.ts'

/** A trigger that capture of a source needs. */
export interface CaptureTrigger {
  readonly name: string
  readonly table: RelationName
  /** `insert`, or several joined by `or`. */
  readonly events: string
  /** `referencing …`, empty where there are no transition tables. */
  readonly referencing: string
  readonly level: 'row' | 'statement'
}

/** The capture triggers of a source: on it, and where PostgreSQL does not clone them, on all below it. */
export function triggersOf(wish: CaptureWish): readonly CaptureTrigger[] {
  const { name, kind, members } = wish.shape
  const updates = seesUpdates(wish)
  const trigger = (table: RelationName, event: string, referencing = ''): CaptureTrigger => ({
    name: objectName(`capture ${name} ${event}`),
    table,
    events: event,
    referencing,
    level: 'statement',
  })
  const tables = [name, ...members]
  const truncates = tables.map((table) => trigger(table, 'truncate'))
  if (firing(wish) === 'row') {
    // Those of a partitioned table are cloned to its partitions, present and future.
    const rows = (kind === 'partitioned' ? [name] : tables).map((table): CaptureTrigger => ({
      name: captureNames.trigger(name),
      table,
      events: updates ? 'insert or update or delete' : 'insert or delete',
      referencing: '',
      level: 'row',
    }))
    return [...rows, ...truncates]
  }
  const before = 'old table as old_rows'
  const after = 'new table as new_rows'
  return [
    trigger(name, 'insert', `referencing ${after}`),
    ...(updates ? [trigger(name, 'update', `referencing ${before} ${after}`)] : []),
    trigger(name, 'delete', `referencing ${before}`),
    ...truncates,
  ]
}

/**
 * Creates a trigger, or makes it what it should be.
 *
 * ONLY: a statement trigger of a partitioned table has no namesake on its partitions that could follow; a
 * row trigger has its clones. CREATE OR REPLACE and ENABLE take SHARE ROW EXCLUSIVE; DROP TRIGGER would take
 * ACCESS EXCLUSIVE and wait for readers.
 */
export function createTrigger(wish: CaptureWish, trigger: CaptureTrigger): readonly string[] {
  const { table, name, events, referencing, level } = trigger
  const only = level === 'statement' ? 'only ' : ''
  return [
    `create or replace trigger ${identifier(name)} after ${events} on ${qualifiedName(table)}
${referencing}${referencing === '' ? '' : ' '}for each ${level} execute function ${captureFunction(wish)}()`,
    `alter table ${only}${qualifiedName(table)} enable always trigger ${identifier(name)}`,
  ]
}

const captureFunction = (wish: CaptureWish): string =>
  qualified('tidemark', captureNames.trigger(wish.shape.name))
