import type { Cached } from '../../engine/caches/cache-options.ts'
import { cached } from '../../engine/caches/cache-options.ts'

/** What a handler has made that may be kept. */
export interface Settled<Content> {
  readonly content: Content
  /** For how long, if the handler has said so. */
  readonly ttlSeconds: number | null
}

/** What a load brings; null: nothing that may be kept, or be given to another request. */
type Brought<Content> = Content | null | Cached<Content | null>

/**
 * A request on its way through the cache. When the cache wants its load the request *leads*: its handler runs, and what that
 * makes is what the load brings. A request that was answered without leads no more.
 */
export class Passage<Content> {
  /** What tells the entry apart. */
  readonly params: readonly unknown[]
  readonly tags: readonly string[]
  /** Resolves when the request leads. */
  readonly led: Promise<'led'>
  /** Says what the handler has made; null: nothing that may be kept. Calls after the first do nothing. */
  readonly settle: (settled: Settled<Content> | null) => void
  readonly #brought: Promise<Brought<Content>>
  #lead: () => void = () => undefined
  #hasEnded = false

  constructor(params: readonly unknown[], tags: readonly string[]) {
    this.params = params
    this.tags = tags
    this.led = new Promise((resolve) => {
      this.#lead = () => {
        resolve('led')
      }
    })
    let bring: (brought: Brought<Content>) => void = () => undefined
    this.#brought = new Promise((resolve) => {
      bring = resolve
    })
    this.settle = (settled) => {
      bring(settled === null ? nothing : broughtOf(settled))
    }
  }

  /** The load, as the cache wants it. */
  load(): Promise<Brought<Content>> {
    if (this.#hasEnded) return Promise.resolve(nothing)
    this.#lead()
    return this.#brought
  }

  /** The request was answered without its handler. */
  end(): void {
    this.#hasEnded = true
  }
}

const nothing: Cached<null> = cached(null, { skip: true })

const broughtOf = <Content>({ content, ttlSeconds }: Settled<Content>): Brought<Content> =>
  ttlSeconds === null ? content : cached(content, { ttl: `${ttlSeconds}s` })
