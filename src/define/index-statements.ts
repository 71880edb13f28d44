import { askedIndexName } from '../model/names.ts'
import { identifier, qualified } from '../postgres/identifier.ts'

/** An index of a table that may have what is wanted. */
export interface FoundIndex {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly valid: boolean
  /** The index of the parent table that it is a part of. */
  readonly attachedTo: number | null
  /** Somebody is making it at this moment. */
  readonly beingMade: boolean
}

/** A table, or a table that is a part of it, with its indexes of the wanted definition. */
export interface IndexedTable {
  readonly oid: number
  readonly parent: number | null
  readonly schema: string
  readonly name: string
  readonly kind: 'table' | 'partitioned' | 'foreign'
  readonly indexes: readonly FoundIndex[]
}

/** A statement, and whether it must run outside of any transaction; writers wait behind none that must. */
export interface IndexStatement {
  readonly sql: string
  readonly concurrently: boolean
}

/** The index of a table: one that is there, or the name of the one to make. */
interface Chosen {
  readonly table: IndexedTable
  readonly found: FoundIndex | null
  /** As SQL. */
  readonly name: string
}

/**
 * What is left to do until a table, the first of `tables`, has a valid index on `columns`; nothing when it has one.
 *
 * An invalid index of our name is what an attempt that was broken off has left: of a table it is dropped and made anew,
 * of a partitioned one it waits for those of its parts, for which it is made first, alone, and then each is attached to it.
 */
export function indexStatements(
  tables: readonly IndexedTable[],
  columns: readonly string[],
): readonly IndexStatement[] {
  const chosen = new Map<number, Chosen>()
  for (const table of tables) {
    const above = table.parent === null ? undefined : chosen.get(table.parent)
    chosen.set(table.oid, chosenOf(table, columns, above?.found ?? null))
  }
  const all = [...chosen.values()]
  if (all[0]?.found?.valid === true) return []
  return [
    ...all.flatMap((one) => making(one, columns)),
    ...all.toReversed().flatMap((one) => attaching(one, chosen)),
  ]
}

function chosenOf(
  table: IndexedTable,
  columns: readonly string[],
  above: FoundIndex | null,
): Chosen {
  const name = askedIndexName(table.name, columns)
  const usable = table.indexes.filter(
    (index) =>
      (index.valid || (table.kind === 'partitioned' && index.name === name)) &&
      (index.attachedTo === null || index.attachedTo === above?.oid),
  )
  // One that hangs on the index above already must be the one.
  const found = usable.find(({ attachedTo }) => attachedTo !== null) ?? usable[0] ?? null
  return { table, found, name: qualified(table.schema, found?.name ?? name) }
}

function making({ table, found }: Chosen, columns: readonly string[]): readonly IndexStatement[] {
  if (found !== null) return []
  const name = askedIndexName(table.name, columns)
  const on = `${qualified(table.schema, table.name)} (${columns.join(', ')})`
  if (table.kind === 'partitioned') {
    return [{ sql: `create index ${identifier(name)} on only ${on}`, concurrently: false }]
  }
  const left = table.indexes.filter((index) => !index.valid && index.name === name)
  return [
    ...left.map((index) => ({
      sql: `drop index concurrently ${qualified(index.schema, index.name)}`,
      concurrently: true,
    })),
    {
      sql: `create index concurrently ${identifier(name)} on ${on}`,
      concurrently: true,
    },
  ]
}

function attaching(
  { table, found, name }: Chosen,
  chosen: ReadonlyMap<number, Chosen>,
): readonly IndexStatement[] {
  const above = table.parent === null ? undefined : chosen.get(table.parent)
  if (above === undefined || (found?.attachedTo ?? null) !== null) return []
  return [{ sql: `alter index ${above.name} attach partition ${name}`, concurrently: false }]
}
