import { createHash } from 'node:crypto'

/** A response as it is kept. */
export interface StoredResponse {
  /** What the handler itself has set, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array
  /** Null: of a HEAD without a body, whose GET would have one. */
  readonly etag: string | null
}

/** What a handler has made. */
export interface MadeResponse {
  readonly status: number
  readonly headers: Iterable<readonly [name: string, value: string]>
  readonly body: Uint8Array
}

/** A response that may be kept, and for how long if the handler has said so. */
export interface Storable {
  readonly response: StoredResponse
  readonly ttlSeconds: number | null
}

/** They are of one connection or of one sending, not of the content. */
const notOfContent = new Set([
  'age',
  'cache-status',
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const aYear = 365 * 24 * 60 * 60

/**
 * What of a response may be kept; null: nothing.
 *
 * Guarantees: only what answers 200, sets no cookie, does not forbid it (`no-store`, `no-cache`, `private`, `max-age=0`), and
 * varies by nothing but the headers in `keyed`, which are part of the key.
 */
export function storable(made: MadeResponse, keyed: readonly string[]): Storable | null {
  if (made.status !== 200) return null
  const headers = [...made.headers].map(([name, value]) => [name.toLowerCase(), value] as const)
  if (headers.some(([name]) => name === 'set-cookie')) return null
  const varies = listOf(headers, 'vary')
  if (!varies.every((name) => keyed.includes(name))) return null
  const ttlSeconds = permittedSeconds(listOf(headers, 'cache-control'))
  if (ttlSeconds === 0) return null
  const etag = headers.find(([name]) => name === 'etag')?.[1] ?? etagOf(made.body)
  const kept = headers.filter(([name]) => !notOfContent.has(name) && name !== 'etag')
  return { response: { headers: kept, body: made.body, etag }, ttlSeconds }
}

/** The entity tag of a content; a weak one, for whoever compresses it further on changes its bytes and not its meaning. */
function etagOf(body: Uint8Array): string | null {
  if (body.length === 0) return null
  return `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`
}

/** For how long a handler permits its response to be kept; 0: not at all; null: it does not say. */
function permittedSeconds(directives: readonly string[]): number | null {
  if (directives.some((directive) => /^(no-store|no-cache|private)\b/.test(directive))) return 0
  const seconds = (name: string): number | null => {
    const [, digits] =
      directives.map((each) => RegExp(`^${name}="?(\\d+)`).exec(each)).find(Boolean) ?? []
    return digits === undefined ? null : Math.min(Number(digits), aYear)
  }
  return seconds('s-maxage') ?? seconds('max-age')
}

const listOf = (headers: readonly (readonly [string, string])[], name: string): readonly string[] =>
  headers
    .filter(([each]) => each === name)
    .flatMap(([, value]) => value.split(','))
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '')

/** What forbids keeping a response, whoever has set it. */
const ofEverybody = ['cache-control', 'set-cookie', 'vary']

/** Headers of a response that its handler has set, and those by which anybody may forbid that it is kept. */
export function ownHeaders(
  headers: Readonly<Record<string, unknown>>,
  inherited: Readonly<Record<string, unknown>>,
): [name: string, value: string][] {
  return Object.entries(headers)
    .filter(([, value]) => value !== undefined)
    .filter(([name, value]) => ofEverybody.includes(name) || value !== inherited[name])
    .map(([name, value]) => [name, String(value)])
}
