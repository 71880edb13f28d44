import type { CacheManager } from '../../engine/caches/create-cache.ts'
import type { Verb } from '../../model/invalidation.ts'

/** What is said of a route that writes; functions get what its handler gets. */
export interface RouteOptions<Context extends readonly unknown[]> {
  /** Only when it matters. Default: always, and so it is where this throws. */
  readonly when?: (...context: Context) => boolean
  /** Values for the places of the patterns. Default: the parameters of the path. */
  readonly with?: (...context: Context) => Readonly<Record<string, unknown>>
  /** Names that entries were tagged with, as well. */
  readonly tags?: readonly string[] | ((...context: Context) => readonly string[])
  /** `expire`: what they name may be served while it is renewed. Default: `remove`. */
  readonly verb?: Verb
}

/** Patterns, and last what else is to be said of them. */
export type RouteRule<Context extends readonly unknown[]> =
  | readonly [...patterns: string[]]
  | readonly [...patterns: string[], options: RouteOptions<Context>]

/** What became of a request. */
export interface Outcome<Context> {
  readonly status: number
  /** The parameters of the path. */
  readonly params: Readonly<Record<string, unknown>>
  readonly context: Context
}

const safeMethods = ['GET', 'HEAD', 'OPTIONS', 'TRACE']

/** The invalidation that a route does before its response is out, once it has succeeded (status below 400). */
export class RouteInvalidation<Context extends readonly unknown[]> {
  readonly #check: () => void
  readonly #run: (outcome: Outcome<Context>) => Promise<unknown>

  constructor(cache: CacheManager, rule: RouteRule<Context>) {
    const parts: readonly (string | RouteOptions<Context>)[] = rule
    const patterns = parts.filter((each) => typeof each === 'string')
    const options = parts.find((each) => typeof each === 'object')
    const { when, with: of, tags = [], verb } = options ?? {}
    this.#check = () => {
      cache.check(patterns)
    }
    this.#run = cache.invalidates<Outcome<Context>, []>(...patterns, {
      when: ({ status, context }) => status < 400 && (when === undefined || when(...context)),
      with: ({ params, context }) => ({ ...params, ...of?.(...context) }),
      tags: ({ context }) => (typeof tags === 'function' ? tags(...context) : tags),
      ...(verb === undefined ? {} : { verb }),
    })((outcome: Outcome<Context>) => Promise.resolve(outcome))
  }

  /**
   * Whether a request of this method writes: a GET never invalidates.
   *
   * @throws TidemarkError TIDEMARK_CACHE_INVALID before anything is written, for a pattern that can match no key.
   */
  concerns(method: string): boolean {
    if (safeMethods.includes(method)) return false
    this.#check()
    return true
  }

  /** Invalidates, if this outcome is a success. */
  async follow(outcome: Outcome<Context>): Promise<void> {
    await this.#run(outcome)
  }
}
