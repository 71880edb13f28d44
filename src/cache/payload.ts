import { Packr } from 'msgpackr'

/** What the shared store keeps of an entry beside its tags: opaque to it. */
export interface Payload {
  readonly value: unknown
  readonly ttlMs: number
  readonly loadMs: number
  readonly tidemark: string | null
  /** Who loaded it. */
  readonly node: string
}

/** The first byte says how the rest is written; another number is another version's and is not read. */
const format = 1
const packr = new Packr({ structuredClone: true })

/**
 * Writes an entry for the shared store: MessagePack, in which dates, maps, sets, big integers, typed arrays and values
 * that occur twice come back as they were. Functions and classes do not.
 */
export function encodePayload({ value, ttlMs, loadMs, tidemark, node }: Payload): Buffer {
  return Buffer.concat([Buffer.of(format), packr.pack([value, ttlMs, loadMs, tidemark, node])])
}

/** Reads what {@link encodePayload} wrote; null for anything else. */
export function decodePayload(bytes: Uint8Array): Payload | null {
  if (bytes[0] !== format) return null
  try {
    const [value, ttlMs, loadMs, tidemark, node] = packr.unpack(bytes.subarray(1)) as PayloadParts
    return { value, ttlMs, loadMs, tidemark, node }
  } catch {
    return null
  }
}

type PayloadParts = [unknown, number, number, string | null, string]
