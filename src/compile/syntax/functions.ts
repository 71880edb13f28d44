import type { FuncCall, Node, SortBy } from 'libpg-query'
import type { ParsedQuery } from './parse.ts'
import { placeOfByte } from './parse.ts'
import { isFields, nodesOf } from './walk.ts'

/** A function that a query calls by name. */
export interface FunctionCall {
  /** As written, in lower case unless quoted; `current_date` and its like by their key word. */
  readonly name: string
  /** `line:column` in the text of the query. */
  readonly place: string
}

const timeFunctions: readonly string[] = [
  'now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp', 'timeofday',
  'current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp',
] // prettier-ignore

/** The functions that a query calls by name, each as often as it is called, in the order of the tree. */
export function functionsCalled({ sql, select }: ParsedQuery): readonly FunctionCall[] {
  const calls: FunctionCall[] = []
  for (const { kind, node } of nodesOf(select)) {
    const name =
      kind === 'FuncCall' ? calledName(node) : kind === 'SQLValueFunction' ? keyWord(node) : ''
    if (name === '') continue
    calls.push({ name, place: placeOfByte(sql, Number(node['location'] ?? 0)) })
  }
  return calls
}

/** The name of a function that is called: as the server prints it, `pg_catalog` left out. */
export const functionName = ({ funcname }: Pick<FuncCall, 'funcname'>): string =>
  plain((funcname ?? []).map((part) => stringValue(part)).join('.'))

/** The calls whose value moves as time passes: the result of the query may move without a commit. */
export function timeCalls(query: ParsedQuery): readonly FunctionCall[] {
  return functionsCalled(query).filter(({ name }) => timeFunctions.includes(plain(name)))
}

const plain = (name: string): string => name.replace(/^pg_catalog\./, '')

function calledName(node: Readonly<Record<string, unknown>>): string {
  const parts = Array.isArray(node['funcname']) ? node['funcname'] : []
  return parts.map((part: unknown) => stringValue(part)).join('.')
}

function stringValue(part: unknown): string {
  const string = isFields(part) ? part['String'] : undefined
  return isFields(string) && typeof string['sval'] === 'string' ? string['sval'] : ''
}

/** `SVFOP_LOCALTIMESTAMP_N` as `localtimestamp`. */
function keyWord(node: Readonly<Record<string, unknown>>): string {
  return String(node['op'])
    .replace(/^SVFOP_/, '')
    .replace(/_N$/, '')
    .toLowerCase()
}

/** Window functions that give rows alike which their order leaves equal, in whatever order they come. */
const peerFunctions = ['rank', 'dense_rank', 'percent_rank', 'cume_dist']

/** Whether a call of a window function is of one of these. */
export const isOfPeers = (call: Node): boolean =>
  'FuncCall' in call && peerFunctions.includes(functionName(call.FuncCall))

/** The items of ORDER BY of a window. */
export const windowOrder = (call: Node): readonly SortBy[] =>
  'FuncCall' in call
    ? (call.FuncCall.over?.orderClause ?? []).flatMap((node) =>
        'SortBy' in node ? [node.SortBy] : [],
      )
    : []
