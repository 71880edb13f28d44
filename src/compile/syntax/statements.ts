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

/** A statement of a file that does not parse. */
export interface FileFault {
  /** With its place in the statement. */
  readonly error: unknown
  /** Where the statement begins in the file, `line:column`. */
  readonly place: string
  /** The same in bytes. */
  readonly byte: number
}

/** The queries of a file, its statements that do not parse, and how many others it has. */
export interface FileQueries {
  readonly queries: readonly FileQuery[]
  readonly faults: readonly FileFault[]
  readonly others: number
}

/** Reads a file of SQL as psql does, whose own commands are passed over, and so are the rows of COPY. A statement that does not parse spoils no other. */
export async function queriesIn(text: string): Promise<FileQueries> {
  const { bytes, ends } = statementBounds(text)
  const all: FileQueries[] = []
  for (let [at, from] = [0, 0]; at < ends.length;) {
    const { upTo, found } = await readFrom({ text, bytes, from }, ends.slice(at))
    all.push(found)
    at += upTo
    from = ends[at - 1] ?? bytes.length
  }
  return {
    queries: all.flatMap(({ queries }) => queries),
    faults: all.flatMap(({ faults }) => faults),
    others: all.reduce((sum, { others }) => sum + others, 0),
  }
}

interface Piece {
  readonly text: string
  /** The text without commands of psql. */
  readonly bytes: Buffer
  readonly from: number
}

/** Of one statement: beyond them it is taken for one that does not parse. */
const semicolonsMax = 50

/** Statements in a row that are read at once, mostly one; more for what holds semicolons of its own. */
async function readFrom(
  piece: Piece,
  ends: readonly number[],
): Promise<{ readonly upTo: number; readonly found: FileQueries }> {
  const [first = piece.bytes.length] = ends
  const alone = await readPiece(piece, first)
  const one = piece.bytes.subarray(piece.from, first).toString()
  if (alone.faults.length > 0 && /\bbegin\s+atomic\b|\brule\b/i.test(one)) {
    for (const [at, end] of ends.slice(0, semicolonsMax).entries()) {
      const found = await readPiece(piece, end)
      if (found.faults.length === 0) return { upTo: at + 1, found }
    }
  }
  return { upTo: 1, found: alone }
}

async function readPiece({ text, bytes, from }: Piece, end: number): Promise<FileQueries> {
  const piece = bytes.subarray(from, end)
  const sql = piece.toString()
  const nothing = { queries: [], faults: [], others: 0 }
  if (sql.trim() === '') return nothing
  try {
    const { stmts = [] } = await parse(sql)
    if (stmts.length === 0) return nothing
    const words = (await scan(sql)).tokens
      .filter(({ tokenName }) => !isComment(tokenName))
      .map((word) => ({ ...word, text: piece.subarray(word.start, word.end).toString() }))
    const [stmt] = stmts.flatMap((each) => each.stmt ?? [])
    const found = stmt === undefined ? null : queryOf(stmt, words)
    if (found === null) return { ...nothing, others: 1 }
    const { from: begin, to, ...rest } = found
    const place = placeOfByte(text, from + (words[0]?.start ?? 0))
    const query = { ...rest, sql: piece.subarray(begin, to).toString().trimEnd() }
    return { ...nothing, queries: [{ ...query, byte: from + begin, place }] }
  } catch (error) {
    const place = placeOfByte(text, from + (piece.length - Buffer.byteLength(sql.trimStart())))
    return { ...nothing, faults: [{ error: sqlInvalid(error, sql), place, byte: from }] }
  }
}

/** Strings, names, words, comments and what begins one of the others: what else a text has is passed over. */
const lexeme =
  /--[^\n]*|\/\*|[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'?|'[^']*'?|"[^"]*"?|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$|\\[^\n]*|[\w$\x80-\xff]+|;/gs

/** The text with white space for commands of psql and for data, and where statements end, in bytes. */
function statementBounds(text: string): {
  readonly bytes: Buffer
  readonly ends: readonly number[]
} {
  const bytes = Buffer.from(text)
  // A character a byte: those that count are bytes of their own in UTF-8.
  const characters = bytes.toString('latin1')
  const ends: number[] = []
  const words = new RegExp(lexeme)
  for (let found = words.exec(characters); found !== null; found = words.exec(characters)) {
    const { 0: word, index } = found
    if (word === '/*') words.lastIndex = endOfComment(characters, index)
    else if (word.startsWith('$') && word.endsWith('$')) {
      const close = characters.indexOf(word, words.lastIndex)
      words.lastIndex = close < 0 ? characters.length : close + word.length
    } else if (word.startsWith('\\')) {
      bytes.fill(' ', index, words.lastIndex)
      // These send what was written before them.
      if (/^\\(?:g|gx|gset|gexec|gdesc|crosstabview|watch)\b/.test(word)) {
        bytes.write(';', index)
        ends.push(index + 1)
      }
    } else if (word === ';') {
      const begin = ends.at(-1) ?? 0
      ends.push(words.lastIndex)
      if (!readsData(bytes.toString('latin1', begin, index))) continue
      const { from, to } = dataAfter(characters, words.lastIndex)
      bytes.fill(' ', from, to)
      words.lastIndex = to
    }
  }
  return { bytes, ends: [...ends, bytes.length] }
}

/** Whether a statement is one that psql sends the lines after it with, as those of pg_dump are. */
const readsData = (statement: string): boolean =>
  /^\s*copy\s.*\sfrom\s+stdin\b/is.test(statement.replaceAll(/--[^\n]*/g, ''))

/** The lines after the one that a place is in, up to one of `\.` alone. */
function dataAfter(
  characters: string,
  place: number,
): { readonly from: number; readonly to: number } {
  const lineEnd = characters.indexOf('\n', place)
  const from = lineEnd < 0 ? characters.length : lineEnd + 1
  const last = /^\\\.\r?$/gm
  last.lastIndex = from
  return { from, to: last.exec(characters) === null ? characters.length : last.lastIndex }
}

/** Comments stand within one another. */
function endOfComment(characters: string, begin: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = begin
  let depth = 0
  for (let mark = marks.exec(characters); mark !== null; mark = marks.exec(characters)) {
    depth += mark[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return characters.length
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
