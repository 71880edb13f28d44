import { TidemarkError } from '../model/errors.ts'
import type { EntryKey } from '../model/invalidation.ts'

/** What the keys of a kind have in common. */
export interface KeyForm {
  /** The namespace of the cache. */
  readonly prefix: string
  /** The kind: one or more words with colons between, `dashboard:kpis`. */
  readonly kind: string
  /** What tells versions of the load apart. */
  readonly digest: string
}

/** Makes the key of an entry of the tenant as it is to stand in the key, or null, and of the other arguments of the load. */
export type KeyMaker = (tenant: string | null, params: readonly unknown[]) => EntryKey

/** Longer ones are not for eyes any more. */
const paramsLengthMax = 200

/**
 * Makes the keys of a kind: `onquota:quotes:list:tenant_7:page=2:1f0c9a2e`, the same in every process for the same arguments.
 * Different arguments have different keys.
 */
export function keyMaker(
  { prefix, kind, digest }: KeyForm,
  digestOf: (text: string) => string,
): KeyMaker {
  const head = `${prefix}:${kind}:`
  const tail = `:${digest}`
  return (tenant, params) => {
    const owned = tenant === null ? head : `${head}${tenant}:`
    return `${owned}${paramsText(params, digestOf)}${tail}` as EntryKey
  }
}

function paramsText(params: readonly unknown[], digestOf: (text: string) => string): string {
  if (params.length === 0) return '-'
  const [only] = params
  const text =
    params.length > 1 ? valuesText(params) : isPlain(only) ? fieldsText(only) : valueText(only)
  return text.length <= paramsLengthMax ? text || '{}' : `#${digestOf(text)}`
}

/** Words that stand for themselves; anything else is quoted, so that no text looks like a number or an object. */
const word = /^[A-Za-z][\w.@/+-]*$/
const reserved = new Set(['true', 'false', 'null', 'undefined', 'NaN', 'Infinity'])

const isWord = (text: string): boolean => word.test(text) && !reserved.has(text)

/** Names of fields as they stand in keys: there are few, and reading each one anew was a third of the work. */
const nameTexts = new Map<string, string>()
const nameTextsMax = 10_000

function valuesText(values: readonly unknown[]): string {
  let text = ''
  for (const value of values) text += text === '' ? valueText(value) : `,${valueText(value)}`
  return text
}

function valueText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return isWord(value) ? value : quoted(value)
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint':
      return `${String(value)}n`
    case 'object':
      return objectText(value)
    default:
      throw refused(`A ${typeof value}`)
  }
}

function objectText(value: object | null): string {
  if (value === null) return 'null'
  if (value instanceof Date) return dateText(value)
  if (Array.isArray(value)) return `[${valuesText(value)}]`
  if (isPlain(value)) return `{${fieldsText(value)}}`
  throw refused(`An object of class ${value.constructor.name}`)
}

function dateText(date: Date): string {
  if (Number.isNaN(date.getTime())) throw refused('A date that is none')
  return `@${date.toISOString().replaceAll(':', '')}`
}

const refused = (what: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `${what} cannot be part of a key.`,
    mend: "Give texts, numbers, dates, lists and plain objects, or tell entries apart by 'params': define(name, load, { params: (…) => […] }).",
  })

/** Fields in the order of their names; those that are undefined are as good as absent. */
function fieldsText(value: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(value)
  if (!isSorted(names)) names.sort()
  let text = ''
  for (const name of names) {
    const field = value[name]
    if (field === undefined) continue
    if (text !== '') text += ','
    text += nameText(name) + valueText(field)
  }
  return text
}

function isSorted(names: readonly string[]): boolean {
  let last = ''
  for (const name of names) {
    if (name < last) return false
    last = name
  }
  return true
}

function nameText(name: string): string {
  const known = nameTexts.get(name)
  if (known !== undefined) return known
  const text = `${word.test(name) ? name : quoted(name)}=`
  if (nameTexts.size < nameTextsMax) nameTexts.set(name, text)
  return text
}

/** As JSON writes it, but for the colon, which parts the words of a key, and what would break a line. */
const quoted = (text: string): string => JSON.stringify(text).replaceAll(':', '\\u003a')

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
