import type { Queryable } from '../../src/postgres/connection.ts'

/** What a subscriber of a publication is told of a row: `+` new, `~` as it became, `-` gone; `0` the table was emptied. */
export interface Told {
  readonly sign: '+' | '~' | '-' | '0'
  readonly values: readonly (string | null)[]
}

/**
 * Changes that a logical slot has of a table, and moves the slot on. Reads what plugin `pgoutput` writes in version 1 of
 * its protocol: the letter of the message, the oid of the table, rows field by field.
 */
export async function toldBy(
  queryable: Queryable,
  { slot, publication, table }: { slot: string; publication: string; table: string },
): Promise<readonly Told[]> {
  // Decoding goes as far as what is on disk, and tests commit without waiting for that.
  await queryable.query(
    `begin; set local synchronous_commit = on; select pg_logical_emit_message(true, '', ''); commit`,
  )
  const rows = await queryable.query<{ data: string; oid: number }>(
    `select encode(data, 'hex') as data, $3::regclass::oid::int8 as oid
     from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)`,
    [slot, publication, table],
  )
  return rows.flatMap(({ data, oid }) => messageOf(Buffer.from(data, 'hex'), oid))
}

const signs: Readonly<Record<string, Told['sign']>> = { I: '+', U: '~', D: '-' }

function messageOf(message: Buffer, oid: number): readonly Told[] {
  const letter = String.fromCharCode(message[0] ?? 0)
  if (letter === 'T') return [{ sign: '0', values: [] }]
  const sign = signs[letter]
  if (sign === undefined || message.readUInt32BE(1) !== oid) return []
  const first = tupleAt(message, 6)
  // An update may tell the old row, or its key, before the new one.
  const isOld = letter === 'U' && ['K', 'O'].includes(String.fromCharCode(message[5] ?? 0))
  return [{ sign, values: (isOld ? tupleAt(message, first.end + 1) : first).values }]
}

function tupleAt(
  message: Buffer,
  start: number,
): { readonly values: readonly (string | null)[]; readonly end: number } {
  const values: (string | null)[] = []
  let at = start + 2
  for (let i = 0; i < message.readUInt16BE(start); i += 1) {
    const kind = String.fromCharCode(message[at] ?? 0)
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
