import { createHash } from 'node:crypto'
import { parseQuery } from './parse.ts'
import { treeText } from './walk.ts'

/**
 * Digest of a query: equal when two texts differ in white space, comments or the case of key words
 * alone. Nothing else is taken for equal, not even `a and b` for `b and a`.
 */
export async function digestOfQuery(sql: string): Promise<string> {
  const { select } = await parseQuery(sql)
  return createHash('sha256').update(treeText(select)).digest('hex')
}
