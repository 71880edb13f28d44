import { loadModule, parseSync } from 'libpg-query'
import { deparseSync } from 'pgsql-deparser'

type Tree = unknown
type Fields = Record<string, unknown>
type Path = readonly (string | number)[]

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A change of a syntax tree: what stands at a path becomes something else, or goes. */
interface Edit {
  readonly path: Path
  /** Undefined: it is left out. */
  readonly value: unknown
}

/** Clauses that a SELECT can do without. */
const optional: readonly string[] = [
  'whereClause',
  'havingClause',
  'sortClause',
  'distinctClause',
  'groupClause',
  'windowClause',
  'withClause',
  'limitCount',
  'limitOffset',
  'agg_filter',
  'agg_order',
  'agg_distinct',
  'over',
  'partitionClause',
  'orderClause',
  'defresult',
  'usingClause',
]

/** Lists of which any element may go, as long as one is left. */
const lists: readonly string[] = [
  'targetList',
  'fromClause',
  'groupClause',
  'sortClause',
  'ctes',
  'args',
  'agg_order',
  'orderClause',
  'partitionClause',
  'content',
  'valuesLists',
  'elements',
  'windowClause',
  'usingClause',
]

/** Nodes that may be replaced by a part of themselves. */
const parts: Readonly<Record<string, readonly string[]>> = {
  JoinExpr: ['larg', 'rarg'],
  A_Expr: ['lexpr', 'rexpr'],
  TypeCast: ['arg'],
  NullTest: ['arg'],
  BooleanTest: ['arg'],
  CollateClause: ['arg'],
  FuncCall: ['args'],
  CoalesceExpr: ['args'],
  MinMaxExpr: ['args'],
  BoolExpr: ['args'],
  CaseExpr: ['defresult', 'args'],
  CaseWhen: ['result'],
  A_Indirection: ['arg'],
  ResTarget: [],
}

/** What any expression may become. */
const simple: readonly Fields[] = [
  { A_Const: { ival: { ival: 1 } } },
  { A_Const: { boolval: { boolval: true } } },
]

const expressions: readonly string[] = [
  'A_Expr',
  'FuncCall',
  'CaseExpr',
  'CoalesceExpr',
  'SubLink',
  'BoolExpr',
  'NullTest',
  'TypeCast',
  'MinMaxExpr',
  'ColumnRef',
  'A_ArrayExpr',
]

/** Every way to make a query a little simpler, the greatest steps first. None is known to be valid. */
export async function simplerQueries(sql: string): Promise<string[]> {
  await loadModule()
  let tree: Tree
  try {
    tree = parseSync(sql)
  } catch {
    return []
  }
  const seen = new Set<string>([sql])
  const found: { readonly sql: string; readonly size: number }[] = []
  for (const edit of editsOf(tree, [])) {
    const text = textOf(edited(tree, edit))
    if (text === null || seen.has(text)) continue
    seen.add(text)
    found.push({ sql: text, size: text.length })
  }
  return found.sort((a, b) => a.size - b.size).map((each) => each.sql)
}

function textOf(tree: Tree): string | null {
  try {
    const text = deparseSync(tree as Parameters<typeof deparseSync>[0]).replaceAll(/\s+/g, ' ')
    parseSync(text)
    return text
  } catch {
    return null
  }
}

function* editsOf(tree: Tree, path: Path): Generator<Edit> {
  if (Array.isArray(tree)) {
    for (const [at, item] of tree.entries()) yield* editsOf(item, [...path, at])
    return
  }
  if (!isFields(tree)) return
  for (const [name, value] of Object.entries(tree)) {
    const here = [...path, name]
    if (optional.includes(name)) yield { path: here, value: undefined }
    if (lists.includes(name)) yield* shorter(value, here)
    if (expressions.includes(name)) for (const constant of simple) yield { path, value: constant }
    if (isFields(value)) yield* replacements(name, value, path)
    yield* editsOf(value, here)
  }
}

function* shorter(value: unknown, path: Path): Generator<Edit> {
  if (!Array.isArray(value) || value.length < 2) return
  for (const at of value.keys()) yield { path, value: value.filter((_, other) => other !== at) }
}

function* replacements(name: string, node: Fields, path: Path): Generator<Edit> {
  if (name === 'SelectStmt') yield* selectEdits(node, [...path, name])
  if (name === 'RangeSubselect') yield* unnested(node, path)
  if (name in parts) yield* hoists(name, node, path)
}

/** A set operation becomes one of its arms; WITH TIES and LIMIT go together. */
function* selectEdits(select: Fields, path: Path): Generator<Edit> {
  const { larg, rarg } = select
  if (isFields(larg)) yield { path, value: larg }
  if (isFields(rarg)) yield { path, value: rarg }
  if (select['limitCount'] !== undefined) {
    const rest = without(select, ['limitCount', 'limitOffset', 'sortClause'])
    yield { path, value: { ...rest, limitOption: 'LIMIT_OPTION_DEFAULT' } }
  }
}

const without = (fields: Fields, names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))

function* hoists(name: string, node: Fields, path: Path): Generator<Edit> {
  for (const field of parts[name] ?? []) {
    const part = node[field]
    for (const each of Array.isArray(part) ? part : [part]) {
      if (isFields(each)) yield { path, value: each }
    }
  }
}

/** `(select … from t) x` becomes `t x`, where it has one relation. */
function* unnested(node: Fields, path: Path): Generator<Edit> {
  const { subquery, alias } = node
  const select = isFields(subquery) ? subquery['SelectStmt'] : undefined
  const from = isFields(select) ? select['fromClause'] : undefined
  const [only] = Array.isArray(from) ? (from as unknown[]) : []
  if (isFields(only) && isFields(only['RangeVar'])) {
    yield { path, value: { RangeVar: { ...only['RangeVar'], alias } } }
  }
  if (isFields(only) && isFields(only['RangeSubselect'])) {
    yield { path, value: { RangeSubselect: { ...only['RangeSubselect'], alias } } }
  }
}

function edited(tree: Tree, { path, value }: Edit): Tree {
  const [first, ...rest] = path
  if (first === undefined) return value
  if (Array.isArray(tree)) {
    return tree.map((item: unknown, at) =>
      at === first ? edited(item, { path: rest, value }) : item,
    )
  }
  if (!isFields(tree)) return tree
  const changed = edited(tree[first], { path: rest, value })
  return changed === undefined ? without(tree, [String(first)]) : { ...tree, [first]: changed }
}
