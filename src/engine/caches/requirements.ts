import { TidemarkError } from '../../model/errors.ts'
import type { Verb } from '../../model/invalidation.ts'
import type { CacheOptions, InvalidationOf } from './cache-options.ts'

/** The namespace begins all keys, and names the cache in the database. */
export function requireNamespace(namespace: unknown): void {
  if (typeof namespace === 'string' && /^[A-Za-z][\w.-]*$/.test(namespace)) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${String(namespace)}' cannot be the namespace of a cache.`,
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

/** A name written wrong would leave its kind without what is said of it. */
export function requireKindsOf(
  { ttls = {}, hitRate }: CacheOptions,
  kinds: ReadonlyMap<string, unknown>,
): void {
  requireKinds('createCache.ttls', Object.keys(ttls), kinds)
  const bounds = typeof hitRate?.min === 'object' ? Object.keys(hitRate.min) : []
  requireKinds('createCache.hitRate.min', bounds, kinds)
}

function requireKinds(
  place: string,
  named: readonly string[],
  kinds: ReadonlyMap<string, unknown>,
): void {
  const unknown = named.filter((name) => !kinds.has(name))
  if (unknown.length === 0) return
  const names = unknown.map((name) => `'${name}'`).join(', ')
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `${place} names ${names}, and no kind is called so.`,
    mend: `Define it before start(), or name one that is: ${[...kinds.keys()].join(', ')}.`,
  })
}

/** What is to be warmed and has no list of entries would count as warmed. */
export function requireListed(named: readonly string[], listed: readonly string[]): void {
  const unlisted = named.find((name) => !listed.includes(name))
  if (unlisted === undefined) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${unlisted}' is no kind whose entries are listed, so none can be warmed.`,
    mend: `Declare them: define('${unlisted}', load, { warm: { entries } }). What is listed: ${listed.join(', ') || 'nothing'}.`,
  })
}

/** An invalidation that names nothing, or a key of another cache, would be done without anything being invalidated. */
export function requireNamed(verb: Verb, of: InvalidationOf, namespace: string): void {
  const refused = (what: string, mend: string): TidemarkError =>
    new TidemarkError({ code: 'TIDEMARK_CACHE_INVALID', what, mend })
  const example = `Name what it is: ${verb}({ keys | tags | tenants | patterns: […] }).`
  // From JavaScript it may be what its type is not.
  const given: unknown = of
  if (given === undefined || given === null) throw refused(`${verb}() was told nothing.`, example)
  if (typeof given !== 'object' || Array.isArray(given)) {
    const what = Array.isArray(given) ? 'list' : typeof given === 'string' ? 'text' : typeof given
    throw refused(`${verb}() was given a ${what}.`, example)
  }
  const { with: values, ...lists } = of
  const names = Object.keys(lists).filter((name) => !nameLists.has(name))
  if (names.length > 0) throw refused(`${verb}() knows no '${names.join("', '")}'.`, example)
  const named = Object.entries<unknown>(lists).filter(([, list]) => list !== undefined)
  const single = named.find(([, list]) => !Array.isArray(list))
  if (single !== undefined) throw refused(`'${single[0]}' of ${verb}() is no list.`, example)
  if (named.length === 0) throw refused(`${verb}() was told nothing to ${verb}.`, example)
  const alien = of.keys?.find((key) => !key.startsWith(`${namespace}:`))
  if (alien === undefined) return
  throw refused(
    `'${alien}' is no key of the cache ${namespace}.`,
    `Give it as kind.key(…) does: '${namespace}:…'.`,
  )
}

const nameLists: ReadonlySet<string> = new Set(['keys', 'tags', 'tenants', 'patterns'])

/** A kind that can be defined: of a name that is free, with a load. */
export function requireKind(
  { name, load }: { readonly name: string; readonly load: unknown },
  kinds: ReadonlyMap<string, unknown>,
): void {
  requireKindName(name, kinds)
  if (typeof load === 'function') return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${name}' has no load: what stands there is no function.`,
    mend: `Give one that gets the value: define('${name}', (tenant) => loadFor(tenant), { ttl: '10m' }).`,
  })
}

/** A query and its values, as they may come from JavaScript. */
export function requireQuestion(sql: unknown, values: unknown, options: unknown): void {
  const what =
    typeof sql !== 'string'
      ? 'The SQL of the query is no text.'
      : !Array.isArray(values)
        ? 'The values of the query are no list.'
        : typeof options !== 'object' || options === null
          ? 'The options of the query are no object.'
          : null
  if (what === null) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what,
    mend: `Write cache.query('select … where tenant_id = $1', [7], { ttl: '10m' }).`,
  })
}

/** The words of a kind part its keys from those of others. */
function requireKindName(name: string, kinds: ReadonlyMap<string, unknown>): void {
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
