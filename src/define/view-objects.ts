import { partsOf, relationName } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import { objectName, viewNames } from '../model/names.ts'
import type { CompiledView } from '../model/view.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import type { Artifact, RelationFacts } from './actual.ts'
import { digestOf } from './actual.ts'
import { forgetArtifact, noteArtifact } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import type { Target } from './recreate.ts'
import {
  columnStorage,
  commentsOf,
  grantsOf,
  indexesOn,
  optionsOf,
  ownership,
  restoreMatview,
  targetName,
  targetOf,
} from './recreate.ts'

const stateSchema = 'tidemark_state'

/** The objects of a view, qualified and quoted. */
export interface ViewObjects {
  readonly relation: string
  readonly state: Target
  readonly maintain: string
  /** As `to_regprocedure` takes it. */
  readonly signature: string
  readonly fallback: RelationName
}

/** What the objects of a view are called. */
export function viewObjects(view: RelationName): ViewObjects {
  const maintain = qualified(stateSchema, viewNames.maintain(view))
  return {
    relation: qualifiedName(view),
    state: { schema: stateSchema, relation: viewNames.state(view), kind: 'table' },
    maintain,
    signature: `${maintain}(boolean, pg_snapshot, timestamptz)`,
    fallback: relationName(stateSchema, viewNames.fallback(view)),
  }
}

/** The columns of a view by name, in their order. */
export const columnNames = ({ compiled }: DesiredView): readonly string[] =>
  compiled.query.columns.map(({ name }) => name)

/** The view of what a view has to hold, by which it is verified. */
export const exactName = (view: RelationName): RelationName =>
  relationName(stateSchema, viewNames.exact(view))

/** The part of an artifact that all objects of a view share. */
export const ownedBy = (
  view: RelationName,
): Pick<Artifact, 'ownerNoun' | 'ownerName' | 'restore' | 'digest'> => ({
  ownerNoun: 'view',
  ownerName: view,
  restore: [],
  digest: '',
})

/** Digest of a view's columns: with another one its state is another table. */
export const columnsDigest = ({ query }: CompiledView): string => digestOf(query.columns)

const columnList = ({ query }: CompiledView): string =>
  query.columns.map(({ name }) => identifier(name)).join(', ')

/** The guard of a state table: nobody writes it but the refresh of its view. */
export const guardTrigger = (view: RelationName): string =>
  guardOn(targetName(viewObjects(view).state), view)

/** The guard of a table of a view: nobody writes it but the refresh. */
export const guardOn = (table: string, view: RelationName): string =>
  `create trigger "tidemark guard" before insert or update or delete or truncate on ${table}
for each statement execute function tidemark.guard(${literal(view)})`

/** Takes the guard of a table away, disabled or not. */
export const dropGuard = (table: string): string =>
  `drop trigger if exists "tidemark guard" on ${table}`

/** An empty state table with the columns that PostgreSQL gives the query. */
export function createState({ compiled }: DesiredView, owner: string, role: string): string[] {
  const { state } = viewObjects(compiled.name)
  return [
    `create table ${targetName(state)} as\n${compiled.query.sql}\nwith no data`,
    ...ownership(owner, state, role),
  ]
}

/** The state table of an adopted materialized view: its columns, storage and rows; the indexes are with who reads. */
export function copyState(matview: RelationFacts, role: string, read: boolean): string[] {
  const { state } = viewObjects(matview.name)
  const name = targetName(state)
  const method = matview.accessMethod === null ? '' : `\nusing ${identifier(matview.accessMethod)}`
  const tablespace =
    matview.tablespace === null ? '' : `\ntablespace ${identifier(matview.tablespace)}`
  const old = qualifiedName(matview.name)
  return [
    `create table ${name} (like ${old} including storage including compression)${method}${optionsOf(matview)}${tablespace}`,
    ...ownership(matview.owner, state, role),
    ...columnStorage({ ...matview, columns: matview.columns.map(withoutStorage) }, state),
    ...(matview.populated ? [`insert into ${name} select * from ${old}`] : []),
    ...(read ? indexesOn(matview, state) : []),
  ]
}

/** `like` has carried these; statistics targets it does not carry. */
const withoutStorage = (
  column: RelationFacts['columns'][number],
): RelationFacts['columns'][number] => ({ ...column, storage: null, compression: null })

/** The view of the user's name on the state table. */
export function createPresentation(
  { compiled }: DesiredView,
  owner: string,
  role: string,
): string[] {
  const { relation, state } = viewObjects(compiled.name)
  const target = targetNamed(compiled.name, 'view')
  return [
    `create view ${relation} as\nselect ${columnList(compiled)} from ${targetName(state)}`,
    ...ownership(owner, target, role),
  ]
}

/** The place of a view's own name. */
export const targetNamed = (view: RelationName, kind: Target['kind']): Target => {
  const { schema, name } = partsOf(view)
  return { schema, relation: name, kind }
}

/** What a presentation takes over from the relation that had its name: comments and the right to read. */
export function carriedOver(
  before: RelationFacts,
  columns: readonly string[],
  kind: Target['kind'] = 'view',
): string[] {
  const target: Target = { ...targetOf(before), kind }
  const kept = {
    ...before,
    columns: before.columns.filter(({ name }) => columns.includes(name)),
  }
  return [...commentsOf(kept, target), ...grantsOf(kept, target, ['SELECT'])]
}

/** Who applies, and who owns Tidemark's functions, which call those of the views. */
export interface Installer {
  readonly role: string
  readonly installer: string
}

/**
 * Lets an owner who is not the installer have tables and functions among Tidemark's: the right to look
 * up names stays, since its program reads its state, the right to create ends with the step.
 */
export function amongState(owner: string, as: Installer, sql: readonly string[]): string[] {
  if (owner === as.installer) return [...sql]
  return [
    `grant usage, create on schema ${stateSchema} to ${identifier(owner)}`,
    ...sql,
    `revoke create on schema ${stateSchema} from ${identifier(owner)}`,
  ]
}

/**
 * Takes away what an incremental program has beside the state table: views on rows, types of changes, tables of
 * stages, hidden columns, and the exact view, which reads some of these. With `stored: false` tables and columns stay.
 */
export const dropParts = (view: RelationName, stored = true): string => `do $$
declare
  part record;
  place text[];
begin
  drop view if exists ${qualifiedName(exactName(view))};
  for part in select a.name from tidemark.artifact a
              where a.kind = 'part' and a.owner_noun = 'view' and a.owner_name = ${literal(view)}${stored ? '' : storesNothing}
              order by a.name collate "C"
  loop
    if part.name like 'column %' then
      place := parse_ident(substr(part.name, 8));
      execute format('alter table if exists %I.%I drop column if exists %I', place[1], place[2], place[3]);
    else
      execute 'drop ' || regexp_replace(part.name, '^([a-z]+) ', '\\1 if exists ');
    end if;
  end loop;
  delete from tidemark.artifact a
  where a.owner_noun = 'view' and a.owner_name = ${literal(view)}
    and (a.kind = 'part'${stored ? '' : storesNothing}
         or a.kind = 'guard' and ${String(stored)} and a.name not in (${literal(targetName(viewObjects(view).state))}, ${literal(qualifiedName(view))})
         or a.kind = 'view' and a.name = ${literal(qualifiedName(exactName(view)))});
end $$`

const storesNothing = ` and a.name !~ '^(table|column) '`

/** Makes views and types of an incremental program anew, and leaves alone what is stored. */
function renewParts({ compiled }: DesiredView, owner: string, as: Installer): string[] {
  const { incremental, name } = compiled
  if (incremental === null) return [dropParts(name)]
  const part = { ...ownedBy(name), kind: 'part' } as const
  return [
    dropParts(name, false),
    ...incremental.install.filter((statement) => !isStored(statement)),
    ...incremental.objects
      .filter((made) => !made.startsWith('table '))
      .flatMap((made) => [
        ...(owner === as.role ? [] : [`alter ${made} owner to ${identifier(owner)}`]),
        noteArtifact({ ...part, name: made }),
      ]),
  ]
}

/** Whether a statement of an incremental program makes what rows are kept in. */
export const isStored = (statement: string): boolean =>
  /^(create table|create (unique )?index|create unlogged table|alter table) /.test(statement)

/** What an incremental program needs beside the state table, owned by the owner of the view. */
function createParts({ compiled }: DesiredView, owner: string, as: Installer): string[] {
  const { incremental, name } = compiled
  if (incremental === null) return [dropParts(name)]
  const part = { ...ownedBy(name), kind: 'part' } as const
  const state = targetName(viewObjects(name).state)
  const tables = incremental.objects
    .filter((made) => made.startsWith('table '))
    .map((made) => made.slice('table '.length))
  return [
    dropParts(name),
    ...incremental.install,
    ...tables.flatMap((table) => [
      guardOn(table, name),
      noteArtifact({ ...part, kind: 'guard', name: table }),
    ]),
    ...incremental.objects.flatMap((made) => [
      ...(owner === as.role ? [] : [`alter ${made} owner to ${identifier(owner)}`]),
      noteArtifact({ ...part, name: made }),
    ]),
    ...incremental.hiddenColumns.map((column) =>
      noteArtifact({ ...part, name: `column ${state}.${identifier(column)}` }),
    ),
  ]
}

/**
 * The view of what the view has to hold, with nothing left to choose, by which it is verified. Like the live view it
 * reads other views by name, and is made when these are there.
 */
export function createExact({ compiled }: DesiredView, owner: string, role: string): string[] {
  const { incremental, name } = compiled
  if (incremental === null) return []
  const exact = exactName(name)
  return [
    `drop view if exists ${qualifiedName(exact)}`,
    incremental.exactView,
    ...ownership(owner, targetNamed(exact, 'view'), role),
    noteArtifact({
      ...ownedBy(name),
      kind: 'view',
      name: qualifiedName(exact),
      digest: exactDigest(compiled),
    }),
  ]
}

/** Digest of the exact view; of nothing where there is none. */
export const exactDigest = ({ incremental }: CompiledView): string =>
  incremental === null ? '' : digestOf(incremental.exactView)

/** Digest of a maintenance program and of all that it needs. */
export const programDigest = ({ maintainSql, incremental }: CompiledView): string =>
  digestOf(incremental === null ? maintainSql : [maintainSql, ...incremental.install])

/** The maintenance program, run with the rights of the view's owner and by nobody else's call. */
export const createMaintain = (desired: DesiredView, owner: string, as: Installer): string[] => [
  ...createParts(desired, owner, as),
  ...createProgram(desired, owner, as),
]

/** The same over the stages that are there, which stay as they are: the program must be the one that keeps them, but for names. */
export const renewMaintain = (desired: DesiredView, owner: string, as: Installer): string[] => [
  ...renewParts(desired, owner, as),
  ...createProgram(desired, owner, as),
]

/** Settings beside those of every program that functions of PostgreSQL read, and words that are in every query that calls one. */
const readBy: readonly (readonly [string, RegExp])[] = [
  ['default_text_search_config', /tsvector|tsquery|ts_headline|ts_debug|ts_config|@@/],
  ['lc_monetary', /money|to_char|to_number/],
  ['lc_numeric', /to_char|to_number/],
  ['lc_time', /to_char|to_date|to_timestamp/],
]

/**
 * What the query may read of settings that each session has its own of: programs have those of whoever applies, for rows that
 * one refresh has computed by one setting and the next by another are no result of any query.
 */
function settingsRead({ query }: CompiledView): readonly string[] {
  const texts = [query.sql, ...query.views.map(({ sql }) => sql)]
  return readBy.flatMap(([setting, words]) =>
    texts.some((text) => words.test(text)) ? [setting] : [],
  )
}

function createProgram({ compiled }: DesiredView, owner: string, as: Installer): string[] {
  const { signature } = viewObjects(compiled.name)
  return [
    compiled.maintainSql.trimEnd().replace(/;$/, ''),
    ...settingsRead(compiled).map(
      (setting) => `alter function ${signature} set ${setting} from current`,
    ),
    `revoke all on function ${signature} from public`,
    ...(owner === as.role ? [] : [`alter function ${signature} owner to ${identifier(owner)}`]),
    ...(owner === as.installer
      ? []
      : [`grant execute on function ${signature} to ${identifier(as.installer)}`]),
    noteArtifact({
      ...ownedBy(compiled.name),
      kind: 'function',
      name: signature,
      digest: programDigest(compiled),
    }),
  ]
}

/**
 * The live view of the same query: PostgreSQL records by object what it reads, so that a swap of names is
 * noticed; and readers may use it when the view is not fresh, with `fallback: 'source'`. The exact view comes with it.
 */
export function createLiveView(desired: DesiredView, owner: string, role: string): string[] {
  const { compiled } = desired
  const { fallback } = viewObjects(compiled.name)
  const target = targetNamed(fallback, 'view')
  return [
    `drop view if exists ${qualifiedName(fallback)}`,
    `create view ${qualifiedName(fallback)} as\n${compiled.query.sql}`,
    ...ownership(owner, target, role),
    ...noteLiveView(desired),
    ...createExact(desired, owner, role),
  ]
}

/** Notes the live view, and takes what the query means for right. */
export const noteLiveView = ({ compiled }: DesiredView): string[] => [
  noteArtifact({
    ...ownedBy(compiled.name),
    kind: 'view',
    name: qualifiedName(viewObjects(compiled.name).fallback),
    digest: compiled.digest,
  }),
  noteDefinition(compiled),
]

/** Takes what the query means for right. */
function noteDefinition({ name, incremental }: CompiledView): string {
  const rows = incremental?.rowTypes.map((type) => literal(qualifiedName(type))) ?? []
  return `select tidemark.note_definition(${[literal(name), ...rows].join(', ')})`
}

/** Takes the live view and the exact view away. */
export const dropLiveView = (view: RelationName): string[] =>
  [viewObjects(view).fallback, exactName(view)]
    .map((name) => qualifiedName(name))
    .flatMap((name) => [`drop view if exists ${name}`, forgetArtifact('view', name)])

/** An index as declared, with a name that says what it is: equal declarations have equal names. */
export interface DeclaredIndex {
  /** Qualified and quoted. */
  readonly name: string
  readonly schema: string
  readonly bare: string
  readonly sql: string
}

/** The declared indexes of a view on what holds the rows that are read, or on a draft of it. */
export function declaredIndexes(
  { declaration, compiled }: DesiredView,
  draft?: string,
): readonly DeclaredIndex[] {
  const view = compiled.name
  const amongOwn = declaration.as !== 'view'
  const { state, relation } = viewObjects(view)
  const { schema, name: bare } = partsOf(view)
  const on = draft ?? (amongOwn ? relation : targetName(state))
  const declared = declaration.indexes.map((text) => {
    const unique = /^unique\s+/i.test(text)
    const rest = text.replace(/^unique\s+/i, '').trim()
    const name = objectName(`${amongOwn ? bare : view} ${unique ? 'unique ' : ''}${rest}`)
    return {
      ...placeOf(amongOwn ? schema : stateSchema, name),
      sql: `create ${unique ? 'unique ' : ''}index ${identifier(name)} on ${on} ${rest}`,
    }
  })
  return [...declared, ...locatorIndex(compiled, on)]
}

const placeOf = (schema: string, bare: string): Omit<DeclaredIndex, 'sql'> => ({
  name: qualified(schema, bare),
  schema,
  bare,
})

/** The index by which rows of a table are found; its name says by what, so that another one has another name. */
function locatorIndex({ name: view, table }: CompiledView, on: string): readonly DeclaredIndex[] {
  if (table === null || table.index === null) return []
  const { schema, name: bare } = partsOf(view)
  const name = objectName(`tidemark ${bare} by ${table.located.join(', ')}`)
  return [
    {
      ...placeOf(schema, name),
      sql: `create index ${identifier(name)} on ${on} ${table.index}`,
    },
  ]
}

/** Creates a declared index and notes it. */
export const createIndex = (view: RelationName, index: DeclaredIndex): string[] => [
  index.sql,
  noteArtifact({ ...ownedBy(view), kind: 'index', name: index.name, digest: digestOf(index.sql) }),
]

/** Creates the declared indexes of a view, or those of a draft of it, and notes them. */
export const createIndexes = (desired: DesiredView, draft?: string): string[] =>
  declaredIndexes(desired, draft).flatMap((index) => createIndex(desired.compiled.name, index))

/** Forgets what a view is shown by, its state and its indexes: all of it is made and noted anew. */
export const forgetPresentation = (view: RelationName): string[] => {
  const { relation, state, signature } = viewObjects(view)
  return [
    `delete from tidemark.artifact
where owner_noun = 'view' and owner_name = ${literal(view)}
  and (kind in ('table', 'matview', 'index', 'key')
       or kind = 'guard' and name in (${literal(targetName(state))}, ${literal(relation)})
       or kind = 'view' and name = ${literal(relation)}
       or kind = 'function' and name <> ${literal(signature)})`,
  ]
}

/** Notes the state table of a view. */
export function noteState({ compiled }: DesiredView): string[] {
  const state = targetName(viewObjects(compiled.name).state)
  const owned = { ...ownedBy(compiled.name), digest: columnsDigest(compiled) }
  return [
    noteArtifact({ ...owned, kind: 'table', name: state }),
    noteArtifact({ ...owned, kind: 'guard', name: state }),
  ]
}

/** Notes the table and the view of a presentation, with the way back of an adopted one. */
export function notePresentation(desired: DesiredView, restore: readonly string[]): string[] {
  const { compiled } = desired
  const { relation } = viewObjects(compiled.name)
  const owned = { ...ownedBy(compiled.name), digest: columnsDigest(compiled) }
  return [...noteState(desired), noteArtifact({ ...owned, kind: 'view', name: relation, restore })]
}

/** A materialized view as PostgreSQL has it, empty. */
export function createMatview(desired: DesiredView, owner: string, role: string): string[] {
  const { compiled } = desired
  const { relation } = viewObjects(compiled.name)
  const target = targetNamed(compiled.name, 'matview')
  return [
    `create materialized view ${relation} as\n${compiled.query.sql}\nwith no data`,
    ...ownership(owner, target, role),
    ...createIndexes(desired),
    noteArtifact({
      ...ownedBy(compiled.name),
      kind: 'matview',
      name: relation,
      digest: columnsDigest(compiled),
    }),
  ]
}

/** Where, in the way back of an adopted view, what stands under its name is dropped. */
export const swapMark = '-- here the name is given up'

/** The way back of an adopted materialized view, to be kept until it is needed. */
export function wayBack(matview: RelationFacts): readonly string[] {
  // Whoever restores may be another role than the one that adopts, so the owner is always said.
  const { build, swap } = restoreMatview(matview, '')
  return [...build, swapMark, ...swap]
}

/** A way back by the query as it is printed now: what it reads may be called otherwise than when the view was adopted. */
export function withQuery(restore: readonly string[], sql: string | undefined): readonly string[] {
  const made = /^(create materialized view .*? as\n).*(\nwith no data)$/s
  if (sql === undefined) return restore
  return restore.map((statement) =>
    statement.replace(made, (_, head: string, tail: string) => `${head}${sql}${tail}`),
  )
}
