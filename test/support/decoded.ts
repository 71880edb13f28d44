import type { Queryable } from '../../src/postgres/connection.ts'

/** What a subscriber of a publication is told of a row: `+` new, `~` it became, `-` gone; `0` the table was emptied. */
export interface Told {
  /** `public.sales`. */
  readonly table: string
  readonly sign: '+' | '~' | '-' | '0'
  /** The row as it is now; of one that went, what tells of it: its key, or all of it. */
  readonly values: Row
  /** The row as it was, where the replica identity is full and it changed. */
  readonly old: Row | null
}

type Row = readonly (string | null)[]

/**
 * What a logical slot has of a publication, and moves the slot on. Reads what plugin `pgoutput` writes in version 1 of its
 * protocol: the letter of the message, the oid of the table, rows field by field.
 */
export async function toldBy(
  queryable: Queryable,
  slot: string,
  publication: string,
): Promise<readonly Told[]> {
  // Decoding goes as far as what is on disk, and tests commit without waiting for that.
  await queryable.query(
    `begin; set local synchronous_commit = on; select pg_logical_emit_message(true, '', ''); commit`,
  )
  const rows = await queryable.query<{ data: string }>(
    `select encode(data, 'hex') as data
     from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)`,
    [slot, publication],
  )
  const tables = new Map<number, string>()
  return rows.flatMap(({ data }) => messageOf(Buffer.from(data, 'hex'), tables))
}

const signs: Readonly<Record<string, Told['sign']>> = { I: '+', U: '~', D: '-' }

function messageOf(message: Buffer, tables: Map<number, string>): readonly Told[] {
  const letter = letterAt(message, 0)
  if (letter === 'R') {
    const schema = textAt(message, 5)
    const name = textAt(message, schema.end)
    tables.set(message.readUInt32BE(1), `${schema.text}.${name.text}`)
    return []
  }
  if (letter === 'T') {
    const oids = Array.from({ length: message.readUInt32BE(1) }, (_, at) => 6 + 4 * at)
    return oids.map((at) => ({
      table: tables.get(message.readUInt32BE(at)) ?? '',
      sign: '0',
      values: [],
      old: null,
    }))
  }
  const sign = signs[letter]
  if (sign === undefined) return []
  const table = tables.get(message.readUInt32BE(1)) ?? ''
  const first = tupleAt(message, 6)
  // An update may tell the old row, or its key, before the new one.
  const before = letter === 'U' ? letterAt(message, 5) : ''
  if (before !== 'O' && before !== 'K') return [{ table, sign, values: first.values, old: null }]
  const { values } = tupleAt(message, first.end + 1)
  return [{ table, sign, values, old: before === 'O' ? first.values : null }]
}

const letterAt = (message: Buffer, at: number): string => String.fromCharCode(message[at] ?? 0)

function textAt(message: Buffer, start: number): { readonly text: string; readonly end: number } {
  const zero = message.indexOf(0, start)
  return { text: message.toString('utf8', start, zero), end: zero + 1 }
}

function tupleAt(message: Buffer, start: number): { readonly values: Row; readonly end: number } {
  const values: (string | null)[] = []
  let at = start + 2
  for (let i = 0; i < message.readUInt16BE(start); i += 1) {
    const kind = letterAt(message, at)
    at += 1
    if (kind !== 't') {
      values.push(null)
      continue
    }
    const length = message.readUInt32BE(at)
    values.push(message.toString('utf8', at + 4, at + 4 + length))
    at += 4 + length
  }
  return { values, end: at }
}
