import type { DurationText } from '../../define/config/tidemark-config.ts'
import type { DependsOn } from '../../invalidate/dependency.ts'

/** Whose response it is. */
export type Tenant = string | number | bigint

/** What is said of the responses of a route; functions get what its handler gets. */
export interface ResponseOptions<Context extends readonly unknown[]> {
  /** How long a response is fresh, if nothing invalidates it and its handler does not say it in `Cache-Control`. */
  readonly ttl?: DurationText
  /** What in the database responses depend on. `{ quotes: 'tenant_id' }`: rows of the tenant. */
  readonly dependsOn?: DependsOn<readonly [tenant: Tenant]>
  /** Names by which responses can be invalidated together. */
  readonly tags?: readonly string[] | ((...context: Context) => readonly string[])
  /**
   * Whose response it is: part of the key. Where it says null or undefined the response is not kept, nor is one to a
   * request with credentials where this is left out.
   */
  readonly tenant?: (...context: Context) => Tenant | null | undefined
  /** What tells responses of a tenant apart. Default: method, host, path and query. */
  readonly key?: (...context: Context) => unknown
  /** Request headers that the response depends on: parts of the key, named in `Vary`. */
  readonly vary?: readonly string[]
  /** Request headers that say who asks, beside `authorization` and `cookie`. */
  readonly credentials?: readonly string[]
  /** How long browsers may use it without asking: no invalidation reaches them. Default: they ask each time, and get a 304. */
  readonly browserTtl?: DurationText
  /** Longer bodies are not kept. Default: 1 MiB. */
  readonly bodyBytesMax?: number
  /** Nobody waits longer for another one's response; he has his own made then. Default `'10s'`. */
  readonly hardTimeout?: DurationText
  /** Names the version of the handler: another one does not answer with what this one made. */
  readonly version?: string
}

/** A request, as every framework can tell it. */
export interface AskedRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly header: (name: string) => string | undefined
}
