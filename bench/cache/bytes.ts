import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { costOf, loadMeter } from '../measure/interleave.ts'
import { peerNames } from '../peers/peers.ts'
import type { Measured } from './measures.ts'
import { linesOf } from './measures.ts'

const program = fileURLToPath(new URL('bytes-process.ts', import.meta.url))
const subjects = ['lru-cache', 'tidemark', 'tidemark, 2 tags', ...peerNames]
const rounds = 1

/** What an entry takes of the heap, in a process of its own with 100,000 of them; keys and values are the same for all. */
export async function measureBytes(): Promise<Measured> {
  const load = loadMeter()
  const found = new Map<string, number[]>(subjects.map((subject) => [subject, []]))
  for (let round = 0; round < rounds; round += 1)
    for (const subject of subjects) found.get(subject)?.push(await bytesOf(subject))
  const costs = new Map([...found].map(([subject, each]) => [subject, costOf(each)]))
  return { lines: linesOf('memory of an entry', 'bytes', costs, 'lru-cache'), load: load() }
}

async function bytesOf(subject: string): Promise<number> {
  const words = ['--expose-gc', '--import', 'jiti/register', program, subject]
  const { stdout } = await promisify(execFile)(process.execPath, words)
  return Number(stdout)
}
