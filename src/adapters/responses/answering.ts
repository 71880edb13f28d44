import type { AnswerState } from '../../model/answer.ts'
import { durationMs } from '../../engine/caches/settings.ts'
import type { AskedRequest, ResponseOptions } from './response-options.ts'
import type { StoredResponse } from './stored-response.ts'

/** Which way a request was answered. */
export type WayTaken =
  | { readonly kind: 'kept'; readonly ageMs: number; readonly state: AnswerState }
  | { readonly kind: 'made'; readonly keeps: boolean }

/** What is to be sent: the headers beside those that are set already. */
export interface Sending {
  readonly status: 200 | 304
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** What a response says of itself to those beyond the cache. */
export interface Policy {
  readonly cacheControl: string
  readonly keyed: readonly string[]
}

/** The policy of a route. @throws TidemarkError TIDEMARK_CACHE_INVALID for a duration that is none. */
export function policyOf(
  name: string,
  { tenant, browserTtl, vary = [] }: ResponseOptions<never>,
): Policy {
  const ms = durationMs(browserTtl ?? 0, `cacheResponse('${name}').browserTtl`)
  const whose = tenant === undefined ? 'public' : 'private'
  const howLong = ms === 0 ? 'no-cache' : `max-age=${Math.floor(ms / 1_000)}`
  return { cacheControl: `${whose}, ${howLong}`, keyed: vary }
}

/**
 * How a response that may be kept is sent: with its entity tag, its age if it was kept, and as a 304 without a body to
 * whom has it already. What it varies by as it is, by the headers that are `present`, it goes on varying by.
 */
export function sendingOf(
  { headers, etag }: StoredResponse,
  policy: Policy,
  {
    asked,
    way,
    present,
  }: {
    readonly asked: AskedRequest
    readonly way: WayTaken
    readonly present: Readonly<Record<string, unknown>>
  },
): Sending {
  const of = (name: string): string | undefined => headers.find(([each]) => each === name)?.[1]
  const sent: (readonly [string, string | undefined])[] = [
    ['etag', etag ?? undefined],
    ['cache-control', of('cache-control') ?? policy.cacheControl],
    ['vary', varyOf([of('vary'), ...policy.keyed], present['vary'])],
    ['age', way.kind === 'kept' ? String(Math.floor(way.ageMs / 1_000)) : undefined],
    ['cache-status', cacheStatus(way)],
  ]
  return {
    status: matches(asked.header('if-none-match'), etag) ? 304 : 200,
    headers: sent.filter((each): each is [string, string] => Boolean(each[1])),
  }
}

function varyOf(own: readonly (string | undefined)[], present: unknown): string | undefined {
  const names = own.filter((each) => each !== undefined)
  if (names.length === 0) return undefined
  const others = [present].flat().filter((each) => typeof each === 'string')
  return [
    ...new Set(
      [...others, ...names]
        .join(',')
        .toLowerCase()
        .split(/\s*,\s*/),
    ),
  ].join(', ')
}

/** What became of a request, as RFC 9211 says it. */
export function cacheStatus(way: WayTaken): string {
  if (way.kind === 'made') return way.keeps ? 'tidemark; fwd=miss' : 'tidemark; fwd=bypass'
  return way.state === 'fallback' ? 'tidemark; hit; detail=fallback' : 'tidemark; hit'
}

/** Headers that say of a body what a 304 does not have. */
export const ofBody: readonly string[] = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
]

/** Whether a client has this content already; weak tags compare by what they mark (RFC 9110, 13.1.2). */
function matches(ifNoneMatch: string | undefined, etag: string | null): boolean {
  if (ifNoneMatch === undefined || etag === null) return false
  if (ifNoneMatch.trim() === '*') return true
  const plain = (tag: string): string => tag.replace(/^W\//, '')
  const tags = ifNoneMatch.match(/(W\/)?"[^"]*"/g) ?? []
  return tags.some((tag) => plain(tag) === plain(etag))
}
