import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag, wholeTag } from '../model/journal.ts'
import type { Operand, QueryParameter, SourceRead } from '../model/query-reads.ts'
import type { SourceRule } from './dependency.ts'
import type { TagValue } from './tags.ts'
import { rowsTag } from './tags.ts'

/** What is told of which source: lists of columns by which its rows are told apart; an empty one, that it changed. */
export type ToldRules = Readonly<Record<string, readonly (readonly string[])[]>>

/** What a query depends on, of one source at one place. */
export interface Dependence {
  readonly source: RelationName
  /** The columns whose values name the rows, with what they are compared with; none: every change counts. */
  readonly equals: readonly (readonly [column: string, operands: readonly Operand[]])[]
  /** Whether every change of the source is told as well, for values that cannot be named. */
  readonly toldWhole: boolean
}

/** Dependences of a query, and what would have to be told and is not. */
export interface Dependences {
  readonly on: readonly Dependence[]
  readonly lacking: readonly SourceRule[]
}

/** Of what is told, that which names the fewest rows of each read. */
export function dependencesOf(reads: readonly SourceRead[], told: ToldRules): Dependences {
  const on: Dependence[] = []
  const lacking: SourceRule[] = []
  for (const { source, equals } of reads) {
    const rules = told[source] ?? []
    const toldWhole = rules.some((rule) => rule.length === 0)
    const [rule] = rules
      .filter((columns) => columns.every((column) => equals.has(column)))
      .toSorted((left, right) => right.length - left.length)
    if (rule === undefined) lacking.push({ source, columns: [...equals.keys()].toSorted() })
    else
      on.push({
        source,
        equals: rule.map((column) => [column, must(equals.get(column), 'a rule fits its read')]),
        toldWhole,
      })
  }
  return { on, lacking }
}

/** The rules that a dependence relies on. */
export const ruleOf = ({ source, equals }: Dependence): SourceRule => ({
  source,
  columns: equals.map(([column]) => column),
})

/** With more values than this, every change counts, where that is told. */
const valuesMax = 1_000

/** What a query is asked with. */
export interface Asked {
  readonly values: readonly unknown[]
  readonly parameters: readonly QueryParameter[]
}

/**
 * The tags of a dependence for some values of the parameters: those of all rows that the result is computed from.
 *
 * @throws TidemarkError TIDEMARK_CACHE_INVALID for a value of which it is not certain how PostgreSQL prints it, where not
 * every change is told.
 */
export function tagsOfDependence(dependence: Dependence, asked: Asked): readonly Tag[] {
  const { source, equals, toldWhole } = dependence
  const every = [sourceTag(source), wholeTag(source)]
  if (equals.length === 0) return every
  let rows: (readonly (readonly [string, TagValue])[])[] = [[]]
  for (const [column, operands] of equals) {
    const values = operands.flatMap(
      (operand): readonly (TagValue | undefined)[] => valuesOf(operand, asked) ?? [undefined],
    )
    const named = values.filter((value) => value !== undefined)
    if (named.length < values.length && !toldWhole) throw unnamed(source, column, operands)
    rows = rows.flatMap((row) =>
      [...new Set(named)].map((value) => [...row, [column, value] as const]),
    )
    if (toldWhole && (named.length < values.length || rows.length > valuesMax)) return every
  }
  return [...rows.map((row) => rowsTag(source, row)), wholeTag(source)]
}

/** The values of an operand as PostgreSQL prints them; undefined where that is not certain. */
function valuesOf(
  operand: Operand,
  { values, parameters }: Asked,
): readonly TagValue[] | undefined {
  if (operand.kind === 'constant') return [operand.text]
  const value = values[operand.number - 1]
  const parameter = parameters[operand.number - 1]
  if (operand.kind === 'parameter') return listed([printed(value, parameter?.family ?? null)])
  if (value === null || value === undefined) return []
  if (!Array.isArray(value)) return undefined
  const elements: readonly unknown[] = value
  const present = elements.filter((element) => element !== null && element !== undefined)
  return listed(present.map((element) => printed(element, parameter?.elementFamily ?? null)))
}

const listed = (values: readonly (TagValue | undefined)[]): readonly TagValue[] | undefined =>
  values.every((value) => value !== undefined) ? values : undefined

const integer = /^(0|-?[1-9]\d*)$/
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/
const date = /^\d{4}-\d{2}-\d{2}$/

/** A value as PostgreSQL prints it once it has taken it for one of that family; undefined where that is not certain. */
function printed(value: unknown, family: string | null): TagValue | undefined {
  if (value === null || value === undefined) return null
  const text = plainText(value)
  if (text === undefined || family === null) return undefined
  switch (family) {
    case 'integer':
      return integer.test(text) ? text : undefined
    case 'boolean':
      return typeof value === 'boolean' ? text : undefined
    case 'uuid':
      return uuid.test(text.toLowerCase()) ? text.toLowerCase() : undefined
    case 'date':
      return date.test(text) ? text : undefined
    default:
      return text
  }
}

function plainText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value)
    default:
      return undefined
  }
}

/** What a query depends on, for people: `public.quotes where tenant_id = $1`. */
export function dependenceText({ source, equals }: Dependence): string {
  if (equals.length === 0) return `${source}: every change`
  const conditions = equals.map(([column, operands]) => {
    const texts = operands.map(operandText)
    return texts.length === 1 ? `${column} = ${texts.join()}` : `${column} in (${texts.join(', ')})`
  })
  return `${source}: rows where ${conditions.join(' and ')}`
}

function operandText(operand: Operand): string {
  switch (operand.kind) {
    case 'constant':
      return operand.text ?? 'null'
    case 'parameter':
      return `$${String(operand.number)}`
    case 'elements':
      return `any ($${String(operand.number)})`
  }
}

const unnamed = (
  source: RelationName,
  column: string,
  operands: readonly Operand[],
): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The value of ${operands.map(operandText).join(', ')}, which ${source}.${column} is compared with, is not written as PostgreSQL prints it.`,
    mend: `Give a number, boolean or text, dates as '2026-11-22'; or add [] to the rules of ${source} under caches.`,
  })
