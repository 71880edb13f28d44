import { TidemarkError } from '../../model/errors.ts'
import type { CacheOptions } from './cache-options.ts'

/** The namespace begins all keys, and names the cache in the database. */
export function requireNamespace(namespace: string): void {
  if (/^[A-Za-z][\w.-]*$/.test(namespace)) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${namespace}' cannot be the namespace of a cache.`,
    mend: 'Use letters, digits, dots, dashes and underscores, a letter first.',
  })
}

/**
 * Without a place for the id all tenants would have the same keys, and one would be given what is another's; with a colon, a
 * brace or an asterisk no pattern could name them.
 */
export function requireTenantForm(form: unknown): void {
  if (typeof form === 'string' && /^[^\s\p{C}:*{}]*\{\}[^\s\p{C}:*{}]*$/u.test(form)) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${String(form)}' cannot be how keys write a tenant.`,
    mend: "Write a word with one {} where its id stands, without colons, asterisks, spaces and other braces: 'tenant_{}'.",
    place: 'createCache.tenantForm',
  })
}

/** Without it nothing that is committed would be heard of, and nobody would notice. */
export function requireDatabase(options: CacheOptions): void {
  const isMeant = Object.hasOwn(options, 'database')
  if (!isMeant || (options.database !== undefined && options.database !== '')) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The database of the cache ${options.namespace} is named, and is undefined or an empty text.`,
    mend: "Set the variable that it is read from, or leave 'database' out: then only code invalidates.",
  })
}

/** A name written wrong would leave its kind with the TTL of all the others. */
export function requireKinds(named: Iterable<string>, kinds: ReadonlyMap<string, unknown>): void {
  const unknown = [...named].filter((name) => !kinds.has(name))
  if (unknown.length === 0) return
  const names = unknown.map((name) => `'${name}'`).join(', ')
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `createCache.ttls has a TTL for ${names}, and no kind is called so.`,
    mend: `Define it before start(), or name one that is: ${[...kinds.keys()].join(', ')}.`,
  })
}

/** The words of a kind part its keys from those of others. */
export function requireKindName(name: string, kinds: ReadonlyMap<string, unknown>): void {
  const form = /^[A-Za-z]\w*(:[A-Za-z]\w*)*$/
  if (form.test(name) && !kinds.has(name)) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: kinds.has(name) ? `'${name}' is defined already.` : `'${name}' cannot name a kind.`,
    mend: kinds.has(name)
      ? 'Define each kind once, and hand on what define() returns.'
      : "Use words of letters, digits and underscores with colons between: 'dashboard:kpis'.",
  })
}
