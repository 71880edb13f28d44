import { partsOf } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import { must } from '../base/assert.ts'
import { objectName, viewNames } from '../model/names.ts'
import type { PresentedTable, ResultColumn } from '../model/view.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import type { Artifact, IndexFacts, RelationFacts } from './actual.ts'
import { digestOf } from './actual.ts'
import { forgetArtifact, noteArtifact } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import type { Target } from './recreate.ts'
import { columnStorage, indexesOn, optionsOf, ownership, targetName } from './recreate.ts'
import type { Installer } from './view-objects.ts'
import { dropGuard, guardOn, noteState, ownedBy, targetNamed, viewObjects } from './view-objects.ts'

/** What `as: 'table'` adds to the objects of a view, as SQL. */
interface TableObjects {
  /** Rows that the state has gained and lost since the table was last brought up to it. */
  readonly difference: Target
  /** The program that brings the table up to its state, as `to_regprocedure` takes it. */
  readonly signature: string
}

/** What the objects of a view whose name is a table are called, beside those of every view. */
export const tableObjects = (view: RelationName): TableObjects => ({
  difference: { schema: 'tidemark_state', relation: viewNames.difference(view), kind: 'table' },
  signature: `${qualified('tidemark_state', viewNames.present(view))}(boolean, boolean, boolean)`,
})

const tableOf = ({ compiled }: DesiredView): PresentedTable =>
  must(compiled.table, 'a view that is a table is compiled as one')

/** The user's table, empty, with the columns that PostgreSQL gives the query. */
export function createTable({ compiled }: DesiredView, owner: string, role: string): string[] {
  return [
    `create table ${qualifiedName(compiled.name)} as\n${compiled.query.sql}\nwith no data`,
    ...ownership(owner, targetNamed(compiled.name, 'table'), role),
  ]
}

/** The name under which the user's table is made while another relation has its own. */
export const draftOf = (view: RelationName): Target => ({
  ...targetNamed(view, 'table'),
  relation: objectName(`draft of ${view}`),
})

const draftIndex = (view: RelationName, { name }: IndexFacts): string =>
  objectName(`draft of ${view} ${name}`)

/**
 * The user's table, made and filled under another name while readers read what has its name: columns, storage, rows and
 * indexes of the relation that it will follow. {@link nameDraft} gives it the name.
 */
export function draftTable(before: RelationFacts, role: string): string[] {
  const target = draftOf(before.name)
  const name = targetName(target)
  const matview = before.kind === 'matview'
  const method = before.accessMethod === null ? '' : `\nusing ${identifier(before.accessMethod)}`
  const tablespace =
    before.tablespace === null ? '' : `\ntablespace ${identifier(before.tablespace)}`
  const old = qualifiedName(before.name)
  const drafts = {
    ...before,
    indexes: before.indexes.map((index) => ({ ...index, name: draftIndex(before.name, index) })),
  }
  const options = matview ? optionsOf(before) : ''
  const columns = before.columns.map((column) => ({ ...column, storage: null, compression: null }))
  return [
    `create table ${name} (like ${old} including storage including compression)${method}${options}${tablespace}`,
    ...ownership(before.owner, target, role),
    ...(matview ? columnStorage({ ...before, columns }, target) : []),
    ...(before.populated ? [`insert into ${name} select * from ${old}`] : []),
    ...indexesOn(drafts, target),
  ]
}

/** Takes the names of a table's indexes away, which the relation that will follow it needs while both are there. */
export const makeRoom = (table: RelationFacts): string[] =>
  table.kind === 'table'
    ? table.indexes.map(
        (index) =>
          `alter index ${qualified(partsOf(table.name).schema, index.name)} rename to ${identifier(objectName(`leaving ${table.name} ${index.name}`))}`,
      )
    : []

/** Gives a draft and its indexes their names; whatever had them is gone by now. */
export function nameDraft(before: RelationFacts): string[] {
  const { schema, name } = partsOf(before.name)
  return [
    `alter table ${targetName(draftOf(before.name))} rename to ${identifier(name)}`,
    ...before.indexes.map(
      (index) =>
        `alter index ${qualified(schema, draftIndex(before.name, index))} rename to ${identifier(index.name)}`,
    ),
  ]
}

/**
 * Gives the user's table other columns. It is not made anew: policies, publications, grants and triggers stay on it.
 * Columns from the first that differs on are dropped and added, so that they come in the order of the query; what was in
 * the table is of another query and goes.
 */
export function alterTable(table: RelationFacts, columns: readonly ResultColumn[]): string[] {
  const { surplus, missing } = columnsApart(table, columns)
  if (surplus.length + missing.length === 0) return []
  const name = qualifiedName(table.name)
  const changes = [
    ...surplus.map((column) => `drop column ${identifier(column)}`),
    ...missing.map(
      (column) =>
        `add column ${identifier(column.name)} ${column.type}${column.collation === undefined ? '' : ` collate ${column.collation}`}`,
    ),
  ]
  return [
    ...(missing.length === 0 ? [] : [`truncate ${name}`]),
    `alter table ${name}\n  ${changes.join(',\n  ')}`,
  ]
}

/** Columns of the table that must go, and columns of the query that must come, so that both are alike in order. */
export function columnsApart(
  table: RelationFacts,
  columns: readonly ResultColumn[],
): { readonly surplus: readonly string[]; readonly missing: readonly ResultColumn[] } {
  const differs = columns.findIndex(
    ({ name, type }, at) => table.columns[at]?.name !== name || table.columns[at].type !== type,
  )
  const kept = differs < 0 ? columns.length : differs
  return {
    surplus: table.columns.slice(kept).map(({ name }) => name),
    missing: columns.slice(kept),
  }
}

/** Takes off a table what is made anew for its other columns; policies, triggers and grants stay. */
export const undressTable = (table: RelationFacts, artifacts: readonly Artifact[]): string[] => [
  dropGuard(qualifiedName(table.name)),
  ...dropKey(table.name),
  ...artifacts
    .filter(({ kind, ownerName }) => kind === 'index' && ownerName === table.name)
    .map(({ name }) => `drop index if exists ${name}`),
]

/** The primary key of the table of a view, as artifacts have it. */
export const keyName = (view: RelationName): string => {
  const { schema, name } = partsOf(view)
  return qualified(schema, objectName(`${name}_pkey`))
}

/**
 * The primary key as declared. Without one the replica identity is full: a table that is published could not be updated
 * otherwise, and the refresh would fail.
 */
export function createKey({ declaration, compiled }: DesiredView): string[] {
  const view = compiled.name
  const name = qualifiedName(view)
  const key = declaration.primaryKey
  if (key === null) return [`alter table ${name} replica identity full`]
  const constraint = identifier(objectName(`${partsOf(view).name}_pkey`))
  return [
    `alter table ${name} add constraint ${constraint} primary key (${key.map(identifier).join(', ')})`,
    `alter table ${name} replica identity default`,
    noteArtifact({ ...ownedBy(view), kind: 'key', name: keyName(view), digest: digestOf(key) }),
  ]
}

/** Takes the primary key away that was declared, if there is one. */
export const dropKey = (view: RelationName): string[] => [
  `alter table ${qualifiedName(view)} drop constraint if exists ${identifier(objectName(`${partsOf(view).name}_pkey`))}`,
  forgetArtifact('key', keyName(view)),
]

/** Whether the primary key is as declared. */
export const keyIsCurrent = (
  { declaration, compiled }: DesiredView,
  artifacts: readonly Artifact[],
): boolean => {
  const made = artifacts.find(({ kind, name }) => kind === 'key' && name === keyName(compiled.name))
  if (declaration.primaryKey === null) return made === undefined
  return made?.exists === true && made.digest === digestOf(declaration.primaryKey)
}

const noted = [
  { event: 'insert', rows: ' referencing new table as new_rows' },
  { event: 'update', rows: ' referencing old table as old_rows new table as new_rows' },
  { event: 'delete', rows: ' referencing old table as old_rows' },
  { event: 'truncate', rows: '' },
] as const

/** Takes away what makes the table follow its state. */
export function unfollowState(view: RelationName): string[] {
  const state = targetName(viewObjects(view).state)
  const { difference, signature } = tableObjects(view)
  return [
    ...noted.map(({ event }) => `drop trigger if exists "tidemark notes ${event}s" on ${state}`),
    ...dropFollowing(view),
    forgetArtifact('table', targetName(difference)),
    forgetArtifact('function', signature),
  ]
}

/** Drops what is left of it when the state table is gone. */
export const dropFollowing = (view: RelationName): string[] => [
  `drop function if exists ${tableObjects(view).signature}`,
  `drop table if exists ${targetName(tableObjects(view).difference)}`,
]

/** Makes the table follow its state: what is done to one is noted, and done to the other (decision 0066). */
export function followState(desired: DesiredView, owner: string, as: Installer): string[] {
  const { compiled } = desired
  const view = compiled.name
  const state = targetName(viewObjects(view).state)
  const { difference, signature } = tableObjects(view)
  const columns = compiled.query.columns.map(({ name }) => identifier(name)).join(', ')
  const made = targetName(difference)
  return [
    `create unlogged table ${made} as\nselect ${columns}, 0::smallint as "weight of change" from ${state} with no data`,
    ...ownership(owner, difference, as.role),
    ...noted.map(
      ({ event, rows }) =>
        `create trigger "tidemark notes ${event}s" after ${event} on ${state}${rows}
for each statement execute function tidemark.note_difference(${literal(made)}, ${literal(columns)})`,
    ),
    tableOf(desired).presentSql,
    `revoke all on function ${signature} from public`,
    ...(owner === as.role ? [] : [`alter function ${signature} owner to ${identifier(owner)}`]),
    ...(owner === as.installer
      ? []
      : [`grant execute on function ${signature} to ${identifier(as.installer)}`]),
  ]
}

/** What a table has that stands under its name: key, guard, and what makes it follow its state. */
export const dressTable = (
  desired: DesiredView,
  owner: string,
  as: Installer,
  restore: readonly string[],
): string[] => [
  ...createKey(desired),
  guardOn(qualifiedName(desired.compiled.name), desired.compiled.name),
  ...followState(desired, owner, as),
  ...noteTable(desired, restore),
]

/** Digest of the program that brings the table up to its state. */
export const presentDigest = (desired: DesiredView): string => digestOf(tableOf(desired).presentSql)

/** Notes the user's table with what makes it follow, and the way back of an adopted view. */
export function noteTable(desired: DesiredView, restore: readonly string[]): string[] {
  const view = desired.compiled.name
  const owned = ownedBy(view)
  const { difference, signature } = tableObjects(view)
  return [
    ...noteState(desired),
    noteArtifact({ ...owned, kind: 'table', name: qualifiedName(view), restore }),
    noteArtifact({ ...owned, kind: 'guard', name: qualifiedName(view) }),
    noteArtifact({ ...owned, kind: 'table', name: targetName(difference) }),
    noteArtifact({ ...owned, kind: 'function', name: signature, digest: presentDigest(desired) }),
  ]
}

/** What the refreshes of a table rely on beside its state, by the names that `tidemark.altered_parts` has for them. */
export function tableParts(view: RelationName): readonly string[] {
  const { difference, signature } = tableObjects(view)
  const table = qualifiedName(view)
  return [
    `table ${table}`,
    `guard ${table}`,
    `table ${targetName(difference)}`,
    `function ${signature}`,
  ]
}

/** Indexes of the user's table that were not declared: they came with an adopted view, or were made by hand. */
export function ownIndexes(table: RelationFacts, artifacts: readonly Artifact[]): RelationFacts {
  const { schema } = partsOf(table.name)
  const made = new Set(
    artifacts.filter(({ kind }) => ['index', 'key'].includes(kind)).map(({ name }) => name),
  )
  return {
    ...table,
    indexes: table.indexes.filter(({ name }) => !made.has(qualified(schema, name))),
  }
}
