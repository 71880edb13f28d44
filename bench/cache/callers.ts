import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { createClient } from 'redis'
import { fileURLToPath } from 'node:url'
import { startRedis } from '../../test/support/redis.ts'
import type { Cost, Costs } from '../measure/interleave.ts'
import { costOf, loadMeter } from '../measure/interleave.ts'
import { peerNames } from '../peers/peers.ts'
import type { Measured } from './measures.ts'
import { linesOf } from './measures.ts'

const processes = 4
const callers = 250
/** Where the processes count their loads. */
const loadsKey = 'bench:loads'

const program = fileURLToPath(new URL('caller-process.ts', import.meta.url))

/**
 * How often a missing entry is loaded that 4 processes ask for at once, 250 callers each, over one Redis: by loads that bring it, and
 * by loads that fail.
 */
export async function measureCallers(): Promise<Measured> {
  const load = loadMeter()
  const what = `loads for ${processes} × ${callers} callers`
  const lines = [
    ...linesOf(what, 'loads', await costsOf('answers'), 'tidemark'),
    ...linesOf(`${what}, of a source that fails`, 'loads', await costsOf('fails'), 'tidemark'),
  ]
  return { lines, load: load() }
}

async function costsOf(source: 'answers' | 'fails'): Promise<Costs> {
  const costs = new Map<string, Cost>()
  for (const name of ['tidemark', ...peerNames])
    costs.set(name, costOf([await loadsOf(name, source)]))
  return costs
}

async function loadsOf(name: string, source: 'answers' | 'fails'): Promise<number> {
  const server = await startRedis()
  const words = [name, server.url, String(callers), source]
  const nodes = Array.from({ length: processes }, () => fork(program, words))
  await Promise.all(nodes.map((node) => Promise.race([once(node, 'message'), failed(node)])))
  for (const node of nodes) node.send('go')
  await Promise.all(nodes.map((node) => once(node, 'exit')))
  const client = await createClient({ url: server.url }).connect()
  const loads = Number(await client.get(loadsKey))
  client.destroy()
  await server.stop()
  return loads
}

async function failed(node: ChildProcess): Promise<never> {
  const [code] = (await once(node, 'exit')) as [number]
  throw new Error(`a process ended with ${code} before it was ready`)
}
