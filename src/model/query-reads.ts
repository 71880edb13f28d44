import type { RelationName } from './ids.ts'

/**
 * What a column is compared with in a query: a constant, as PostgreSQL prints it; a parameter, by its number from 1; each
 * element of one.
 */
export type Operand =
  | { readonly kind: 'constant'; readonly text: string | null; readonly family: string | null }
  | { readonly kind: 'parameter' | 'elements'; readonly number: number }

/** Rows of a source that the result of a query is computed from: those where each column has one of its operands. */
export interface SourceRead {
  readonly source: RelationName
  /** None: all rows. */
  readonly equals: ReadonlyMap<string, readonly Operand[]>
}

/** A column of a relation that a query reads. */
export interface ReadColumn {
  readonly name: string
  /**
   * Types that can be compared have one family where values that are equal are printed alike: `integer`, `text`, `uuid`,
   * `boolean`, `date`, `enum <name>`; null for any other, and for text whose collation takes different texts for equal.
   */
  readonly family: string | null
}

/** A table or view that a query reads. */
export interface ReadRelation {
  readonly name: RelationName
  /** What its changes are told as: a partition's as those of its table. */
  readonly source: RelationName
  readonly columns: readonly ReadColumn[]
  /** The query of an ordinary view, all names written out; null for what changes are told of. */
  readonly definition: string | null
}

/** A parameter of a query: the family of its type, and that of its elements if it is an array. */
export interface QueryParameter {
  readonly family: string | null
  readonly elementFamily: string | null
}

/** A query as the server understands it: all names written out, all types known. */
export interface UnderstoodQuery {
  readonly sql: string
  readonly parameters: readonly QueryParameter[]
  readonly relations: ReadonlyMap<RelationName, ReadRelation>
}
