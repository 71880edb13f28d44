import { createServer } from 'node:http'
import type { TestProject } from 'vitest/node'
import type { ServerName } from './servers.ts'
import { Servers, serverNames, sweepServers } from './servers.ts'

declare module 'vitest' {
  /** What the global set-up hands to every test. */
  export interface ProvidedContext {
    /** The server that tests use unless they ask for another. */
    readonly serverName: ServerName
    /** Asking `<serversUrl>/<name>` starts a server if need be and answers its URL. */
    readonly serversUrl: string
  }
}

/**
 * Starts the default server of the project and lets tests ask for others: tests run in workers that come and go,
 * the servers belong to this process.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweepServers()
  const servers = new Servers()
  const desk = createServer((request, response) => {
    const name = serverNames.find((known) => `/${known}` === request.url)
    const answer =
      name === undefined ? Promise.reject(new Error('no such server')) : servers.url(name)
    answer.then(
      (url) => response.end(url),
      (error: unknown) => {
        response.statusCode = 500
        response.end(String(error))
      },
    )
  })
  // A test must not meet a connection in the instant in which it is closed for having been idle.
  desk.keepAliveTimeout = 3_600_000
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve))
  const address = desk.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const serverName = project.name === 'pg15' ? '15-debian' : '18'
  project.provide('serverName', serverName)
  project.provide('serversUrl', `http://127.0.0.1:${port}`)
  await servers.url(serverName)
  return async () => {
    desk.closeAllConnections()
    await new Promise((resolve) => desk.close(resolve))
    await servers.stop()
  }
}
