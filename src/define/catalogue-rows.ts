import { identifier, literal } from '../postgres/identifier.ts'
import { canonicalJson } from './actual.ts'
import type { Artifact, CatalogueRow } from './actual.ts'

/** A value of type jsonb. */
export interface JsonValue {
  readonly json: unknown
}

/** A value of the catalogue, as a plan carries it. */
export type Value = string | number | boolean | null | readonly string[] | JsonValue

/** A row of the catalogue as wanted: column to value. */
export type Row = Readonly<Record<string, Value>>

// A plan is text and takes no parameters.
function valueSql(value: Value): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return literal(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (isArray(value)) return textArray(value)
  return `${literal(canonicalJson(value.json))}::jsonb`
}

/** An array of text as SQL. */
export const textArray = (texts: readonly string[]): string =>
  texts.length === 0 ? `'{}'::text[]` : `array[${texts.map(literal).join(', ')}]::text[]`

const isArray = (value: readonly string[] | JsonValue): value is readonly string[] =>
  Array.isArray(value)

/** Writes a row whether it is there or not; columns that are not named keep what they have. */
export function upsert(table: string, row: Row, key: readonly string[]): string {
  const columns = Object.keys(row)
  const rest = columns.filter((column) => !key.includes(column))
  const action =
    rest.length === 0
      ? 'do nothing'
      : `do update set\n  ${rest.map((column) => `${identifier(column)} = excluded.${identifier(column)}`).join(',\n  ')}`
  return `insert into tidemark.${table} (${columns.map(identifier).join(', ')})
values (${Object.values(row).map(valueSql).join(', ')})
on conflict (${key.map(identifier).join(', ')}) ${action}`
}

/** The columns in which a row differs from what is wanted; every column when there is no row. */
export function differing(wanted: Row, row: CatalogueRow | undefined): readonly string[] {
  return Object.keys(wanted).filter((column) => {
    const value = wanted[column] ?? null
    const plain = isJson(value) ? value.json : value
    return row === undefined || canonicalJson(plain) !== canonicalJson(row[column] ?? null)
  })
}

const isJson = (value: Value): value is JsonValue =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

/** Notes an object that apply makes. */
export const noteArtifact = (artifact: Omit<Artifact, 'exists'>): string =>
  upsert(
    'artifact',
    {
      kind: artifact.kind,
      name: artifact.name,
      owner_noun: artifact.ownerNoun,
      owner_name: artifact.ownerName,
      restore: { json: artifact.restore },
      digest: artifact.digest,
    },
    ['kind', 'name'],
  )

/** Forgets an object that is no more. */
export const forgetArtifact = (kind: Artifact['kind'], name: string): string =>
  `delete from tidemark.artifact where kind = ${literal(kind)} and name = ${literal(name)}`
