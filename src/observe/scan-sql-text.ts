import type { RefreshMode } from './scan-report.ts'

/** A name as SQL text has it: folded to lower case unless quoted; the schema only where written. */
export interface WrittenName {
  readonly schema: string | null
  readonly name: string
}

/** A REFRESH in a text. */
export interface WrittenRefresh {
  /** Null: the name is put together at run time. */
  readonly view: WrittenName | null
  readonly mode: Exclude<RefreshMode, 'both'>
}

/** A DELETE in a text. */
export interface WrittenDelete {
  readonly table: WrittenName
  /** The condition speaks of time. */
  readonly byAge: boolean
  /** The age as it is written, `5 minutes`; null where it is not a literal. */
  readonly age: string | null
}

const part = String.raw`(?:"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{N}_$]*)`
const nameText = String.raw`${part}(?:\s*\.\s*${part})?`

/** The text without its comments; a sign of a comment within quotes stays. */
export function withoutComments(sql: string): string {
  return sql.replaceAll(
    /('(?:[^']|'')*'|"(?:[^"]|"")*")|--[^\n]*|\/\*[^]*?\*\//g,
    (_, quoted: string | undefined) => quoted ?? ' ',
  )
}

/** Reads a name as PostgreSQL would. */
export function readName(text: string): WrittenName {
  const parts = (text.match(new RegExp(part, 'gu')) ?? []).map((one) =>
    one.startsWith('"') ? one.slice(1, -1).replaceAll('""', '"') : one.toLowerCase(),
  )
  const name = parts.at(-1) ?? ''
  return { schema: parts.length > 1 ? (parts[0] ?? null) : null, name }
}

/** Every REFRESH MATERIALIZED VIEW of a text, also inside of strings that are executed. */
export function refreshesIn(sql: string): readonly WrittenRefresh[] {
  const pattern = new RegExp(
    String.raw`\brefresh\s+materialized\s+view\b(\s+concurrently\b)?\s*(${nameText})?`,
    'giu',
  )
  return [...sql.matchAll(pattern)].map(([, concurrently, view]) => ({
    view: view === undefined ? null : readName(view),
    mode: concurrently === undefined ? 'plain' : 'concurrently',
  }))
}

/** Every DELETE and TRUNCATE of a text. */
export function deletesIn(sql: string): readonly WrittenDelete[] {
  const deletes = new RegExp(String.raw`\bdelete\s+from\s+(?:only\s+)?(${nameText})([^;]*)`, 'giu')
  const truncates = new RegExp(
    String.raw`\btruncate\s+(?:table\s+)?(?:only\s+)?(${nameText})`,
    'giu',
  )
  return [
    ...[...sql.matchAll(deletes)].map(([, table = '', rest = '']) => ({
      table: readName(table),
      byAge:
        /\b(now\s*\(|current_timestamp|clock_timestamp|localtimestamp|statement_timestamp|interval\b)/i.test(
          rest,
        ),
      age: ageIn(rest),
    })),
    ...[...sql.matchAll(truncates)].map(([, table = '']) => ({
      table: readName(table),
      byAge: false,
      age: null,
    })),
  ]
}

function ageIn(sql: string): string | null {
  const found = /interval\s*'([^']{1,40})'|'([^']{1,40})'\s*::\s*interval/i.exec(sql)
  return found?.[1] ?? found?.[2] ?? null
}

/** Tables that a text inserts into. */
export function insertsIn(sql: string): readonly WrittenName[] {
  const pattern = new RegExp(String.raw`\binsert\s+into\s+(${nameText})`, 'giu')
  return [...sql.matchAll(pattern)].map(([, table = '']) => readName(table))
}

/** Everything of a text that is called like a function. */
export function callsIn(sql: string): readonly WrittenName[] {
  const pattern = new RegExp(String.raw`(${nameText})\s*\(`, 'gu')
  return [...sql.matchAll(pattern)].map(([, name = '']) => readName(name))
}

/** Whether a text speaks of a relation by its name. */
export const mentions = (sql: string, name: string): boolean =>
  new RegExp(String.raw`(?<![\p{L}\p{N}_$])${escaped(name)}(?![\p{L}\p{N}_$])`, 'iu').test(sql)

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)

/** Whether a query asks for the time, so that its result changes without a write. */
export const readsTheClock = (query: string): boolean =>
  /\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\(\)|\b(current_date|current_timestamp|current_time|localtimestamp|localtime)\b/i.test(
    query,
  )

/**
 * The condition under which a trigger asks for a refresh, in SQL over the columns of the row: from its
 * WHEN, else from the innermost IF around an INSERT of its function. Only comparisons of a column with a
 * number or a plain text, joined by AND, are understood; null for everything else.
 */
export function conditionOf(trigger: string | null, body: string): string | null {
  const when = trigger === null ? undefined : /\bWHEN\s*\(([^]*)\)\s*EXECUTE\b/.exec(trigger)?.[1]
  if (when !== undefined) return comparisonsIn(when)
  const around =
    /\bif\s+((?:(?!\bthen\b)[^;])*?)\s+then\b(?=(?:(?!\bend\s+if\b|\bels(?:e|if)\b)[^])*?\binsert\s+into\b)/gi
  return (
    [...body.matchAll(around)].flatMap(([, text = '']) => comparisonsIn(text) ?? []).at(-1) ?? null
  )
}

function comparisonsIn(text: string): string | null {
  const bare = text
    .replaceAll(/::\s*[a-z][a-z ]*(\([\d, ]*\))?/gi, '')
    .replaceAll(/[()]/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
  const comparison = String.raw`new\.(?:"[^"]+"|\w+) ?(?:>=|<=|<>|!=|=|>|<) ?(?:-?\d+(?:\.\d+)?|'[^']*')`
  const understood = new RegExp(`^${comparison}(?: and ${comparison})*$`, 'i')
  if (!understood.test(bare)) return null
  return bare.replaceAll(/\bnew\./gi, '').replaceAll(/ and /gi, ' and ')
}

/** The priority that a text gives to a request, in the words of an event rule. */
export function priorityIn(body: string): 'critical' | 'normal' | 'background' | null {
  if (/'(critical|urgent|high)'/i.test(body)) return 'critical'
  if (/'(background|low)'/i.test(body)) return 'background'
  return /'normal'/i.test(body) ? 'normal' : null
}
