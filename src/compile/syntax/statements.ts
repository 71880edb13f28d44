import type { Node } from 'libpg-query'
import { parse, scan } from 'libpg-query'
import { placeOfByte, sqlInvalid } from './parse.ts'

/** A query in a file: a SELECT, or what a view is made of. */
export interface FileQuery {
  readonly kind: 'select' | 'view' | 'materialized view'
  /** Of a view: as it is written, the schema if there is one. */
  readonly name: { readonly schema: string | null; readonly name: string } | null
  /** Columns that a view gives other names. */
  readonly columns: readonly string[]
  /** The query alone. */
  readonly sql: string
  /** Where the statement begins in the file, `line:column`. */
  readonly place: string
  /** Where the query begins in the file, in bytes. */
  readonly byte: number
}

/** The queries of a file, and how many of its statements are none. */
export interface FileQueries {
  readonly queries: readonly FileQuery[]
  readonly others: number
}

/** Reads a file of SQL. Throws `TIDEMARK_SQL_INVALID` with line and column. */
export async function queriesIn(text: string): Promise<FileQueries> {
  if (text.trim() === '') return { queries: [], others: 0 }
  const bytes = Buffer.from(text)
  const { stmts = [] } = await parse(text).catch((error: unknown) => {
    throw sqlInvalid(error, text)
  })
  const { tokens } = await scan(text)
  const queries = stmts.flatMap(({ stmt, stmt_location = 0, stmt_len }) => {
    const end = stmt_len === undefined ? bytes.length : stmt_location + stmt_len
    const words = tokens
      .filter(
        ({ start, tokenName }) => start >= stmt_location && start < end && !isComment(tokenName),
      )
      .map(({ start, end: wordEnd }) => ({
        start,
        end: wordEnd,
        text: bytes.subarray(start, wordEnd).toString(),
      }))
    const found = stmt === undefined ? null : queryOf(stmt, words)
    if (found === null) return []
    const { from, to, ...rest } = found
    const sql = bytes.subarray(from, to).toString().trimEnd()
    const first = words[0]?.start ?? stmt_location
    return [{ ...rest, sql, byte: from, place: placeOfByte(text, first) }]
  })
  return { queries, others: stmts.length - queries.length }
}

const isComment = (name: string): boolean => /COMMENT$/.test(name)

interface Word {
  readonly start: number
  readonly end: number
  readonly text: string
}

type Found = Pick<FileQuery, 'kind' | 'name' | 'columns'> & {
  readonly from: number
  readonly to: number
}

function queryOf(stmt: Node, words: readonly Word[]): Found | null {
  const last = words.findLast(({ text }) => text !== ';')
  const to = last?.end ?? 0
  if ('SelectStmt' in stmt) {
    return { kind: 'select', name: null, columns: [], from: words[0]?.start ?? 0, to }
  }
  if ('ViewStmt' in stmt) {
    const { view, aliases } = stmt.ViewStmt
    return {
      kind: 'view',
      ...named(view, aliases),
      ...bodyOf(words, /^(cascaded|local|check|option)$/i),
    }
  }
  if ('CreateTableAsStmt' in stmt && stmt.CreateTableAsStmt.objtype === 'OBJECT_MATVIEW') {
    const { into } = stmt.CreateTableAsStmt
    const body = bodyOf(words, /^(no|data)$/i)
    return { kind: 'materialized view', ...named(into?.rel, into?.colNames), ...body }
  }
  return null
}

function named(
  relation: { readonly schemaname?: string; readonly relname?: string } | undefined,
  columns: readonly Node[] | undefined,
): Pick<FileQuery, 'name' | 'columns'> {
  return {
    name: { schema: relation?.schemaname ?? null, name: relation?.relname ?? '' },
    columns: (columns ?? []).map((node) => ('String' in node ? (node.String.sval ?? '') : '')),
  }
}

/** What stands between AS and the clause that may follow the query: WITH, and words of `tail`. */
function bodyOf(words: readonly Word[], tail: RegExp): Pick<Found, 'from' | 'to'> {
  let depth = 0
  const as = words.findIndex(({ text }) => {
    depth += text === '(' ? 1 : text === ')' ? -1 : 0
    return depth === 0 && text.toLowerCase() === 'as'
  })
  const body = words.slice(as + 1).filter(({ text }) => text !== ';')
  const before = body.findLastIndex(({ text }) => !tail.test(text))
  const follows = before < body.length - 1 && body[before]?.text.toLowerCase() === 'with'
  const last = body.at(follows ? before - 1 : -1)
  return { from: body[0]?.start ?? 0, to: last?.end ?? 0 }
}
