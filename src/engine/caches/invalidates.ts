import { AsyncLocalStorage } from 'node:async_hooks'
import type { CacheListener } from '../../cache/cache-event.ts'
import type { NamedKind } from '../../invalidate/pattern.ts'
import { beforePlaces, parsePattern, patternTag, placesOf } from '../../invalidate/pattern.ts'
import { everyEntry, namedTag } from '../../invalidate/tags.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { InvalidationRequest, Tag, Verb } from '../../model/invalidation.ts'

/** A transaction that calls back when it has committed, and not when it was rolled back. */
export interface Committing {
  readonly afterCommit: (run: () => Promise<void>) => unknown
}

/** What `invalidates(…)` may be told beside patterns; functions get the result and the arguments of the call. */
export interface InvalidatesOptions<Result, Args extends readonly unknown[]> {
  /** Only when it matters. Default: always, and so it is where this throws. */
  readonly when?: (result: Result, args: Args) => boolean
  /**
   * Values for the places of the patterns. Default: a place is filled from the field of its name of the first argument
   * that is an object and has it; `{0}` is the first argument itself, `{1.id}` a field of the second.
   */
  readonly with?: (result: Result, args: Args) => Readonly<Record<string, unknown>>
  /** Names that entries were tagged with, as well. */
  readonly tags?: readonly string[] | ((result: Result, args: Args) => readonly string[])
  /** `expire`: what they name may be served while it is renewed. Default: `remove`. */
  readonly verb?: Verb
  /** The transaction that the call wrote in and that is still open when it returns. Default: none is, or afterCommit() knows. */
  readonly transaction?: (result: Result, args: Args) => Committing | undefined
  /**
   * What becomes of the call when other nodes could not be told in time. Default `'log'`: what was written is written, so
   * its result is returned; the failure is told as an event and tried again.
   */
  readonly untold?: 'log' | 'reject'
}

/** A wrapper of functions, and a decorator of methods, that invalidates after they have succeeded. */
export interface Invalidating<Result, Args extends readonly unknown[]> {
  /** A function; or a method, as a standard decorator. */
  <This, Given extends readonly [...Args, ...unknown[]], Returned extends Result>(
    write: (this: This, ...args: Given) => Promise<Returned>,
    context?: ClassMethodDecoratorContext,
  ): (this: This, ...args: Given) => Promise<Returned>
  /** A method, as a decorator of `experimentalDecorators`. */
  (
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<(...args: never[]) => Promise<Result>>,
  ): void
}

/** Patterns, and last what else is to be said of them. */
export type Invalidates = <Result = unknown, Args extends readonly unknown[] = readonly unknown[]>(
  ...of:
    | readonly [...patterns: string[]]
    | readonly [...patterns: string[], options: InvalidatesOptions<Result, Args>]
) => Invalidating<Result, Args>

/** What {@link invalidatesWith} needs of a cache. */
export interface InvalidatesParts {
  readonly kinds: () => readonly NamedKind[]
  readonly invalidate: (request: InvalidationRequest) => Promise<void>
  readonly tell: CacheListener
}

/** The invalidation that comes from wrapped functions. */
export interface InvalidatingCode {
  readonly invalidates: Invalidates
  readonly afterCommit: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Checks every pattern that was declared so far. @throws TidemarkError for one that can match no key. */
  readonly check: () => void
}

type Write = (this: unknown, ...args: unknown[]) => Promise<unknown>

/** What one `invalidates(…)` says; its functions were typed where it was written. */
interface Rule {
  readonly patterns: readonly string[]
  readonly options: InvalidatesOptions<unknown, readonly unknown[]>
}

/** An invalidation that waits for its moment. */
interface Due {
  readonly request: InvalidationRequest
  readonly untold: 'log' | 'reject'
}

/** What a piece of work under {@link InvalidatingCode.afterCommit} has collected. */
interface Held {
  readonly due: Due[]
  ended: boolean
}

/**
 * Invalidation by functions that write.
 *
 * Guarantees: nothing happens before the function has succeeded, nor where it threw; a function that is wrapped several
 * times invalidates once, by all that was said. What cannot be decided (a condition that throws, a place without a
 * value) is invalidated by more than was meant, never by less, and told.
 */
export function invalidatesWith(parts: InvalidatesParts): InvalidatingCode {
  const held = new AsyncLocalStorage<Held>()
  const rulesOf = new WeakMap<Write, { readonly write: Write; readonly rules: readonly Rule[] }>()
  const declared: Rule[] = []
  const check = (rules: readonly Rule[]): void => {
    for (const pattern of rules.flatMap(({ patterns }) => patterns)) {
      parsePattern(pattern, parts.kinds())
    }
  }
  const afterwards = async (rules: readonly Rule[], call: Call): Promise<void> => {
    const now: Due[] = []
    for (const rule of rules.filter((each) => applies(each, call, parts.tell))) {
      const due = dueOf(rule, call, parts)
      // What this throws is thrown: the transaction is open, so nothing is written yet.
      const transaction = rule.options.transaction?.(call.result, call.args)
      const work = held.getStore()
      if (transaction !== undefined) transaction.afterCommit(() => spread([due], parts))
      else if (work?.ended === false) work.due.push(due)
      else now.push(due)
    }
    await spread(now, parts)
  }
  const wrapped = (given: Write, rule: Rule): Write => {
    const { write, rules: inner } = rulesOf.get(given) ?? { write: given, rules: [] }
    const rules = [...inner, rule]
    let isChecked = false
    const outer: Write = async function (...args) {
      if (!isChecked) check(rules)
      isChecked = true
      const result = await write.apply(this, args)
      await afterwards(rules, { result, args })
      return result
    }
    rulesOf.set(outer, { write, rules })
    return Object.defineProperty(outer, 'name', { value: given.name })
  }
  const invalidates = (...of: readonly unknown[]): unknown => {
    const rule = ruleOf(of)
    declared.push(rule)
    return (given: unknown, _name: unknown, descriptor?: PropertyDescriptor) => {
      if (descriptor === undefined) return wrapped(given as Write, rule)
      descriptor.value = wrapped(descriptor.value as Write, rule)
      return undefined
    }
  }
  return {
    invalidates: invalidates as Invalidates,
    async afterCommit(work) {
      const outer = held.getStore()
      const mine: Held = { due: [], ended: false }
      const result = await held.run(mine, work).finally(() => {
        mine.ended = true
      })
      if (outer?.ended === false) outer.due.push(...mine.due)
      else await spread(mine.due, parts)
      return result
    },
    check: () => {
      check(declared)
    },
  }
}

/** A call that succeeded. */
interface Call {
  readonly result: unknown
  readonly args: readonly unknown[]
}

function ruleOf(of: readonly unknown[]): Rule {
  const last = of.at(-1)
  const options = isOptions(last) ? last : {}
  const patterns = of.slice(0, isOptions(last) ? -1 : of.length)
  if (!patterns.every((each) => typeof each === 'string')) {
    throw refused('invalidates() was given what is neither a pattern nor, at its end, options.')
  }
  if (patterns.length === 0 && options.tags === undefined) {
    throw refused('invalidates() names nothing to invalidate.')
  }
  return { patterns, options }
}

const isOptions = (last: unknown): last is Rule['options'] => isRecord(last) && !Array.isArray(last)

const refused = (what: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what,
    mend: "Give patterns one after the other, and options last: invalidates('quotes:*', 'dashboard:*', { when }).",
  })

function applies(
  { options: { when } }: Rule,
  { result, args }: Call,
  tell: CacheListener,
): boolean {
  return when === undefined || decided(() => when(result, args), true, tell)
}

function dueOf({ patterns, options }: Rule, call: Call, parts: InvalidatesParts): Due {
  const { tags: names = [], verb = 'remove', untold = 'log' } = options
  const { result, args } = call
  const values = valuesOf({ patterns, options }, call, parts.tell)
  const tags = patterns.map((pattern) => tagOf(pattern, values, parts))
  const named =
    typeof names === 'function'
      ? decided(() => names(result, args).map(namedTag), [everyEntry], parts.tell)
      : names.map(namedTag)
  return { request: { verb, tags: [...tags, ...named], keys: [] }, untold }
}

/** What fills the places of the patterns. */
function valuesOf(
  { patterns, options }: Rule,
  { result, args }: Call,
  tell: CacheListener,
): Readonly<Record<string, unknown>> {
  const objects = args.filter(isRecord)
  const fields = patterns.flatMap(placesOf).map((name): [string, unknown] => {
    if (/^\d+$/.test(name)) return [name, args[Number(name)]]
    const owner = objects.find((object) => Object.hasOwn(object, name))
    return [name, owner?.[name]]
  })
  const { with: of = () => ({}) } = options
  return { ...Object.fromEntries(fields), ...decided(() => of(result, args), {}, tell) }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/** The tag of a pattern; where a place has no value, that of all that the pattern could have meant. */
function tagOf(
  text: string,
  values: Readonly<Record<string, unknown>>,
  { kinds, tell }: InvalidatesParts,
): Tag {
  const pattern = parsePattern(text, kinds())
  return decided(() => patternTag(pattern, values), patternTag(beforePlaces(pattern)), tell)
}

function decided<Decision>(
  decide: () => Decision,
  generous: Decision,
  tell: CacheListener,
): Decision {
  try {
    return decide()
  } catch (error) {
    tell({ event: 'invalidation_failed', error })
    return generous
  }
}

/** Invalidates what is due, once for each verb. @throws what kept it from being told, if one of them asks for it. */
async function spread(due: readonly Due[], parts: InvalidatesParts): Promise<void> {
  const verbs = [...new Set(due.map(({ request }) => request.verb))]
  await Promise.all(
    verbs.map(async (verb) => {
      const these = due.filter(({ request }) => request.verb === verb)
      const tags = [...new Set(these.flatMap(({ request }) => request.tags))]
      try {
        if (tags.length > 0) await parts.invalidate({ verb, tags, keys: [] })
      } catch (error) {
        parts.tell({ event: 'invalidation_failed', error })
        if (these.some(({ untold }) => untold === 'reject')) throw error
      }
    }),
  )
}
