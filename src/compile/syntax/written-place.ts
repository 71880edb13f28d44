import type { SelectStmt } from 'libpg-query'
import type { RelationName } from '../../model/ids.ts'
import type { ParsedQuery } from './parse.ts'
import { firstByte, placeOfByte } from './parse.ts'
import { isFields } from './walk.ts'

/** What a reason is about: a place in the query as the server printed it, or something called by name. */
export type Spot =
  | {
      readonly kind: 'place'
      /** The SELECT in which it is. */
      readonly select: SelectStmt
      /** Null: the SELECT altogether. */
      readonly byte: number | null
    }
  | { readonly kind: 'function' | 'relation' | 'column'; readonly name: string }

/** A place in a text that a person can look at. */
export interface WrittenPlace {
  /** `line:column`. */
  readonly at: string
  /** In which text: what the user wrote, what the server made of it, or the query of an ordinary view. */
  readonly in: 'written' | 'printed' | { readonly view: RelationName }
}

/** The texts of a query. */
export interface QueryTexts {
  /** What the user wrote; null where only the server knows the query. */
  readonly written: ParsedQuery | null
  readonly printed: ParsedQuery
  readonly views: readonly { readonly name: RelationName; readonly query: ParsedQuery }[]
}

/**
 * Where something is, in what the user wrote if the same construct can be told there: the one of its kind and name at
 * the same turn, where both texts have as many of them. Else in what the server printed. Null when it is nowhere.
 */
export function writtenPlace(spot: Spot, texts: QueryTexts): WrittenPlace | null {
  if (spot.kind !== 'place') return placeOfName(spot, texts)
  const wanted = JSON.stringify(spot.select)
  const owner = [texts.printed, ...texts.views.map(({ query }) => query)].find((query) =>
    selectsIn(query.select).some((select) => JSON.stringify(select) === wanted),
  )
  // What the compiler made up stands nowhere.
  if (owner === undefined) return null
  const { written } = texts
  if (owner === texts.printed && written !== null) {
    const byte =
      spot.byte === null
        ? sameSelect(wanted, owner, written)
        : sameConstruct(spot.byte, owner, written)
    if (byte !== null) return { at: placeOfByte(written.sql, byte), in: 'written' }
  }
  const byte = spot.byte ?? beginOf(owner.sql, spot.select)
  const view = texts.views.find(({ query }) => query === owner)
  return {
    at: placeOfByte(owner.sql, byte),
    in: view === undefined ? 'printed' : { view: view.name },
  }
}

/** Something said of a query, and what of it that is about. */
interface Placed {
  readonly reason: string
  readonly at?: readonly Spot[]
}

/** Where the first thing is that a reason is about. */
export function placeOfReason({ at = [] }: Placed, texts: QueryTexts): WrittenPlace | null {
  for (const spot of at) {
    const place = writtenPlace(spot, texts)
    if (place !== null) return place
  }
  return null
}

/** A reason with its place: `it calls a volatile function at 3:8`. */
export function placedReason(obstacle: Placed, texts: QueryTexts): string {
  const place = placeOfReason(obstacle, texts)
  return place === null ? obstacle.reason : `${obstacle.reason}, at ${placeText(place)}`
}

/** A place, and in which text it is unless that is what the user wrote. */
export function placeText({ at, in: text }: WrittenPlace): string {
  if (text === 'written') return at
  return text === 'printed'
    ? `${at} of the query as PostgreSQL prints it`
    : `${at} of view ${text.view} as PostgreSQL prints it`
}

/** The first function, table or column of a name, in what was written if it is there. */
function placeOfName(
  { kind, name }: Extract<Spot, { name: string }>,
  { written, printed, views }: QueryTexts,
): WrittenPlace | null {
  const label = { function: 'FuncCall', relation: 'RangeVar', column: 'ColumnRef' }[kind]
  const bare = name.replace(/\(.*$/, '').replace(/^.*\./, '')
  const find = ({ sql, select }: ParsedQuery): string | null => {
    const found = constructsIn(select).find((each) => each.label === `${label} ${bare}`)
    return found === undefined ? null : placeOfByte(sql, found.byte)
  }
  const inWritten = written === null ? null : find(written)
  if (inWritten !== null) return { at: inWritten, in: 'written' }
  const inPrinted = find(printed)
  if (inPrinted !== null) return { at: inPrinted, in: 'printed' }
  for (const { name: view, query } of views) {
    const at = find(query)
    if (at !== null) return { at, in: { view } }
  }
  return null
}

/** Something in a syntax tree that has a place, labelled by what it is. */
interface Construct {
  readonly label: string
  readonly byte: number
}

function constructsIn(tree: unknown): readonly Construct[] {
  const found: Construct[] = []
  const look = (kind: string, value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) look(kind, item)
    } else if (isFields(value)) {
      // The parser leaves a place of 0 out; only WITH can stand there and be named.
      const { location = kind === 'withClause' ? 0 : undefined } = value
      if (typeof location === 'number' && location >= 0) {
        found.push({ label: labelOf(kind, value), byte: location })
      }
      for (const [name, part] of Object.entries(value)) look(name, part)
    }
  }
  look('', tree)
  return found
}

/** What a construct is, and its name where it has one: the server qualifies and casts, but keeps these. */
function labelOf(kind: string, node: Readonly<Record<string, unknown>>): string {
  switch (kind) {
    case 'FuncCall':
      return `${kind} ${lastName(node['funcname'])}`
    case 'ColumnRef':
      return `${kind} ${lastName(node['fields'])}`
    case 'RangeVar':
      return `${kind} ${String(node['relname'])}`
    case 'CommonTableExpr':
      return `${kind} ${String(node['ctename'])}`
    case 'SubLink':
      return `${kind} ${String(node['subLinkType'])}`
    default:
      return kind
  }
}

function lastName(names: unknown): string {
  const last: unknown = Array.isArray(names) ? names.at(-1) : undefined
  const string = isFields(last) ? last['String'] : undefined
  return isFields(string) && typeof string['sval'] === 'string' ? string['sval'] : '*'
}

function sameConstruct(byte: number, printed: ParsedQuery, written: ParsedQuery): number | null {
  const [ours, theirs] = [constructsIn(printed.select), constructsIn(written.select)]
  for (const { label } of ours.filter((each) => each.byte === byte)) {
    const alike = ours.filter((each) => each.label === label)
    const candidates = theirs.filter((each) => each.label === label)
    const turn = alike.findIndex((each) => each.byte === byte)
    const found = candidates[turn]
    if (alike.length === candidates.length && found !== undefined) return found.byte
  }
  return null
}

function sameSelect(wanted: string, printed: ParsedQuery, written: ParsedQuery): number | null {
  const [ours, theirs] = [selectsIn(printed.select), selectsIn(written.select)]
  const turn = ours.findIndex((select) => JSON.stringify(select) === wanted)
  const found = theirs[turn]
  if (found === undefined || (turn > 0 && ours.length !== theirs.length)) return null
  return beginOf(written.sql, found)
}

/** Every SELECT of a tree, itself first. */
export function selectsIn(tree: SelectStmt): readonly SelectStmt[] {
  const found: SelectStmt[] = []
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    else if (isFields(value)) {
      // Nothing else has both.
      if ('op' in value && 'limitOption' in value) found.push(value)
      Object.values(value).forEach(look)
    }
  }
  look(tree)
  return found
}

/** Where a SELECT begins: its own place is not kept, but its key word is the last one before its first part. */
function beginOf(sql: string, select: SelectStmt): number {
  const first = firstByte(select)
  const before = Buffer.from(sql).subarray(0, first).toString()
  const word = [...before.matchAll(/\b(?:with|select|values|table)\b/gi)].at(-1)
  return word === undefined ? first : Buffer.byteLength(before.slice(0, word.index))
}
