import { readHead, readHeader, readTag } from './redis-entry.ts'
import type { RedisLink } from './redis-link.ts'
import { listOf, textOf } from './redis-link.ts'

/** An entry of a namespace, as Redis has it. */
export interface StoredKey {
  readonly key: string
  /** `removed`: it is there and is not served any more. */
  readonly state: 'fresh' | 'expired' | 'removed'
  /** Milliseconds since its load began. */
  readonly ageMs: number
  /** Milliseconds until Redis forgets it. */
  readonly ttlMs: number
  readonly bytes: number
  readonly tags: readonly string[]
}

const scanCount = 1_000

/**
 * The entries of a namespace whose keys match a glob, in the order of their keys, at most `limit`. Reads only, a part at a
 * time: what changes meanwhile may be there or not.
 */
export async function storedKeys(
  link: RedisLink,
  { namespace, glob, limit }: { namespace: string; glob: string; limit: number },
): Promise<StoredKey[]> {
  const found: StoredKey[] = []
  let cursor = '0'
  do {
    const match = ['match', `${escaped(namespace)}:${glob}`, 'count', String(scanCount)]
    const [next, keys] = listOf(await link.send(['scan', cursor, ...match]))
    cursor = textOf(next)
    for (const key of listOf(keys).map(textOf)) {
      if (key.startsWith(`${namespace}:~`)) continue
      const entry = await readKey(link, namespace, key)
      if (entry !== null) found.push(entry)
      if (found.length >= limit) cursor = '0'
      if (found.length >= limit) break
    }
  } while (cursor !== '0')
  return found.sort((left, right) => (left.key < right.key ? -1 : 1))
}

async function readKey(link: RedisLink, namespace: string, key: string): Promise<StoredKey | null> {
  const entry = await link.send(['get', key]).catch(() => null)
  if (!Buffer.isBuffer(entry)) return null
  const header = readHeader(entry)
  if (Number.isNaN(header.tags)) return null
  const tags = entry
    .subarray(header.end + 1)
    .toString()
    .split('\n', header.tags)
  const [head, ...known] = listOf(
    await link.send([
      'mget',
      `${namespace}:~head`,
      ...tags.map((tag) => `${namespace}:~tag:${tag}`),
    ]),
  )
  const [seconds, micros] = listOf(await link.send(['time'])).map(Number)
  const { epoch, floor } = readHead(Buffer.isBuffer(head) ? head : Buffer.of())
  const places = known.map((tag) => (Buffer.isBuffer(tag) ? readTag(tag) : null))
  const removed =
    header.epoch !== epoch ||
    header.at < floor ||
    places.some((place) => place === null || place.removedAt > header.at)
  const expired =
    header.isExpired || places.some((place) => place !== null && place.expiredAt > header.at)
  return {
    key,
    state: removed ? 'removed' : expired ? 'expired' : 'fresh',
    ageMs: Math.round((seconds ?? 0) * 1_000 + (micros ?? 0) / 1_000 - header.leasedAt),
    ttlMs: Number(await link.send(['pttl', key])),
    bytes: entry.length,
    tags,
  }
}

/** A text in which nothing is a sign of a glob. */
const escaped = (text: string): string => text.replaceAll(/[*?[\]\\]/g, '\\$&')
