import type { Schema, Table } from './generate-schema.ts'
import type { Kind } from './kinds.ts'
import { kinds, literalOf } from './kinds.ts'
import type { Random } from './random.ts'

/** An expression that names a column in scope. */
export interface Ref {
  readonly sql: string
  readonly kind: Kind
  /** From the query around this one. */
  readonly outer?: boolean
}

export type Scope = readonly Ref[]

export interface OutputColumn {
  readonly name: string
  readonly kind: Kind
}

/** A SELECT whose columns have names and kinds. */
export interface Query {
  readonly sql: string
  readonly columns: readonly OutputColumn[]
  /** About how many rows it may return. */
  readonly rows: number
}

/** What can stand in FROM. */
export interface FromItem {
  readonly sql: string
  readonly refs: Scope
  readonly rows: number
  /** Names of its columns that are not qualified, where it is a single relation. */
  readonly columns: readonly OutputColumn[]
}

/** Something with a name that can be read: an ordinary view, a maintained one, a CTE. */
export interface Readable {
  readonly name: string
  readonly columns: readonly OutputColumn[]
  readonly rows: number
  /** What it is, and what reading it shows. */
  readonly constructs: readonly string[]
}

/** Where a writer reads from, and what it may read. */
export interface WriterInput {
  readonly random: Random
  readonly schema: Schema
  readonly readables: readonly Readable[]
}

const rowsMax = 250

/**
 * Writes one query. Notes which constructs occur in it, and whether SQL leaves PostgreSQL a choice of
 * results: ties, the order of what is collected, which of two equal values is shown.
 */
export class QueryWriter {
  readonly random: Random
  readonly schema: Schema
  readonly constructs: Set<string> = new Set()
  readonly readables: Readable[]
  /** A query that the next FROM is to read, so that one construct stands on another. */
  pending: Query | null = null
  /** What makes a query out of smaller ones; set by the grammar. */
  derived: (depth: number) => Query
  choice = false
  #blurred = false
  #picking = false
  #names = 0

  constructor(input: WriterInput, derived: (writer: QueryWriter, depth: number) => Query) {
    this.random = input.random
    this.schema = input.schema
    this.readables = [...input.readables]
    this.derived = (depth) => derived(this, depth)
  }

  mark(...constructs: readonly string[]): void {
    for (const construct of constructs) this.constructs.add(construct)
  }

  /** Whether what was pending is still there; it is no longer then. */
  unread(): boolean {
    const left = this.pending !== null
    this.pending = null
    return left
  }

  /** Forgets every construct but these: what else was written was thrown away. */
  only(constructs: readonly string[]): void {
    this.constructs.clear()
    this.mark(...constructs)
  }

  /** The construct that was just written shows one of several equal values. */
  picks(): void {
    this.#picking = true
  }

  get leavesChoice(): boolean {
    return this.choice || (this.#blurred && this.#picking)
  }

  fresh(prefix: string): string {
    this.#names += 1
    return `${prefix}${this.#names}`
  }

  /** Notes that a column is used and gives its text. */
  use(ref: Ref): string {
    this.#note(ref.kind)
    return ref.sql
  }

  /** Notes that there are values of a kind, whatever they are made of: of some kinds equal ones look different. */
  shows(kind: Kind): void {
    if (kinds[kind].blurred) this.#blurred = true
  }

  #note(kind: Kind): void {
    this.shows(kind)
    const construct = kindConstructs[kind]
    if (construct !== undefined) this.mark(...construct)
  }

  /** One relation: a table, a view, a CTE, or a query in parentheses. */
  source(depth: number): FromItem {
    const { pending } = this
    if (pending !== null) {
      this.pending = null
      return this.inParentheses(pending)
    }
    if (this.readables.length > 0 && this.random.chance(0.18)) {
      return this.readable(this.random.pick(this.readables))
    }
    if (depth > 0 && this.random.chance(0.35)) return this.inParentheses(this.derived(depth - 1))
    return this.table(this.random.pick(this.schema.tables))
  }

  readable({ name, columns, rows, constructs }: Readable): FromItem {
    this.mark(...constructs)
    return this.aliased(name, columns, rows)
  }

  inParentheses(query: Query): FromItem {
    this.mark('subquery in from')
    return this.aliased(`(${query.sql})`, query.columns, query.rows)
  }

  aliased(sql: string, columns: readonly OutputColumn[], rows: number): FromItem {
    const alias = this.fresh('x')
    return {
      sql: `${sql} ${alias}`,
      refs: columns.map((column) => ({ sql: `${alias}.${column.name}`, kind: column.kind })),
      rows,
      columns,
    }
  }

  table(table: Table): FromItem {
    const only = table.shape === 'inherited' && this.random.chance(0.05)
    const part = table.parts.length > 0 && !only && this.random.chance(0.05)
    const read = part ? this.random.pick(table.parts) : table
    if (table.shape === 'partitioned') this.mark(part ? 'partition by name' : 'partitioned table')
    if (table.shape === 'inherited') this.mark(only ? 'only' : 'inherited table')
    if (table.secured) this.mark('row-level security')
    return this.aliased(`${only ? 'only ' : ''}${read.name}`, read.columns, 12)
  }

  /** A random column of these kinds; undefined if there is none. */
  column(scope: Scope, among: readonly Kind[]): Ref | undefined {
    const found = scope.filter(({ kind }) => among.includes(kind))
    return found.length === 0 ? undefined : this.random.pick(found)
  }

  equatable(scope: Scope): Scope {
    return scope.filter(({ kind }) => kinds[kind].equatable)
  }

  literal(kind: Kind): string {
    this.shows(kind)
    return literalOf(kind, this.random.pick(kinds[kind].values))
  }

  /** Columns to work on, clear ones first, so that most queries have one result only. */
  chosen(scope: Scope, count: number): Ref[] {
    const ordered = scope.filter(({ kind }) => kinds[kind].ordered)
    const clear = ordered.filter(({ kind }) => !kinds[kind].blurred)
    const from = clear.length > 0 && this.random.chance(0.85) ? clear : ordered
    return this.random.sample(from.length > 0 ? from : scope, count)
  }

  /** Whether a join or a product of this size is still quick. */
  affordable(rows: number): boolean {
    return rows <= rowsMax
  }
}

/** Kinds that item 2 of the issue names. */
const kindConstructs: Partial<Readonly<Record<Kind, readonly string[]>>> = {
  numeric: ['numeric of any scale', 'NaN'],
  float8: ['float', 'NaN'],
  citext: ['citext'],
  bytewise: ['collation'],
  caseless: ['collation', 'nondeterministic collation'],
  mood: ['enum'],
  pos: ['domain'],
  ints: ['array column'],
  texts: ['array column'],
  jsonb: ['json column'],
  json: ['json column'],
  pair: ['composite'],
  span: ['range'],
}
