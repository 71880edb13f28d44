import { TidemarkError } from '../model/errors.ts'
import type { Tag } from '../model/invalidation.ts'
import { beginningTag, beginnings, everyEntry, tenantTag } from './tags.ts'

/** A kind of entries, as far as a pattern can name it. */
export interface NamedKind {
  readonly kind: string
  /** How its keys write a tenant, with `{}` for what differs: `tenant_{}`; null for a kind without tenants. */
  readonly tenantForm: string | null
}

/**
 * What a pattern names: all keys, or those that begin with these words. A word may have a place to be filled:
 * `tenant_{tenantId}`.
 */
export type Pattern =
  | { readonly kind: 'all'; readonly text: string }
  | { readonly kind: 'beginning'; readonly text: string; readonly words: string }

const place = /\{([\w$][\w$.]*)\}/g

/**
 * Reads a pattern: `*`, `quotes:*`, `quotes:tenant_7:*`, `quotes:tenant_{tenantId}:*`.
 *
 * @throws TidemarkError TIDEMARK_CACHE_INVALID for one that is not of this form, or that no key of the kinds can match.
 */
export function parsePattern(text: string, kinds: readonly NamedKind[]): Pattern {
  if (text === '*') return { kind: 'all', text }
  const words = text.endsWith(':*') ? text.slice(0, -2) : null
  if (words === null || words === '' || words.includes('*')) {
    throw refused(text, 'is not a pattern that can be kept', `Write '*' or words that end in ':*'`)
  }
  if (!kinds.some((kind) => canMatch(words, kind))) {
    const known = kinds.flatMap(patternsOf)
    const could =
      known.length === 0 ? 'no kind is defined' : `what is defined are ${known.join(', ')}`
    throw refused(text, 'can match no key', `Correct it, or define the kind: ${could}`)
  }
  return { kind: 'beginning', text, words }
}

/** The tag of what a pattern names, its places filled with the values of `named`. */
export function patternTag(pattern: Pattern, named: Readonly<Record<string, unknown>> = {}): Tag {
  if (pattern.kind === 'all') return everyEntry
  return beginningTag(
    pattern.words.replaceAll(place, (_, path: string) => {
      const value = path
        .split('.')
        .reduce<unknown>(
          (from, name) => (from as Readonly<Record<string, unknown>> | null | undefined)?.[name],
          named,
        )
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
        return String(value)
      }
      throw refused(pattern.text, `has no value for '${path}'`, `Give it among the arguments`)
    }),
  )
}

/** The names that the places of a pattern begin with: `quotes:tenant_{tenant.id}:*` has `tenant`. */
export const placesOf = (text: string): string[] =>
  [...text.matchAll(place)].flatMap(([, path = '']) => path.split('.').slice(0, 1))

/** The pattern of all that a pattern could name, whatever its places are filled with. */
export function beforePlaces(pattern: Pattern): Pattern {
  if (pattern.kind === 'all') return pattern
  const words = pattern.words.replace(/(^|:)[^:]*\{.*$/, '')
  return words === ''
    ? { kind: 'all', text: '*' }
    : { kind: 'beginning', text: `${words}:*`, words }
}

/** The tags of an entry by which patterns and its tenant find it. */
export function tagsOfKey(kind: string, tenant: string | null): Tag[] {
  const named = beginnings(kind).map(beginningTag)
  const owned = tenant === null ? [] : [beginningTag(`${kind}:${tenant}`), tenantTag(tenant)]
  return [everyEntry, ...named, ...owned]
}

/** The tags by which patterns find an entry, told from its key without the prefix. */
export const tagsInKey = (words: string): Tag[] => [
  everyEntry,
  ...beginnings(words).map(beginningTag),
]

function canMatch(words: string, { kind, tenantForm }: NamedKind): boolean {
  if (kind === words || kind.startsWith(`${words}:`)) return true
  if (tenantForm === null || !words.startsWith(`${kind}:`)) return false
  const tenant = words.slice(kind.length + 1)
  const [before = '', after = ''] = tenantForm.split('{}')
  return (
    !tenant.includes(':') &&
    tenant.length > before.length + after.length &&
    tenant.startsWith(before) &&
    tenant.endsWith(after)
  )
}

const patternsOf = ({ kind, tenantForm }: NamedKind): string[] => [
  `'${kind}:*'`,
  ...(tenantForm === null ? [] : [`'${kind}:${tenantForm.replace('{}', '{tenantId}')}:*'`]),
]

const refused = (text: string, what: string, mend: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The pattern '${text}' ${what}.`,
    mend: `${mend}.`,
  })
