import type { AskedRequest } from './response-options.ts'

/** What of a request of Node's `http` is used. */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** The URL before a router has cut its own path off. */
  readonly originalUrl?: string | undefined
  readonly headers: Record<string, string | string[] | undefined>
  readonly params?: Readonly<Record<string, unknown>>
}

/** What of a response of Node's `http` is used. */
export interface NodeResponse {
  statusCode: number
  readonly headersSent: boolean
  getHeaders(): Readonly<Record<string, number | string | readonly string[] | undefined>>
  setHeader(name: string, value: string | readonly string[]): unknown
  removeHeader(name: string): void
  writeHead(status: number, ...rest: unknown[]): unknown
  write(...chunk: unknown[]): boolean
  end(...chunk: unknown[]): unknown
  once(event: 'close', listener: () => void): unknown
}

/** A request, as the cache asks about it; its headers as they are now. */
export function askedOf({
  method = 'GET',
  originalUrl,
  url = '/',
  headers,
}: Omit<NodeRequest, 'params'>): AskedRequest {
  const now = { ...headers }
  return {
    method,
    target: originalUrl ?? url,
    header: (name) => {
      const value = now[name]
      return typeof value === 'object' ? value.join(', ') : value
    },
  }
}
