/*
 * The server prints a comparison of rows with the operator of their first columns, as if it were that of all:
 * ROW(c, 1) OPERATOR(public.<) ROW('a', 4), ROW(1, c) < ROW(4, 'a'), (c, 1) OPERATOR(public.=) ANY (SELECT …). Where others are
 * compared by another one it does not read that back, or reads something else. Texts are taken apart as the server prints
 * them: every operation in parentheses, no comments.
 */

/** What stands between the columns on the left and what they are compared with. */
const comparison =
  /\) (?:OPERATOR\((\w+)\.([<>=]+)\) |(<=|>=|<>|[<>=]) |(?=IN))(ROW\(|ANY \(|ALL \(|IN \(|\()/g

/** More of them, one within another, are left alone. */
const comparisonsMax = 50

/** Whether a query compares rows in a way that is printed with the operator of their first columns. */
export const comparesRows = (sql: string): boolean => lastComparison(sql) !== null

/**
 * A query with such comparisons written out column by column, as PostgreSQL defines them: (a, b) < (x, y) is a < x, or
 * a = x and b < y, NULL where the first two that are not equal are. Operators without a schema are to be found by the types of
 * their operands. Null where one cannot be written out; `aggregates` are the names of those that the query calls.
 */
export function rowsByColumn(sql: string, aggregates: readonly string[]): string | null {
  let text = sql
  for (let turn = 0; turn < comparisonsMax; turn += 1) {
    const found = lastComparison(text)
    if (found === null) return text
    const written = writtenOut(found, aggregates)
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
  /** The schema of the operator of the first, as SQL; '' where it is pg_catalog. */
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
    const left = partsOf(sql, masked, { from: opening + 1, to: match.index })
    const [whole, schema = '', named, plain = '=', follows = ''] = match
    const isRow = follows === 'ROW('
    const sign = named ?? plain
    // What stands in parentheses otherwise is one value, the arguments of a function, or a window.
    if (left.length < 2 || !before.endsWith(isRow ? '(ROW' : '(')) continue
    // Of values of type record; rows that are compared so are printed column by column.
    if (isRow && !/^[<>]=?$/.test(sign)) continue
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
            quantifier: follows.replace(/ ?\($/, '').replace('IN', 'ANY'),
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

function writtenOut(
  { left, schema, sign, right }: RowComparison,
  aggregates: readonly string[],
): string | null {
  if (right.kind === 'row') return comparedByColumn({ left, right: right.columns, schema, sign })
  // It would be one of the query within.
  if (left.some((part) => mayAggregate(part, aggregates))) return null
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

/** Whether an expression calls an aggregate or a window function, or a function whose name is quoted. */
function mayAggregate(part: string, aggregates: readonly string[]): boolean {
  const masked = withoutQuoted(part)
  const called = [...masked.matchAll(/(\w+)\(/g)].map(([, name = '']) => name)
  return (
    masked.includes(' OVER ') ||
    called.some((name) => /^q+$/.test(name) || aggregates.includes(name))
  )
}

interface Rows {
  readonly left: readonly string[]
  readonly right: readonly string[]
  readonly schema: string
  readonly sign: string
}

function comparedByColumn({ left, right, schema, sign }: Rows): string {
  const by = (operator: string, at: number): string => {
    const name = at === 0 && schema !== '' ? `operator(${schema}.${operator})` : operator
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
