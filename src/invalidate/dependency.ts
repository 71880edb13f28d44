import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { relationOf } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag, wholeTag } from '../model/journal.ts'
import type { TagValue } from './tags.ts'
import { rowsTag } from './tags.ts'

/**
 * On which rows of a source an entry depends: `true`, on all of them; a column, on those where it equals the first
 * argument; columns with functions, on those where each equals what the function makes of the arguments.
 */
export type RowsOf<Args extends readonly unknown[]> =
  true | string | Readonly<Record<string, (...args: Args) => TagValue>>

/** What the entries of a kind depend on, by the name of a table or view. */
export type DependsOn<Args extends readonly unknown[]> =
  readonly string[] | Readonly<Record<string, RowsOf<Args>>>

/** What is to be captured of a source: the columns by which its rows are told apart; none, if any change counts. */
export interface SourceRule {
  readonly source: RelationName
  readonly columns: readonly string[]
}

/** Dependencies as they are worked with. */
export interface Dependencies<Args extends readonly unknown[]> {
  readonly rules: readonly SourceRule[]
  /** By source, the column that is compared with the first argument, which is then the tenant unless something else is said. */
  readonly byFirst: ReadonlyMap<RelationName, string>
  readonly tagsOf: (args: Args) => Tag[]
}

/** Settles what entries depend on. @throws TidemarkError TIDEMARK_CACHE_INVALID for what is written in another form. */
export function dependencies<Args extends readonly unknown[]>(
  dependsOn: DependsOn<Args>,
): Dependencies<Args> {
  requireForm(dependsOn)
  const entries: (readonly [string, RowsOf<Args>])[] = isList(dependsOn)
    ? dependsOn.map((name) => [name, true])
    : Object.entries(dependsOn)
  const settled = entries.map(([name, rows]) => oneOf<Args>(relationOf(name), rows))
  return {
    rules: settled.map(({ rule }) => rule),
    byFirst: new Map(
      entries.flatMap(([name, rows]) =>
        typeof rows === 'string' ? [[relationOf(name), rows] as const] : [],
      ),
    ),
    tagsOf: (args) => settled.flatMap(({ tagsOf }) => tagsOf(args)),
  }
}

function oneOf<Args extends readonly unknown[]>(
  source: RelationName,
  rows: RowsOf<Args>,
): { readonly rule: SourceRule; readonly tagsOf: (args: Args) => Tag[] } {
  const whole = wholeTag(source)
  if (rows === true) {
    return { rule: { source, columns: [] }, tagsOf: () => [sourceTag(source), whole] }
  }
  const columns: Readonly<Record<string, (...args: Args) => TagValue>> =
    typeof rows === 'string' ? { [rows]: (...args) => scalar(args[0], source, rows) } : rows
  // In the order of their names, so that the same columns are one rule however they are written.
  const named = Object.entries(columns).sort(([left], [right]) => (left < right ? -1 : 1))
  return {
    rule: { source, columns: named.map(([column]) => column) },
    tagsOf: (args) => [
      rowsTag(
        source,
        named.map(([column, of]) => [column, of(...args)]),
      ),
      whole,
    ],
  }
}

const isList = (value: unknown): value is readonly string[] => Array.isArray(value)

/** From JavaScript it may be what its type is not: columns as the configuration lists them, above all. */
function requireForm(dependsOn: unknown): void {
  if (typeof dependsOn !== 'object' || dependsOn === null) {
    const table = typeof dependsOn === 'string' ? dependsOn : 'quotes'
    throw misshapen(
      "'dependsOn' is no list of tables",
      `['${table}'], or { ${table}: 'tenant_id' }`,
    )
  }
  if (isList(dependsOn)) return
  for (const [source, rows] of Object.entries<unknown>({ ...dependsOn })) requireRows(source, rows)
}

function requireRows(source: string, rows: unknown): void {
  if (rows === true || typeof rows === 'string') return
  const what = `'dependsOn' does not say which rows of ${source} count`
  if (typeof rows !== 'object' || rows === null || isList(rows)) {
    const column = isList(rows) ? (rows[0] ?? 'tenant_id') : 'tenant_id'
    throw misshapen(what, `{ '${source}': '${column}' }, or true for all of them`)
  }
  for (const [column, of] of Object.entries<unknown>({ ...rows })) {
    if (typeof of === 'function') continue
    const value = typeof of === 'string' ? `'${of}'` : 'value'
    throw misshapen(what, `{ '${source}': { ${column}: () => ${value} } }`)
  }
}

const misshapen = (what: string, example: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what,
    mend: `Write dependsOn: ${example}.`,
  })

function scalar(value: unknown, source: string, column: string): TagValue {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return value
    default:
      if (value === null) return null
      throw new TidemarkError({
        code: 'TIDEMARK_CACHE_INVALID',
        what: `The first argument, which ${source}.${column} is compared with, is no text, number or boolean.`,
        mend: `Say which value it is: dependsOn: { '${source}': { ${column}: (first) => first.id } }.`,
      })
  }
}
