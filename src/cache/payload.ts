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

/**
 * The first byte says how the rest is written; another number is another version's and is not read. Objects that are written as
 * maps are read sooner where each has a shape of its own, and cannot be told from maps.
 */
const format = { records: 1, maps: 2 } as const
const behindFormat = { start: 1 }
const records = new Packr({ structuredClone: true })
const maps = new Packr({ useRecords: false })

/**
 * Writes an entry for the shared store: MessagePack, in which dates, maps, sets, big integers, typed arrays and values
 * that occur twice come back as they were. What does not is told by {@link changedPart}.
 */
export function encodePayload({ value, ttlMs, loadMs, tidemark, node }: Payload): Buffer {
  const parts: PayloadParts = [value, ttlMs, loadMs, tidemark, node]
  return isSimple(value, new Set())
    ? Buffer.concat([Buffer.of(format.maps), maps.pack(parts)])
    : Buffer.concat([Buffer.of(format.records), records.pack(parts)])
}

/**
 * The first part of a value that {@link encodePayload} would write as something else, in words: `an instance of Decimal at 0.price`.
 * Null where all comes back as it is. A list comes back as a plain one, whatever it has beside its elements: results of
 * drivers are such.
 */
export function changedPart(value: unknown): string | null {
  const found = changedIn(value, new Set())
  if (found === null) return null
  const [what, ...path] = found
  return path.length === 0 ? what : `${what} at ${path.join('.')}`
}

/** What it is, and the names on the way to it, which are put together only when there is one. */
function changedIn(value: unknown, seen: Set<object>): readonly [string, ...string[]] | null {
  if (typeof value === 'function' || typeof value === 'symbol') return [`a ${typeof value}`]
  if (typeof value !== 'object' || value === null || seen.has(value)) return null
  seen.add(value)
  const parts = partsOf(value)
  if (parts === null) return isPackedWhole(value) ? null : [`an instance of ${classOf(value)}`]
  if (Object.hasOwn(value, '__proto__')) return ['a property named __proto__']
  for (const [name, part] of parts) {
    const found = changedIn(part, seen)
    if (found !== null) return [found[0], String(name), ...found.slice(1)]
  }
  return null
}

/** Any object may have no constructor, or something else of that name. */
function classOf(value: object): string {
  const { constructor } = value as { readonly constructor?: unknown }
  return typeof constructor === 'function' ? constructor.name : 'a class'
}

/** What a value is put together of, each with its name. Null: it is not put together of values. */
function partsOf(value: object): Iterable<readonly [unknown, unknown]> | null {
  if (Array.isArray(value)) return value.entries()
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return Object.entries(value)
  if (prototype === Set.prototype) return (value as Set<unknown>).entries()
  if (prototype !== Map.prototype) return null
  return [...(value as Map<unknown, unknown>)].flatMap(([name, part]) => [
    [name, name],
    [name, part],
  ])
}

/** What is written by a rule of its own, and has no parts to look at. Of a class that extends one of these, the rule makes the plain one. */
function isPackedWhole(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Date.prototype || prototype === RegExp.prototype) return true
  if (prototype === ArrayBuffer.prototype || prototype === Buffer.prototype) return true
  return value instanceof Error || (ArrayBuffer.isView(value) && !Buffer.isBuffer(value))
}

/** Reads what {@link encodePayload} wrote; null for anything else. */
export function decodePayload(bytes: Uint8Array): Payload | null {
  const how = bytes[0]
  if (how !== format.maps && how !== format.records) return null
  try {
    const parts = (how === format.maps ? maps : records).unpack(bytes, behindFormat) as PayloadParts
    return {
      value: parts[0],
      ttlMs: parts[1],
      loadMs: parts[2],
      tidemark: parts[3],
      node: parts[4],
    }
  } catch {
    return null
  }
}

/** Whether a value is as JSON has it, nothing in it occurs twice, and no list has several objects, whose shape would be told but once. */
function isSimple(value: unknown, seen: Set<object>): boolean {
  if (value === null) return true
  if (typeof value !== 'object') return simpleTypes.has(typeof value)
  if (seen.has(value)) return false
  seen.add(value)
  if (Array.isArray(value)) {
    const objects = value.filter((part) => typeof part === 'object' && part !== null)
    return objects.length < 2 && value.every((part) => isSimple(part, seen))
  }
  return (
    Object.getPrototypeOf(value) === Object.prototype &&
    Object.entries(value).every(([name, part]) => name !== '__proto__' && isSimple(part, seen))
  )
}

const simpleTypes = new Set(['string', 'number', 'boolean'])

type PayloadParts = [unknown, number, number, string | null, string]
