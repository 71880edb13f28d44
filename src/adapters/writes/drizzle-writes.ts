import type { RowPart, TableWrite } from '../../invalidate/table-write.ts'
import { known, updatedRows } from './row-parts.ts'

/** A column of Drizzle. */
interface Column {
  readonly table: object
  readonly onUpdateFn?: unknown
  readonly mapToDriverValue: (value: unknown) => unknown
}

/** What a statement was built from, as far as it is read here. */
interface Configuration {
  readonly table: object
  /** Of an INSERT: its rows, by field; of one from a query something else. */
  readonly values?: unknown
  readonly set?: Fields
  readonly where?: unknown
  readonly from?: unknown
  readonly joins?: readonly unknown[]
  readonly onConflict?: unknown
  readonly returning?: readonly { readonly path: readonly string[]; readonly field: unknown }[]
  readonly withList?: readonly { readonly _: { readonly sql: object } }[]
}

type Fields = Readonly<Record<string, unknown>>
type Build = (configuration: Configuration) => object

/** What builds the SQL of a database of Drizzle, as far as it is used here. */
export interface DrizzleDialect {
  readonly casing: { getColumnCasing(column: Column): string }
  sqlToQuery: (sql: object, ...rest: unknown[]) => object
  buildSelectQuery: Build
  buildInsertQuery: Build
  buildUpdateQuery: Build
  buildDeleteQuery: Build
}

const builders = {
  buildSelectQuery: 'select',
  buildInsertQuery: 'insert',
  buildUpdateQuery: 'update',
  buildDeleteQuery: 'delete',
} as const

/** A statement as the query builder has made it. */
interface Statement {
  readonly type: (typeof builders)[keyof typeof builders]
  readonly from: Configuration
}

/** What statements of Drizzle's query builder write, read from what they were built from and from their answers. */
export class DrizzleStatements {
  readonly #dialect: DrizzleDialect
  /** By the SQL that was built, and by the query that became of it. */
  readonly #built = new WeakMap<object, Statement>()

  constructor(dialect: DrizzleDialect) {
    this.#dialect = dialect
    for (const [name, type] of Object.entries(builders) as [
      keyof typeof builders,
      Statement['type'],
    ][]) {
      const build = dialect[name].bind(dialect)
      dialect[name] = (from) => {
        const sql = build(from)
        this.#built.set(sql, { type, from })
        return sql
      }
    }
    const toQuery = dialect.sqlToQuery.bind(dialect)
    dialect.sqlToQuery = (sql, ...rest) => {
      const query = toQuery(sql, ...rest)
      const statement = this.#built.get(sql)
      if (statement !== undefined) this.#built.set(query, statement)
      return query
    }
  }

  /** What a query wrote, within WITH as well; null stands for an answer that never came. */
  writesOf(query: object, result: unknown): TableWrite[] {
    const statement = this.#built.get(query)
    if (statement === undefined) return []
    const within = statement.from.withList ?? []
    const inner = within.flatMap(({ _: { sql } }) => this.writesOf(sql, null))
    return statement.type === 'select' ? inner : [...inner, this.#ownWrite(statement, result)]
  }

  #ownWrite({ type, from }: Statement, result: unknown): TableWrite {
    const table = nameOf(from.table)
    const columns = type === 'update' ? this.#setBy(from) : null
    if (countOf(result) === 0) return { table, rows: [], columns }
    const returned = this.#returnedBy(from, result)
    if (type === 'insert') return { table, rows: this.#inserted(from, returned), columns }
    const isJoined = from.from !== undefined || (from.joins?.length ?? 0) > 0
    const before = isJoined ? {} : this.#row(equalities(from.where, from.table) ?? [])
    const given = this.#row(this.#values(from, from.set ?? {}))
    const rows =
      type === 'update'
        ? updatedRows({ set: columns, before, given, returned })
        : (returned ?? [{}]).map((row) => ({ ...before, ...row }))
    return { table, rows, columns }
  }

  #inserted(from: Configuration, returned: readonly RowPart[] | null): readonly RowPart[] | null {
    const given = Array.isArray(from.values)
      ? from.values.map((fields: Fields) => this.#row(this.#values(from, fields)))
      : null
    // What a row was that was there already is not known.
    if (from.onConflict !== undefined && !/\bdo nothing\s*$/.test(textOf(from.onConflict)))
      return null
    const [first] = given ?? []
    if (given?.length === 1 && returned?.length === 1) return [{ ...first, ...returned[0] }]
    return returned ?? given
  }

  /** What RETURNING told of the table's own columns, by row; null: it was not asked. */
  #returnedBy({ returning, table }: Configuration, result: unknown): RowPart[] | null {
    if (returning === undefined || !Array.isArray(result)) return null
    const own = returning.filter(({ field }) => isColumnOf(field, table))
    return result.map((row: unknown) =>
      this.#row(
        own.map(({ path, field }) => {
          const value = path.reduce((inner: unknown, name) => (inner as Fields)[name], row)
          return [field as Column, stored(field as Column, value)]
        }),
      ),
    )
  }

  /** The columns that an update sets, those that Drizzle sets by itself among them. */
  #setBy({ table, set = {} }: Configuration): string[] {
    const columns = Object.entries(columnsIn(table))
    return columns
      .filter(([name, { onUpdateFn }]) => set[name] !== undefined || onUpdateFn !== undefined)
      .map(([, column]) => this.#nameOf(column))
  }

  #values({ table }: Configuration, fields: Fields): [Column, unknown][] {
    const columns = columnsIn(table)
    return Object.entries(fields).flatMap(([name, value]): [Column, unknown][] => {
      const column = columns[name]
      return column === undefined ? [] : [[column, valueOf(value)]]
    })
  }

  #row(values: readonly (readonly [Column, unknown])[]): RowPart {
    return known(values.map(([column, value]) => [this.#nameOf(column), value]))
  }

  #nameOf(column: Column): string {
    return this.#dialect.casing.getColumnCasing(column)
  }
}

/** The name of a table, or of a table as Drizzle declares it. */
export function nameOf(table: unknown): string {
  if (typeof table === 'string') return table
  const [schema, name] = ['drizzle:Schema', 'drizzle:BaseName'].map((mark) => {
    const named: unknown = Reflect.get(Object(table) as object, Symbol.for(mark))
    return typeof named === 'string' ? named : ''
  })
  return schema ? `${schema}.${name ?? ''}` : (name ?? '')
}

const columnsIn = (table: object): Readonly<Record<string, Column>> =>
  Reflect.get(table, Symbol.for('drizzle:Columns')) as Readonly<Record<string, Column>>

/** How many rows a driver says that a statement touched. */
function countOf(result: unknown): unknown {
  const { rowCount, count } = Object(result) as { rowCount?: unknown; count?: unknown }
  return rowCount ?? count
}

/** Columns that equal a value. */
type Equalities = readonly (readonly [Column, unknown])[]

/**
 * The values that columns have in every row that a condition lets through; null where the condition is not closed: beside
 * others it may mean something else, as `a or b` does.
 */
function equalities(condition: unknown, table: object): Equalities | null {
  const chunks = chunksOf(condition)
  const [first, second, third] = chunks
  if (chunks.length === 1 && isA('SQL', first)) return equalities(first, table)
  if (chunks.length === 3 && first === '(' && third === ')') return equalities(second, table) ?? []
  return second === ' and ' ? ofAll(chunks, table) : comparison(chunks, table)
}

function ofAll(chunks: readonly unknown[], table: object): Equalities | null {
  const each = chunks.map((chunk, at) => {
    if (at % 2 === 0) return equalities(chunk, table)
    return chunk === ' and ' ? [] : null
  })
  return each.every((one) => one !== null) ? each.flat() : null
}

const operators = /^ (=|<>|>|>=|<|<=|is null|is not null|in|not in|like|ilike) ?$/

function comparison(
  [column, operator, value, ...more]: readonly unknown[],
  table: object,
): Equalities | null {
  if (!isColumn(column) || typeof operator !== 'string' || !operators.test(operator)) return null
  const isPlain = ['Param', 'Placeholder'].some((each) => isA(each, value)) || isColumn(value)
  if (more.length > 0 || !(isPlain || value === undefined || Array.isArray(value))) return null
  return operator === ' = ' && isColumnOf(column, table) ? [[column, valueOf(value)]] : []
}

/** What SQL is put together from; its texts as texts. */
function chunksOf(sql: unknown): unknown[] {
  const { queryChunks = [] } = Object(sql) as { queryChunks?: readonly unknown[] }
  return queryChunks
    .map((chunk) =>
      isA('StringChunk', chunk) ? (chunk as { value: string[] }).value.join('') : chunk,
    )
    .filter((chunk) => chunk !== '')
}

const textOf = (sql: unknown): string =>
  chunksOf(sql)
    .filter((chunk) => typeof chunk === 'string')
    .join('')

/** Whether something is of a class of Drizzle's. */
const isA = (name: string, value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Reflect.get(value.constructor, Symbol.for('drizzle:entityKind')) === name

const isColumn = (value: unknown): value is Column =>
  typeof value === 'object' && value !== null && 'mapToDriverValue' in value && 'table' in value

const isColumnOf = (value: unknown, table: object): value is Column =>
  isColumn(value) && value.table === table

/** The value of a parameter as the database gets it; undefined: of anything else. */
function valueOf(value: unknown): unknown {
  if (!isA('Param', value)) return undefined
  const { value: given, encoder } = value as { value: unknown; encoder: Column }
  return isA('Placeholder', given) ? undefined : stored(encoder, given)
}

/** A value of a column as the database has it; undefined where that cannot be told. */
function stored(column: Pick<Column, 'mapToDriverValue'>, value: unknown): unknown {
  if (value === null || value === undefined) return value
  try {
    return column.mapToDriverValue(value)
  } catch {
    return undefined
  }
}
