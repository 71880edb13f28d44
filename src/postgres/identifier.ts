import type { RelationName } from '../model/ids.ts'
import { partsOf } from '../model/ids.ts'

/** A name as SQL, always quoted: correct for any text, key words and quotes included. */
export const identifier = (text: string): string => `"${text.replaceAll('"', '""')}"`

/** A name in a schema as SQL. */
export const qualified = (schema: string, name: string): string =>
  `${identifier(schema)}.${identifier(name)}`

/** A relation's name as SQL. */
export function qualifiedName(relation: RelationName): string {
  const { schema, name } = partsOf(relation)
  return qualified(schema, name)
}

/**
 * A text as SQL, for statements that take no parameters (DDL, function bodies, plans).
 * Correct whatever `standard_conforming_strings` says: backslashes bring the escape form.
 */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
  return text.includes('\\') ? `E${quoted}` : quoted
}
