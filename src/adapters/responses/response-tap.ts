import { ofBody } from './answering.ts'
import type { NodeResponse } from './node-messages.ts'

/** What is done when a response is about to end. */
export interface Ending {
  /** Whether its body is not to be sent. */
  readonly isEmpty: boolean
  readonly ended: () => void
}

/**
 * Looks on while a response of Node is written. `ending` is called when the last of it is there, before that is sent, with the
 * body; null: it is longer than `bytesMax`.
 */
export function tap(
  response: NodeResponse,
  bytesMax: number,
  ending: (body: Uint8Array | null) => Ending,
): void {
  const write = response.write.bind(response)
  const end = response.end.bind(response)
  const writeHead = response.writeHead.bind(response)
  let chunks: Uint8Array[] | null = []
  let bytes = 0
  const take = ([chunk, encoding]: readonly unknown[]): void => {
    const part = bytesOf(chunk, encoding)
    bytes += part.length
    if (bytes > bytesMax) chunks = null
    chunks?.push(part)
  }
  response.writeHead = (status, ...rest) => {
    setHeaders(response, rest)
    const message = rest.filter((each) => typeof each === 'string')
    return writeHead(status, ...message)
  }
  response.write = (...chunk) => {
    take(chunk)
    return write(...chunk)
  }
  response.end = (...chunk) => {
    Object.assign(response, { write, end })
    take(chunk)
    const { isEmpty, ended } = ending(chunks && Buffer.concat(chunks))
    const callback = chunk.filter((each) => typeof each === 'function')
    try {
      return end(...(isEmpty ? callback : chunk))
    } finally {
      ended()
    }
  }
}

/** Has a response that is answered with 200 be a 304 when its head is written; Node sends no body with that. */
export function asNotModified(response: NodeResponse): void {
  const writeHead = response.writeHead.bind(response)
  response.writeHead = (status, ...rest) => {
    if (status !== 200) return writeHead(status, ...rest)
    setHeaders(response, rest)
    for (const name of ofBody) response.removeHeader(name)
    return writeHead(304)
  }
}

/** Sets the headers that `writeHead` was given. */
function setHeaders(response: NodeResponse, rest: readonly unknown[]): void {
  const last = rest.at(-1)
  const given = typeof last === 'object' && last !== null ? headersOf(last) : []
  for (const [name, value] of given) response.setHeader(name, value)
}

function bytesOf(chunk: unknown, encoding: unknown): Uint8Array {
  if (typeof chunk === 'string') {
    return Buffer.from(chunk, isEncoding(encoding) ? encoding : 'utf8')
  }
  // What is written may be the writer's again afterwards.
  return chunk instanceof Uint8Array ? Uint8Array.from(chunk) : new Uint8Array()
}

const isEncoding = (encoding: unknown): encoding is BufferEncoding =>
  typeof encoding === 'string' && Buffer.isEncoding(encoding)

/** Headers as `writeHead` takes them: an object, a flat list, or a list of pairs. */
function headersOf(given: object): [name: string, value: string | readonly string[]][] {
  const pairs: readonly unknown[][] = !Array.isArray(given)
    ? Object.entries(given)
    : Array.isArray(given[0])
      ? given
      : given.flatMap((name: unknown, at) => (at % 2 === 0 ? [[name, given[at + 1]]] : []))
  return pairs.map(([name, value]) => [
    String(name),
    Array.isArray(value) ? value.map(String) : String(value),
  ])
}
