import type { A_Expr, Node, SelectStmt, TypeCast } from 'libpg-query'
import type { Operand, ReadColumn } from '../model/query-reads.ts'
import type { RelationName } from '../model/ids.ts'
import { stringOf } from './syntax/implied-names.ts'
import { isFields } from './syntax/walk.ts'

/** Something that stands in FROM. */
export type Item = {
  alias: string
  /** By the names that they have here; null where they are not known. */
  readonly columns: ReadonlyMap<string, ReadColumn> | null
  /** By its own names: what a column has to be equal to, or the row counts for nothing. */
  readonly facts: Map<string, readonly Operand[]>
  /** Whether an outer join may put nulls in its place. */
  nullable: boolean
} & (
  | { readonly kind: 'table'; readonly source: RelationName }
  | {
      readonly kind: 'query'
      readonly select: SelectStmt
      readonly ctes: Ctes
      /** Whether what is asked of its columns may be asked within. */
      readonly passable: boolean
    }
  | { readonly kind: 'other'; readonly node: unknown }
)

/** The queries of WITH in force at some place; null: the recursive one itself, seen from within. */
export type Ctes = ReadonlyMap<string, Cte | null>

/** A query of WITH. */
export interface Cte {
  readonly select: SelectStmt
  readonly recursive: boolean
  readonly ctes: Ctes
}

/** The FROM of a query, and what is around it. */
export interface Level {
  readonly items: readonly Item[]
  readonly outer: Level | null
}

/** A column of an item. */
export interface NamedColumn {
  readonly item: Item
  readonly column: string
  readonly family: string | null
}

/** That a column is equal to one of these. */
export type Restriction = NamedColumn & { readonly operands: readonly Operand[] }

/** Something that has to be true of every row that counts, and the items that it cuts down. */
export type Conjunct = { readonly cut: ReadonlySet<Item> } & (
  { readonly condition: Node } | { readonly equal: readonly [NamedColumn, NamedColumn] }
)

/** The parts of a condition. */
export function conjunctsOf(condition: Node | undefined, items: readonly Item[]): Conjunct[] {
  if (condition === undefined) return []
  const parts =
    'BoolExpr' in condition && condition.BoolExpr.boolop === 'AND_EXPR'
      ? (condition.BoolExpr.args ?? []).flatMap((part) => conjunctsOf(part, items))
      : null
  return parts ?? [{ condition, cut: new Set(items) }]
}

/** Notes what conditions say of the items, until they say nothing new. */
export function settleFacts(
  level: Level,
  conjuncts: readonly Conjunct[],
  demanded: readonly Restriction[],
): void {
  demanded.forEach(note)
  const noteAll = (): boolean =>
    conjuncts.map((conjunct) => noteConjunct(conjunct, level)).includes(true)
  while (noteAll());
}

/** Whether it said anything new. */
function noteConjunct(conjunct: Conjunct, level: Level): boolean {
  const said =
    'equal' in conjunct ? alike(...conjunct.equal) : restrictionsOf(conjunct.condition, level)
  return said
    .filter(({ item }) => conjunct.cut.has(item))
    .map(note)
    .includes(true)
}

/** False: it is known already that the column is one of some. The first that is found is as true as any other. */
function note({ item, column, operands }: Restriction): boolean {
  if (item.facts.has(column)) return false
  item.facts.set(column, operands)
  return true
}

/** What is so of every row for which a condition is true. */
function restrictionsOf(condition: Node, level: Level): readonly Restriction[] {
  if ('BoolExpr' in condition) {
    const { boolop, args = [] } = condition.BoolExpr
    if (boolop === 'AND_EXPR') return args.flatMap((part) => restrictionsOf(part, level))
    if (boolop === 'OR_EXPR') return eitherOf(args.map((part) => restrictionsOf(part, level)))
    const [only] = args
    return only === undefined ? [] : isTruth(only, false, level)
  }
  if ('A_Expr' in condition) return comparison(condition.A_Expr, level)
  if ('NullTest' in condition) {
    const { arg, nulltesttype } = condition.NullTest
    const column = arg === undefined ? null : namedColumn(arg, level)
    // Where an outer join may put a null, no row at all may be what makes it true.
    if (column === null || nulltesttype !== 'IS_NULL' || column.item.nullable) return []
    return [{ ...column, operands: [{ kind: 'constant', text: null, family: column.family }] }]
  }
  return isTruth(condition, true, level)
}

/** A boolean column as a condition. */
function isTruth(node: Node, truth: boolean, level: Level): readonly Restriction[] {
  const column = 'ColumnRef' in node ? namedColumn(node, level) : null
  if (column === null) return []
  const text = String(truth)
  return [{ ...column, operands: [{ kind: 'constant', text, family: 'boolean' }] }]
}

/** Of alternatives, what each says of the same column. */
function eitherOf(alternatives: readonly (readonly Restriction[])[]): readonly Restriction[] {
  const [first = [], ...others] = alternatives
  return first.flatMap((restriction): Restriction[] => {
    const operands = [...restriction.operands]
    for (const other of others) {
      const same = other.find(
        ({ item, column }) => item === restriction.item && column === restriction.column,
      )
      if (same === undefined) return []
      operands.push(...same.operands)
    }
    return [{ ...restriction, operands }]
  })
}

function comparison({ kind, name, lexpr, rexpr }: A_Expr, level: Level): readonly Restriction[] {
  // An operator of somebody else's has its schema before it.
  if (name?.length !== 1 || stringOf(name[0]) !== '=') return []
  if (lexpr === undefined || rexpr === undefined) return []
  const left = namedColumn(lexpr, level)
  if (kind === 'AEXPR_OP_ANY') return among(left, elementsOf(rexpr))
  if (kind !== 'AEXPR_OP') return []
  const right = namedColumn(rexpr, level)
  if (left === null) return among(right, listed(operandOf(lexpr)))
  return right === null ? among(left, listed(operandOf(rexpr))) : alike(left, right)
}

const listed = (operand: Operand | null): readonly Operand[] | null =>
  operand === null ? null : [operand]

const among = (
  column: NamedColumn | null,
  operands: readonly Operand[] | null,
): readonly Restriction[] => (column === null || operands === null ? [] : [{ ...column, operands }])

/** Two columns that are equal have what is known of the other, if equality of their types goes on from one to the next. */
function alike(left: NamedColumn, right: NamedColumn): readonly Restriction[] {
  if (left.family === null || left.family !== right.family) return []
  return [
    [left, right],
    [right, left],
  ].flatMap(([to, from]) => {
    const operands = from?.item.facts.get(from.column)
    return to === undefined || operands === undefined ? [] : [{ ...to, operands }]
  })
}

/** The column that an expression is; a cast to text, which the server adds to varchar, does not count. */
export function namedColumn(node: Node, level: Level): NamedColumn | null {
  if ('TypeCast' in node) {
    const { arg } = node.TypeCast
    return arg !== undefined && isText(node.TypeCast) ? namedColumn(arg, level) : null
  }
  if (!('ColumnRef' in node)) return null
  const [first, second, ...more] = (node.ColumnRef.fields ?? []).map((field) => stringOf(field))
  if (first === undefined || more.length > 0) return null
  const item = second === undefined ? onlyItem(level) : itemNamed(first, level)
  const name = second ?? first
  if (item === null) return null
  if (item.columns === null) return { item, column: name, family: null }
  const column = item.columns.get(name)
  return column === undefined ? null : { item, column: column.name, family: column.family }
}

/** The server names the table of each column, but for a query of a single one with nothing around it. */
const onlyItem = ({ items, outer }: Level): Item | null =>
  items.length === 1 && outer === null ? (items[0] ?? null) : null

function itemNamed(alias: string, level: Level | null): Item | null {
  for (let at = level; at !== null; at = at.outer) {
    const item = at.items.find((one) => one.alias === alias)
    if (item !== undefined) return item
  }
  return null
}

/** A constant or parameter; what the server adds to make a text of it does not count. */
function operandOf(node: Node): Operand | null {
  if ('ParamRef' in node) return { kind: 'parameter', number: node.ParamRef.number ?? 0 }
  if ('TypeCast' in node) {
    const { arg } = node.TypeCast
    if (arg === undefined) return null
    const constant = 'A_Const' in arg ? textOfConstant(arg) : null
    if (constant !== null) {
      return { kind: 'constant', text: constant.text, family: familyOf(node.TypeCast) }
    }
    return isText(node.TypeCast) ? operandOf(arg) : null
  }
  const constant = textOfConstant(node)
  return constant === null ? null : { kind: 'constant', ...constant }
}

/** The elements of an array that is written out, or given as a parameter. */
function elementsOf(node: Node): readonly Operand[] | null {
  if ('ParamRef' in node) return [{ kind: 'elements', number: node.ParamRef.number ?? 0 }]
  if ('TypeCast' in node) {
    const { arg } = node.TypeCast
    return arg !== undefined && isText(node.TypeCast, true) ? elementsOf(arg) : null
  }
  if (!('A_ArrayExpr' in node)) return null
  const operands = (node.A_ArrayExpr.elements ?? []).map(operandOf)
  return operands.every((operand) => operand !== null) ? operands : null
}

function textOfConstant(
  node: Node,
): { readonly text: string | null; readonly family: string | null } | null {
  if (!('A_Const' in node)) return null
  const { isnull, ival, boolval, sval } = node.A_Const
  if (isnull === true) return { text: null, family: null }
  if (ival !== undefined) return { text: String(ival.ival ?? 0), family: 'integer' }
  if (boolval !== undefined) return { text: String(boolval.boolval ?? false), family: 'boolean' }
  return sval === undefined ? null : { text: sval.sval ?? '', family: null }
}

const families: Readonly<Record<string, string>> = {
  'pg_catalog.int2': 'integer', 'pg_catalog.int4': 'integer', 'pg_catalog.int8': 'integer',
  'pg_catalog.varchar': 'text', text: 'text', 'pg_catalog.bool': 'boolean', uuid: 'uuid', date: 'date',
} // prettier-ignore

/** The family of the type that something is cast to; null for any other, and where the cast may cut something off. */
function familyOf({ typeName }: TypeCast): string | null {
  if (typeName?.typmods !== undefined || typeName?.arrayBounds !== undefined) return null
  const parts = (typeName?.names ?? []).map((part) => stringOf(part) ?? '')
  const name = parts.join('.')
  return families[name] ?? (parts.length === 2 ? `enum ${name}` : null)
}

function isText({ typeName }: TypeCast, array = false): boolean {
  const isArray = typeName?.arrayBounds !== undefined
  if (isArray !== array || typeName?.typmods !== undefined) return false
  const names = (typeName?.names ?? []).map((part) => stringOf(part) ?? '')
  return isFields(typeName) && names.join('.') === 'text'
}
