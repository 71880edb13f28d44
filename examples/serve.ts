import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** Serves a handler of `Request` over Node's own server, so that an example needs no framework; resolves when it listens. */
export async function serve(
  handler: (request: Request) => Promise<Response>,
  port: number,
): Promise<void> {
  const server = createServer((incoming, outgoing) => {
    answer(handler, incoming, outgoing).catch((error: unknown) => {
      outgoing.writeHead(500).end(String(error))
    })
  })
  await once(server.listen(port), 'listening')
}

async function answer(
  handler: (request: Request) => Promise<Response>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = incoming
  const body = await buffer(incoming)
  const fields = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  )
  const response = await handler(
    new Request(new URL(url, `http://${headers.host ?? 'localhost'}`), {
      method,
      headers: fields,
      ...(body.length === 0 ? {} : { body }),
    }),
  )
  outgoing
    .writeHead(response.status, Object.fromEntries(response.headers))
    .end(Buffer.from(await response.arrayBuffer()))
}
