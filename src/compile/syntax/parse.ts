import type { A_Expr, Node, SelectStmt } from 'libpg-query'
import { hasSqlDetails, parse } from 'libpg-query'
import { lineAndColumn } from '../../base/text-place.ts'
import { TidemarkError } from '../../model/errors.ts'
import { isFields, nodesOf } from './walk.ts'

/** One SELECT, as PostgreSQL's own parser reads it. */
export interface ParsedQuery {
  /** The text as it was given; places point into it. */
  readonly sql: string
  readonly select: SelectStmt
}

/**
 * Parses the SQL of a view.
 *
 * Guarantees: what comes back is exactly one SELECT (or VALUES, or TABLE) that writes nothing and locks
 * no rows. Does not guarantee that its names exist; the server says so later.
 * Throws `TIDEMARK_SQL_INVALID` with line and column, or `TIDEMARK_SQL_NOT_A_QUERY`.
 */
export async function parseQuery(sql: string): Promise<ParsedQuery> {
  const statements = await statementsOf(sql)
  const [first, second] = statements
  if (first === undefined) throw notAQuery('There is no statement in it')
  if (second !== undefined) {
    throw notAQuery(`It has ${String(statements.length)} statements`, placeOfByte(sql, second.byte))
  }
  const { node } = first
  if (node === undefined || !('SelectStmt' in node)) {
    throw notAQuery(`It is ${statementWords(node)}`)
  }
  const select = node.SelectStmt
  const refusal = refusalOf(select)
  if (refusal !== undefined) throw notAQuery(refusal)
  return { sql, select }
}

/**
 * Parses one SELECT, which may have parameters, as {@link parseQuery} does; a semicolon and what PostgreSQL prints around the
 * body of a function do not count.
 */
export async function parseSelect(sql: string): Promise<SelectStmt> {
  const statements = await statementsOf(sql)
  const [first, second] = statements
  if (first?.node === undefined || second !== undefined || !('SelectStmt' in first.node)) {
    throw notAQuery(
      second === undefined
        ? `It is ${statementWords(first?.node)}`
        : `It has ${String(statements.length)} statements`,
    )
  }
  const select = first.node.SelectStmt
  const refusal = refusalOf(select, true)
  if (refusal !== undefined) throw notAQuery(refusal)
  return select
}

const clockWords = /^(now|today|tomorrow|yesterday)$/i

/**
 * The text of one SELECT, without what stands around it.
 *
 * @throws TidemarkError TIDEMARK_SQL_NOT_A_QUERY; TIDEMARK_CACHE_QUERY_REFUSED for one that writes `'today'` or its like,
 * which PostgreSQL reads as a time when it reads the text.
 */
export async function selectText(sql: string): Promise<string> {
  const select = await parseSelect(sql)
  for (const { kind, node } of nodesOf(select)) {
    const value = kind === 'A_Const' && isFields(node['sval']) ? node['sval']['sval'] : undefined
    if (typeof value !== 'string' || !clockWords.test(value.trim())) continue
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_QUERY_REFUSED',
      what: `'${value}' is another time whenever the query is read, and no commit tells of it`,
      mend: 'Write it as a parameter, or as current_date or now() with a ttl.',
    })
  }
  return sql.trim().replace(/;\s*$/, '')
}

/** An expression with the text that it stands in; its places point into `select ` and the text. */
export interface ParsedExpression {
  readonly text: string
  readonly node: Node
}

const expressionPrefix = 'select '

/**
 * Parses one expression. Undefined when the text is a query with more to it than one expression.
 * Throws `TIDEMARK_SQL_INVALID` when it does not parse.
 */
export async function parseExpression(text: string): Promise<ParsedExpression | undefined> {
  const [first, second] = await statementsOf(`${expressionPrefix}${text}`, expressionPrefix.length)
  if (first?.node === undefined || second !== undefined || !('SelectStmt' in first.node)) {
    return undefined
  }
  const { targetList, limitOption, op, ...clauses } = first.node.SelectStmt
  const [target, another] = targetList ?? []
  const plain = Object.keys(clauses).length === 0 && another === undefined
  if (!plain || limitOption !== 'LIMIT_OPTION_DEFAULT' || op !== 'SETOP_NONE') return undefined
  if (target === undefined || !('ResTarget' in target)) return undefined
  const { val, name } = target.ResTarget
  return val === undefined || name !== undefined ? undefined : { text, node: val }
}

/** The place of a node of an expression in its text, `line:column`. */
export function placeInExpression(text: string, node: Node | A_Expr): string {
  return placeOfByte(text, firstByte(node) - expressionPrefix.length)
}

/** The place of a byte in a text, `line:column`: syntax trees count bytes. */
export function placeOfByte(text: string, byte: number): string {
  const before = Buffer.from(text).subarray(0, Math.max(byte, 0)).toString()
  return lineAndColumn(text, Array.from(before).length)
}

interface Statement {
  readonly node: Node | undefined
  /** Where it begins in the text. */
  readonly byte: number
}

/** `skipped` characters at the beginning are not the user's and do not count in places. */
async function statementsOf(sql: string, skipped = 0): Promise<readonly Statement[]> {
  // The parser refuses a text of white space with words of its own; here it is a text of no statements.
  if (sql.trim() === '') return []
  try {
    const { stmts } = await parse(sql)
    return (stmts ?? []).map(({ stmt, stmt_location }) => ({
      node: stmt,
      byte: stmt_location ?? 0,
    }))
  } catch (error) {
    throw sqlInvalid(error, sql, skipped)
  }
}

/** The fault of a text that does not parse, with its place; anything else comes back as it was. */
export function sqlInvalid(error: unknown, sql: string, skipped = 0): unknown {
  if (!hasSqlDetails(error) || error.sqlDetails === undefined) return error
  const { message, cursorPosition } = error.sqlDetails
  return new TidemarkError({
    code: 'TIDEMARK_SQL_INVALID',
    what: `PostgreSQL does not accept this SQL: ${message}`,
    mend: 'Correct the SQL there.',
    place: lineAndColumn(
      Array.from(sql).slice(skipped).join(''),
      Math.max(cursorPosition - skipped, 0),
    ),
    cause: error,
  })
}

function refusalOf(select: SelectStmt, withParameters = false): string | undefined {
  if (select.intoClause !== undefined) return 'It writes a table (SELECT INTO)'
  for (const { kind, node } of nodesOf(select)) {
    if (/^(Insert|Update|Delete|Merge)Stmt$/.test(kind)) return 'It writes rows (in WITH)'
    if (kind === 'LockingClause') return 'It locks rows (FOR UPDATE or FOR SHARE)'
    if (kind === 'ParamRef' && !withParameters) {
      return `It has a parameter, $${typeof node['number'] === 'number' ? String(node['number']) : ''}`
    }
  }
  return undefined
}

/** `InsertStmt` as `an INSERT`. */
function statementWords(node: Node | undefined): string {
  const kind = Object.keys(node ?? {})[0] ?? ''
  const words = kind.replace(/Stmt$/, '').replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
  return `${/^[AEIOU]/.test(words) ? 'an' : 'a'} ${words.toUpperCase()} statement`
}

function notAQuery(what: string, place?: string): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_SQL_NOT_A_QUERY',
    what: `The SQL must be one SELECT. ${what}`,
    mend: 'Write the SELECT alone, as you would after CREATE VIEW … AS.',
    ...(place === undefined ? {} : { place }),
  })
}

/** The leftmost place below a node: an operator's own place is that of its sign. */
export function firstByte(node: unknown): number {
  let first = Number.POSITIVE_INFINITY
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    else if (isFields(value)) {
      const { location } = value
      if (typeof location === 'number' && location >= 0) first = Math.min(first, location)
      Object.values(value).forEach(look)
    }
  }
  look(node)
  return Number.isFinite(first) ? first : 0
}
