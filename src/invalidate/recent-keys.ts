/** What a key is made of: whose entry it is, undefined where nobody's, and what tells entries apart. */
export type KeyMaking<Made> = (
  id: string | number | bigint | undefined,
  params: readonly unknown[],
) => Made

interface Recent<Made> {
  readonly words: readonly unknown[]
  readonly made: Made
}

/** So many keys of a kind are kept at least, and twice as many at most; each takes about 300 bytes. */
const keptMin = 2_000

/** More words, and longer ones, make a key that is not for eyes any more, and that few ask for twice. */
const wordsMax = 32
const lengthMax = 100

/** What was asked for once lately, of so many: to remember what nobody asks for again takes longer than to make it. */
const onceMask = 4_095

/** Of FNV-1a. */
const prime = 0x01000193

/** What begins the names and values of an object: nothing that an argument can be. */
const fields = Symbol('fields')

/**
 * Makes keys, and remembers those that are asked for again soon: a text put together has to be read through before it is found in a
 * map, which takes longer than all else of a hit in memory.
 *
 * Guarantees: what it returns is what `make` returns for the same values, which are compared one by one, with their types.
 * What is no text, number, boolean, null, undefined, or plain object of such, is made each time.
 */
export function remembered<Made>(make: KeyMaking<Made>): KeyMaking<Made> {
  const words = new Words()
  let recent = new Map<number, Recent<Made>>()
  let former = recent
  const once = new Int32Array(onceMask + 1)
  return (id, params) => {
    if (!words.read(id, params)) return make(id, params)
    const { hash } = words
    const known = recent.get(hash)
    if (known !== undefined && words.are(known.words)) return known.made
    const before = former.get(hash)
    const isBefore = before !== undefined && words.are(before.words)
    if (!isBefore && once[hash & onceMask] !== hash) {
      once[hash & onceMask] = hash
      return make(id, params)
    }
    const found = isBefore ? before : madeOf(id, words.copied(), make)
    if (recent.size >= keptMin) {
      former = recent
      recent = new Map()
    }
    recent.set(hash, found)
    return found.made
  }
}

/** A property may be computed anew each time: the key is that of the words that were read. */
const madeOf = <Made>(
  id: Parameters<KeyMaking<Made>>[0],
  words: readonly unknown[],
  make: KeyMaking<Made>,
): Recent<Made> => ({ words, made: make(id, paramsOf(words)) })

/** The values that a key is made of, one after the other, in room that is used again. */
class Words {
  readonly #room: unknown[] = []
  #count = 0
  #hash = 0
  #turn = 0

  /** Where what was made of them is kept: of two that share it the later. */
  get hash(): number {
    return this.#hash >> 1
  }

  /** False: there is something among them that is not compared by its value, or there are many. */
  read(id: unknown, params: readonly unknown[]): boolean {
    const turn = (this.#turn += 1)
    this.#count = 0
    this.#hash = 0
    if (!this.#add(id)) return false
    for (const param of params) if (!this.#add(param) && !this.#addFields(param)) return false
    // A property that computes its value may have asked for a key meanwhile.
    return turn === this.#turn && this.#count <= wordsMax
  }

  are(others: readonly unknown[]): boolean {
    if (others.length !== this.#count) return false
    for (let at = 0; at < others.length; at += 1) if (others[at] !== this.#room[at]) return false
    return true
  }

  copied(): unknown[] {
    return this.#room.slice(0, this.#count)
  }

  #add(value: unknown): boolean {
    const hash = hashOf(value)
    if (hash === null) return false
    this.#hash = Math.imul(this.#hash ^ hash, prime)
    this.#room[this.#count++] = value
    return true
  }

  #addFields(value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false
    if (Object.getPrototypeOf(value) !== Object.prototype) return false
    const object = value as Readonly<Record<string, unknown>>
    const names = Object.keys(object)
    if (names.length > wordsMax) return false
    this.#room[this.#count++] = fields
    this.#room[this.#count++] = names.length
    for (const name of names) {
      this.#room[this.#count++] = name
      if (!this.#add(object[name])) return false
    }
    return true
  }
}

/** A number for a value that is compared by itself, NaN but by nothing; null for others. */
function hashOf(value: unknown): number | null {
  switch (typeof value) {
    case 'number':
      return value | 0
    case 'string':
      return value.length > lengthMax ? null : hashOfText(value)
    case 'boolean':
      return value ? 1 : 2
    case 'bigint':
      return Number(BigInt.asIntN(32, value))
    case 'undefined':
      return 3
    default:
      return value === null ? 4 : null
  }
}

/** Of some of its characters: all are compared anyway. */
function hashOfText(text: string): number {
  const { length } = text
  let hash = length
  const step = (length >> 3) + 1
  for (let at = length - 1; at >= 0; at -= step)
    hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  return hash
}

/** The arguments that words were read from. */
function paramsOf(words: readonly unknown[]): unknown[] {
  const params: unknown[] = []
  for (let at = 1; at < words.length; at += 1) {
    if (words[at] !== fields) {
      params.push(words[at])
      continue
    }
    const count = Number(words[at + 1])
    const entries = Array.from({ length: count }, (_, field): [string, unknown] => [
      String(words[at + 2 + 2 * field]),
      words[at + 3 + 2 * field],
    ])
    params.push(Object.fromEntries(entries))
    at += 1 + 2 * count
  }
  return params
}
