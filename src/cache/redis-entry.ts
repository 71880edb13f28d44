/**
 * What the cache keeps in Redis as bytes, read outside of it; `redis-scripts.ts` writes it and tells what stands where.
 */

/** Where the store stands. */
export interface StoredHead {
  readonly epoch: string
  readonly position: number
  /** Entries of positions before it count as removed. */
  readonly floor: number
}

/** The first line of an entry. */
export interface StoredHeader {
  readonly isExpired: boolean
  readonly epoch: string
  readonly at: number
  /** By the clock of the server, in milliseconds. */
  readonly leasedAt: number
  /** How many tags follow, a line each. */
  readonly tags: number
  /** Where the line ends. */
  readonly end: number
}

/** When a tag was last invalidated. */
export interface StoredTag {
  readonly removedAt: number
  readonly expiredAt: number
}

const lineBreak = 10
const blank = 32
const zero = 48

/** Reads `~head`. */
export function readHead(bytes: Buffer): StoredHead {
  const words = new Words(bytes, 0)
  return { epoch: words.text(), position: words.number(), floor: words.number() }
}

/** Reads the first line of an entry. */
export function readHeader(bytes: Buffer): StoredHeader {
  const words = new Words(bytes, 2)
  return {
    isExpired: bytes[0] === expired,
    epoch: words.text(),
    at: words.number(),
    leasedAt: words.number(),
    tags: words.number(),
    end: words.at - 1,
  }
}

/** Reads a tag. */
export function readTag(bytes: Buffer): StoredTag {
  const words = new Words(bytes, 0)
  return { removedAt: words.number(), expiredAt: words.number() }
}

/** What marks an entry that was expired by its key. */
const expired = 'x'.charCodeAt(0)

/** Reads one word after the other: to take a hit apart as text took as long as all else of it. */
class Words {
  readonly #bytes: Buffer
  /** Where the next one begins. */
  at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  text(): string {
    const from = this.at
    while (this.#isWithin()) this.at += 1
    this.at += 1
    return this.#bytes.toString('latin1', from, this.at - 1)
  }

  /** A whole number; NaN for what is none. */
  number(): number {
    let number = this.#isWithin() ? 0 : NaN
    for (; this.#isWithin(); this.at += 1)
      number = number * 10 + (this.#bytes[this.at] ?? NaN) - zero
    this.at += 1
    return number
  }

  #isWithin(): boolean {
    const byte = this.#bytes[this.at]
    return byte !== undefined && byte !== blank && byte !== lineBreak
  }
}
