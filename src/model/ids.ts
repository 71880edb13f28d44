import type { Brand } from '../base/brand.ts'

/** A schema-qualified relation name as people write it, unquoted: `public.orders`. */
export type RelationName = Brand<string, 'RelationName'>

/** The name of a refresh group; a view that shares none has a group of its own name. */
export type GroupName = Brand<string, 'GroupName'>

/**
 * Mints a {@link RelationName} from its two parts.
 * Guarantees nothing about existence; parts are kept as written (case is significant).
 */
export const relationName = (schema: string, name: string): RelationName =>
  `${schema}.${name}` as RelationName

/** The {@link RelationName} of what people write; schema public is meant when none is written. */
export function relationOf(text: string): RelationName {
  const dot = text.indexOf('.')
  return dot < 0
    ? relationName('public', text)
    : relationName(text.slice(0, dot), text.slice(dot + 1))
}

/**
 * Splits a {@link RelationName} at its first dot.
 * A schema whose name contains a dot is refused earlier, by the configuration.
 */
export function partsOf(relation: RelationName): {
  readonly schema: string
  readonly name: string
} {
  const dot = relation.indexOf('.')
  return { schema: relation.slice(0, dot), name: relation.slice(dot + 1) }
}

/** Mints a {@link GroupName}. */
export const groupName = (text: string): GroupName => text as GroupName
