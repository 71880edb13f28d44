/*
 * The server prints a comparison of rows with the operator of their first columns, as if it were that of all:
 * ROW(c, 1) OPERATOR(public.<) ROW('a', 4), (c, 1) OPERATOR(public.=) ANY (SELECT …). Where others are compared by another
 * one it does not read that back. Texts are taken apart as the server prints them: every operation in parentheses, no comments.
 */

/** Comparisons of rows by an operator that the server prints with its schema. */
const comparison = /\) OPERATOR\((\w+)\.([<>=]+)\) (ROW\(|ANY \(|ALL \(|\()/g

/** More of them, one within another, are left alone. */
const comparisonsMax = 50

/** Whether a query compares rows by an operator that the server prints for all of their columns. */
export const comparesRows = (sql: string): boolean => lastComparison(sql) !== null

/**
 * A query with such comparisons written out column by column, as PostgreSQL defines them: (a, b) < (x, y) is a < x, or
 * a = x and b < y, NULL where the first two that are not equal are. Operators of columns other than the first have no
 * schema and are to be found by the types of their operands. Null where one cannot be written out.
 */
export function rowsByColumn(sql: string): string | null {
  let text = sql
  for (let turn = 0; turn < comparisonsMax; turn += 1) {
    const found = lastComparison(text)
    if (found === null) return text
    const written = writtenOut(found)
    if (written === null) return null
    text = `${text.slice(0, found.begin)}${written}${text.slice(found.end)}`
  }
  return null
}

interface RowComparison {
  readonly begin: number
  readonly end: number
  /** The columns on the left. */
  readonly left: readonly string[]
  /** The schema of the operator of the first, as SQL. */
  readonly schema: string
  readonly sign: string
  readonly right:
    | { readonly kind: 'row'; readonly columns: readonly string[] }
    | { readonly kind: 'query'; readonly quantifier: string; readonly query: string }
}

/** The last one: what stands within another comes after where that begins. */
function lastComparison(sql: string): RowComparison | null {
  const masked = withoutQuoted(sql)
  for (const match of [...masked.matchAll(comparison)].reverse()) {
    const opening = partnerOf(masked, match.index)
    const before = masked.slice(0, opening)
    const isRow = before.endsWith('ROW')
    const left = partsOf(sql, masked, { from: opening + 1, to: match.index })
    const [whole, schema = '', sign = '', follows = ''] = match
    // What stands in parentheses otherwise is one value, or the arguments of a function.
    if (isRow !== (follows === 'ROW(') || left.length < 2 || (!isRow && /\w$/.test(before)))
      continue
    const inner = match.index + whole.length
    const closing = partnerOf(masked, inner - 1)
    const at = match.index + ') OPERATOR('.length
    return {
      begin: isRow ? opening - 'ROW'.length : opening,
      end: closing + 1,
      left,
      schema: sql.slice(at, at + schema.length),
      sign,
      right: isRow
        ? { kind: 'row', columns: partsOf(sql, masked, { from: inner, to: closing }) }
        : {
            kind: 'query',
            quantifier: follows.replace(/ ?\($/, ''),
            query: sql.slice(inner, closing),
          },
    }
  }
  return null
}

/** What is quoted as so many word characters: parentheses and commas within it do not count. */
const withoutQuoted = (sql: string): string =>
  sql.replaceAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"/g, (quoted) => 'q'.repeat(quoted.length))

/** Where the parenthesis is that belongs to the one at a place. */
function partnerOf(masked: string, place: number): number {
  const step = masked.charAt(place) === '(' ? 1 : -1
  let depth = 0
  for (let at = place; at >= 0 && at < masked.length; at += step) {
    const sign = masked.charAt(at)
    depth += sign === '(' ? step : sign === ')' ? -step : 0
    if (depth === 0) return at
  }
  return masked.length
}

/** The parts of a list, parted by commas that stand in no parentheses of their own. */
function partsOf(
  sql: string,
  masked: string,
  { from, to }: { readonly from: number; readonly to: number },
): readonly string[] {
  const parts: string[] = []
  let begin = from
  let depth = 0
  for (let at = from; at < to; at += 1) {
    const sign = masked.charAt(at)
    if (/[([]/.test(sign)) depth += 1
    else if (/[)\]]/.test(sign)) depth -= 1
    else if (sign === ',' && depth === 0) {
      parts.push(sql.slice(begin, at).trim())
      begin = at + 1
    }
  }
  return [...parts, sql.slice(begin, to).trim()]
}

function writtenOut({ left, schema, sign, right }: RowComparison): string | null {
  if (right.kind === 'row') return comparedByColumn({ left, right: right.columns, schema, sign })
  // An aggregate or a window function would be one of the query within.
  if (left.some((part) => /\w\(/.test(withoutQuoted(part)))) return null
  const columns = left.map((_, at) => `c${String(at + 1)}`)
  const row = '"compared row"'
  const compared = comparedByColumn({
    left,
    right: columns.map((name) => `${row}.${name}`),
    schema,
    sign,
  })
  const query = `(select ${compared} from (${right.query}) as ${row} (${columns.join(', ')}))`
  return right.quantifier === '' ? query : `true = ${right.quantifier} ${query}`
}

interface Rows {
  readonly left: readonly string[]
  readonly right: readonly string[]
  readonly schema: string
  readonly sign: string
}

function comparedByColumn({ left, right, schema, sign }: Rows): string {
  const by = (operator: string, at: number): string => {
    const name = at === 0 ? `operator(${schema}.${operator})` : operator
    return `((${left[at] ?? ''}) ${name} (${right[at] ?? ''}))`
  }
  const places = left.map((_, at) => at)
  if (sign === '=') return `(${places.map((at) => by(sign, at)).join(' and ')})`
  if (sign === '<>') return `(${places.map((at) => by(sign, at)).join(' or ')})`
  const [last = 0, ...others] = [...places].reverse()
  return others.reduce(
    (rest, at) => `(${by(sign.charAt(0), at)} or (${by('=', at)} and ${rest}))`,
    by(sign, last),
  )
}
