import { QuoteUtils } from 'pgsql-deparser'
import type { RelationName } from '../../model/ids.ts'
import { partsOf } from '../../model/ids.ts'

/** A name as SQL, quoted where it must be: what is generated here is read by people. */
export function sqlName(name: string): string {
  const known = names.get(name)
  if (known !== undefined) return known
  const sql = QuoteUtils.quoteIdentifier(name)
  if (names.size >= namesMax) names.clear()
  names.set(name, sql)
  return sql
}

/** Whether a name is a key word is looked up in long lists, and a program has few names many times. */
const names = new Map<string, string>()
const namesMax = 10_000

/** A relation as SQL. */
export function sqlRelation(relation: RelationName): string {
  const { schema, name } = partsOf(relation)
  return `${sqlName(schema)}.${sqlName(name)}`
}

/** A text as SQL, whatever `standard_conforming_strings` says. */
export function sqlText(text: string): string {
  const quoted = `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
  return text.includes('\\') ? `E${quoted}` : quoted
}

/** A text between dollar signs, with a tag that does not occur in it. */
export function dollarQuoted(tag: string, text: string): string {
  let free = tag
  while (text.includes(`$${free}$`)) free += '_'
  return `$${free}$${text}$${free}$`
}

/** The name itself, or with underscores so that it is none of those taken. */
export function freeName(wanted: string, taken: readonly string[]): string {
  let free = wanted
  while (taken.includes(free)) free += '_'
  return free
}
