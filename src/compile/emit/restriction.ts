import type { ColumnType } from '../../model/view.ts'
import { isPlain } from '../algebra/determine.ts'
import type { Expression } from '../algebra/expression.ts'
import type { Relation } from '../algebra/relation.ts'
import { spreadParts } from '../algebra/spread-key.ts'

/** Where keys are to be looked up: items of FROM with columns `key 1` … and `hash`, and those with a NULL in them. */
export interface Restriction {
  readonly keys: string
  readonly keysWithNull: string
  /** SQL that is true when there are keys with a NULL. */
  readonly gate: string
  /** By its place in the key, the variable with the values that a part of it has in the keys; null: one of too many. */
  readonly values: (at: number) => string
}

/**
 * Parts of a key over several tables by which rows of one of these are found first: where values are equal that look alike, and
 * their type is one of PostgreSQL's own.
 */
export const foundFirst = (
  { input, key }: { readonly input: Relation; readonly key: readonly Expression[] },
  typeOf: (expression: Expression) => ColumnType,
): readonly number[] =>
  spreadParts(input, key).filter((at) => {
    const part = key[at]
    return part !== undefined && isFoundByValue(typeOf(part))
  })

const isFoundByValue = (type: ColumnType): boolean =>
  type.imageEqual && type.equality === 'pg_catalog.=' && isPlain(type) && !type.type.endsWith('[]')

/** A key, as SQL over rows: its parts, each with the condition that it is that of the key `k`. */
interface WholeKey {
  readonly parts: readonly { readonly sql: string; readonly same: string }[]
  /** The parts that are found first. */
  readonly first: readonly number[]
  /** That the hash of all parts is that of the key `k`. */
  readonly hash: string
}

/**
 * The conditions on rows of a key over several tables. First each table is cut down to the values that its parts have in any of
 * the keys, of which PostgreSQL knows how many rows they are; what is left is compared with the keys by a hash of all their
 * parts. Part after part, by `=`, it would look up each key by the first one, and compare all that it finds with the rest.
 */
export function wholeKey(
  { parts, first, hash }: WholeKey,
  values: (at: number) => string,
): readonly string[] {
  const cut = first.map(
    (at) => `(${values(at)} is null or ${parts[at]?.sql ?? ''} = any (${values(at)}))`,
  )
  return [...cut, hash, `(${parts.map(({ same }) => same).join(' and ')}) is true`]
}

/** Whether two values are in one group: by the equality of their type, wherever it lives, NULL being equal to NULL. */
export function sameValue(
  one: string,
  other: string,
  { equality }: Pick<ColumnType, 'equality'>,
): string {
  if (equality === null || equality === 'pg_catalog.=')
    return `${one} is not distinct from ${other}`
  return `(${one} operator(${equality}) ${other} or (${one} is null and ${other} is null))`
}
