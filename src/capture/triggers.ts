import type { CaptureWish } from '../model/capture.ts'
import type { ChangeKind } from '../model/declaration.ts'
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
  /** The function that it calls, in schema `tidemark` (unquoted). */
  readonly calls: string
}

/** The capture triggers of a source: on it, and where PostgreSQL does not clone them, on all below it. */
export function triggersOf(wish: CaptureWish): readonly CaptureTrigger[] {
  const { name, kind, members } = wish.shape
  const updates = seesUpdates(wish)
  const tables = [name, ...members]
  const truncates = tables.map((table): CaptureTrigger => ({
    name: objectName(`capture ${name} truncate`),
    table,
    events: 'truncate',
    referencing: '',
    level: 'statement',
    calls: captureNames.trigger(name),
  }))
  if (firing(wish) === 'row') {
    // Those of a partitioned table are cloned to its partitions, present and future.
    const rows = (kind === 'partitioned' ? [name] : tables).map((table): CaptureTrigger => ({
      name: captureNames.trigger(name),
      table,
      events: updates ? 'insert or update or delete' : 'insert or delete',
      referencing: '',
      level: 'row',
      calls: captureNames.trigger(name),
    }))
    return [...rows, ...truncates]
  }
  const trigger = (change: ChangeKind, rows: string): CaptureTrigger => ({
    name: objectName(`capture ${name} ${change}`),
    table: name,
    events: change,
    referencing: `referencing ${rows}`,
    level: 'statement',
    calls: captureNames.trigger(name, change),
  })
  const before = 'old table as old_rows'
  const after = 'new table as new_rows'
  return [
    trigger('insert', after),
    ...(updates ? [trigger('update', `${before} ${after}`)] : []),
    trigger('delete', before),
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
export function createTrigger(trigger: CaptureTrigger): readonly string[] {
  const { table, name, events, referencing, level, calls } = trigger
  const only = level === 'statement' ? 'only ' : ''
  return [
    `create or replace trigger ${identifier(name)} after ${events} on ${qualifiedName(table)}
${referencing}${referencing === '' ? '' : ' '}for each ${level} execute function ${qualified('tidemark', calls)}()`,
    `alter table ${only}${qualifiedName(table)} enable always trigger ${identifier(name)}`,
  ]
}
