import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'

/** A way to a server that a test can cut in the ways that networks are cut. */
export interface CuttableNetwork {
  /** The same database by this way. */
  readonly url: string
  /** Connections stay open and nothing gets through any more, for ever; new ones hang too. */
  readonly freeze: () => void
  /** Connections are reset; new ones are refused at once. */
  readonly cut: () => void
  /** New connections get through. Frozen ones stay as they are: nobody remembers them. */
  readonly mend: () => void
  /** Connections are reset; new ones get through to another server. */
  readonly leadTo: (url: string) => void
  /** Connections that were made so far. */
  readonly made: () => number
  readonly close: () => Promise<void>
}

/** Opens such a way to the server of a URL. */
export async function cuttableNetwork(url: string): Promise<CuttableNetwork> {
  let target = new URL(url)
  let state: 'whole' | 'frozen' | 'cut' = 'whole'
  let made = 0
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    made += 1
    if (state === 'cut') {
      near.resetAndDestroy()
      return
    }
    keep(near, sockets)
    if (state === 'frozen') return
    const far = connect(Number(target.port), target.hostname)
    keep(far, sockets)
    near.pipe(far)
    far.pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const through = new URL(url)
  through.port = String(typeof address === 'object' && address !== null ? address.port : 0)
  return {
    url: through.href,
    freeze() {
      state = 'frozen'
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
        // Neither side hears that the other has gone.
        socket.removeAllListeners('close')
        socket.removeAllListeners('end')
      }
    },
    cut() {
      state = 'cut'
      for (const socket of sockets) socket.resetAndDestroy()
    },
    mend() {
      state = 'whole'
    },
    leadTo(other) {
      target = new URL(other)
      for (const socket of sockets) socket.resetAndDestroy()
    },
    made: () => made,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function keep(socket: Socket, sockets: Set<Socket>): void {
  sockets.add(socket)
  socket.on('error', () => undefined)
  socket.on('close', () => sockets.delete(socket))
}
