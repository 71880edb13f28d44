import { partsOf } from '../model/ids.ts'
import { objectName } from '../model/names.ts'
import { identifier, literal, qualified } from '../postgres/identifier.ts'
import type { Grant, RelationFacts } from './actual.ts'

/** The word of DDL for a relation's kind. */
export const kindWords: Readonly<Record<RelationFacts['kind'], string>> = {
  table: 'table',
  partitioned: 'table',
  view: 'view',
  matview: 'materialized view',
  foreign: 'foreign table',
  other: 'table',
}

/** A place for what is made again: under which name, of which kind. */
export interface Target {
  readonly schema: string
  readonly relation: string
  readonly kind: 'table' | 'view' | 'matview'
}

/** The name of a target as SQL. */
export const targetName = ({ schema, relation }: Target): string => qualified(schema, relation)

/** The place where a relation stands. */
export function targetOf(facts: RelationFacts): Target {
  const { schema, name } = partsOf(facts.name)
  const kind = facts.kind === 'view' || facts.kind === 'matview' ? facts.kind : 'table'
  return { schema, relation: name, kind }
}

const alterOf = (target: Target): string => `alter ${kindWords[target.kind]} ${targetName(target)}`

/**
 * SQL that makes a view or materialized view again as it was: query, options, owner, grants,
 * comments, indexes, statistics. A materialized view that was populated is filled.
 */
export function recreate(facts: RelationFacts, role: string): readonly string[] {
  const target = targetOf(facts)
  const carried = [
    ...statisticsOn(facts, target, role),
    ...commentsOf(facts, target),
    ...grantsOf(facts, target),
  ]
  if (target.kind !== 'view') return [...createMatview(facts, target, role), ...carried]
  return [
    `create view ${targetName(target)}${optionsOf(facts)} as\n${facts.definition ?? ''}`,
    ...facts.columns.flatMap(({ name, fallback }) =>
      fallback === null
        ? []
        : [`${alterOf(target)} alter column ${identifier(name)} set default ${fallback}`],
    ),
    ...ownership(facts.owner, target, role),
    ...carried,
  ]
}

/**
 * SQL that brings an adopted materialized view back under its name, in two parts: `build` fills it
 * under another name, while readers go on; between the two, whatever has the name is dropped; `swap`
 * gives it the name, its comments and its grants.
 */
export function restoreMatview(
  facts: RelationFacts,
  role: string,
): { readonly build: readonly string[]; readonly swap: readonly string[] } {
  const target = targetOf(facts)
  const draft = { ...target, relation: objectName(`draft of ${facts.name}`) }
  return {
    build: createMatview(facts, draft, role),
    swap: [
      `${alterOf(draft)} rename to ${identifier(target.relation)}`,
      ...statisticsOn(facts, target, role),
      ...commentsOf(facts, target),
      ...grantsOf(facts, target),
    ],
  }
}

function createMatview(facts: RelationFacts, target: Target, role: string): readonly string[] {
  const name = targetName(target)
  const method = facts.accessMethod === null ? '' : ` using ${identifier(facts.accessMethod)}`
  const tablespace = facts.tablespace === null ? '' : ` tablespace ${identifier(facts.tablespace)}`
  return [
    `create materialized view ${name}${method}${optionsOf(facts)}${tablespace} as\n${facts.definition ?? ''}\nwith no data`,
    ...ownership(facts.owner, target, role),
    ...columnStorage(facts, target),
    // Filled as its owner, in the restricted manner of REFRESH, and not with the rights of whoever applies.
    ...(facts.populated ? [`refresh materialized view ${name}`] : []),
    ...indexesOn(facts, target),
  ]
}

/** SQL that gives a relation its owner; nothing where the role that applies is the owner. */
export const ownership = (owner: string, target: Target, role: string): readonly string[] =>
  owner === role ? [] : [`${alterOf(target)} owner to ${identifier(owner)}`]

/** Storage, compression and statistics targets of columns. */
export function columnStorage(facts: RelationFacts, target: Target): readonly string[] {
  return facts.columns.flatMap(({ name, storage, compression, statistics }) => {
    const alter = `${alterOf(target)} alter column ${identifier(name)} set`
    return [
      ...(storage === null ? [] : [`${alter} storage ${storage}`]),
      ...(compression === null ? [] : [`${alter} compression ${compression}`]),
      ...(statistics === null ? [] : [`${alter} statistics ${statistics}`]),
    ]
  })
}

/**
 * The indexes of a relation on another one. They keep their names, with the schema before it where
 * relations of several schemas come together in one and it was not public.
 */
export function indexesOn(facts: RelationFacts, target: Target): readonly string[] {
  const { schema } = partsOf(facts.name)
  const together = target.schema !== schema && schema !== 'public'
  return facts.indexes.flatMap((index) => {
    const own = together ? objectName(`${schema}.${index.name}`) : index.name
    const name = qualified(target.schema, own)
    const unique = index.unique ? 'unique ' : ''
    return [
      `create ${unique}index ${identifier(own)} on ${targetName(target)} using ${index.tail}`,
      ...(index.tablespace === null
        ? []
        : [`alter index ${name} set tablespace ${identifier(index.tablespace)}`]),
      ...index.statistics.map(
        (column) =>
          `alter index ${name} alter column ${column.position} set statistics ${column.target}`,
      ),
      ...(index.comment === null ? [] : [`comment on index ${name} is ${literal(index.comment)}`]),
      ...(index.clustered ? [`${alterOf(target)} cluster on ${identifier(own)}`] : []),
    ]
  })
}

/**
 * Extended statistics of a relation, under their names, on another one. Their names are those of a
 * schema of their own, so the relation that has them must be gone.
 */
export function statisticsOn(
  facts: RelationFacts,
  target: Target,
  role: string,
): readonly string[] {
  return facts.statistics.flatMap((statistics) => {
    const { name, head, owner, comment } = statistics
    return [
      `${head} from ${targetName(target)}`,
      ...(owner === role ? [] : [`alter statistics ${name} owner to ${identifier(owner)}`]),
      ...(statistics.target === null
        ? []
        : [`alter statistics ${name} set statistics ${statistics.target}`]),
      ...(comment === null ? [] : [`comment on statistics ${name} is ${literal(comment)}`]),
    ]
  })
}

/** The comments of a relation and its columns, on another one. */
export function commentsOf(facts: RelationFacts, target: Target): readonly string[] {
  const name = targetName(target)
  return [
    ...(facts.comment === null
      ? []
      : [`comment on ${kindWords[target.kind]} ${name} is ${literal(facts.comment)}`]),
    ...facts.columns.flatMap((column) =>
      column.comment === null
        ? []
        : [`comment on column ${name}.${identifier(column.name)} is ${literal(column.comment)}`],
    ),
  ]
}

/**
 * The grants of a relation on another one, and none besides: what default privileges would add is
 * taken away first. `only` leaves out what the new kind of relation has no use for.
 */
export function grantsOf(
  facts: RelationFacts,
  target: Target,
  only?: readonly string[],
): readonly string[] {
  const kept = (grants: readonly Grant[]): readonly Grant[] =>
    grants.filter(({ privilege }) => only === undefined || only.includes(privilege))
  const grants = facts.grants ?? []
  const name = targetName(target)
  const others = grants.filter(({ grantee }) => grantee !== facts.owner)
  return [
    ...facts.defaultGrantees.map((grantee) => `revoke all on ${name} from ${roleName(grantee)}`),
    ...(only === undefined ? ownersGrants(facts, name) : []),
    ...statementsOf(kept(others), name, ''),
    ...facts.columns.flatMap((column) =>
      statementsOf(kept(column.grants), name, ` (${identifier(column.name)})`),
    ),
  ]
}

/** What an owner has by itself; PostgreSQL 17 added MAINTAIN. */
const ownersPrivileges = [
  'INSERT',
  'SELECT',
  'UPDATE',
  'DELETE',
  'TRUNCATE',
  'REFERENCES',
  'TRIGGER',
]

/** An owner who gave some of its own privileges away does not get them back. */
function ownersGrants(facts: RelationFacts, name: string): readonly string[] {
  if (facts.grants === null) return []
  const own = facts.grants.filter(({ grantee }) => grantee === facts.owner)
  const held = new Set(own.map(({ privilege }) => privilege))
  if (ownersPrivileges.every((privilege) => held.has(privilege))) return []
  return [`revoke all on ${name} from ${identifier(facts.owner)}`, ...statementsOf(own, name, '')]
}

/** One statement for each run of grants to one grantee, in the order in which they were made. */
function statementsOf(grants: readonly Grant[], on: string, columns: string): readonly string[] {
  const statements: string[] = []
  let i = 0
  while (i < grants.length) {
    const first = grants[i]
    if (first === undefined) break
    const privileges: string[] = []
    for (; i < grants.length; i++) {
      const grant = grants[i]
      if (grant?.grantee !== first.grantee || grant.grantable !== first.grantable) break
      privileges.push(`${grant.privilege.toLowerCase()}${columns}`)
    }
    const option = first.grantable ? ' with grant option' : ''
    statements.push(
      `grant ${privileges.join(', ')} on ${on} to ${roleName(first.grantee)}${option}`,
    )
  }
  return statements
}

/** A role as SQL; `public` is everyone and not a name. */
export const roleName = (role: string): string => (role === 'public' ? 'public' : identifier(role))

/** The storage options of a relation, as `create` takes them. */
export const optionsOf = ({ options }: RelationFacts): string =>
  options.length === 0
    ? ''
    : ` with (${options
        .map((option) => {
          const sign = option.indexOf('=')
          return `${option.slice(0, sign)} = ${literal(option.slice(sign + 1))}`
        })
        .join(', ')})`
