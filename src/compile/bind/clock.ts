import type { Binding } from './scope.ts'
import { NoRule } from './scope.ts'
import { ownExpressions } from '../algebra/references.ts'
import { asksClock, withOneClock } from '../algebra/clock.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnOf, columnsIn } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import { productOf } from '../algebra/product.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { columnsOf, rewriting, withInputs } from '../algebra/relation.ts'
import { isFields, treeText } from '../syntax/walk.ts'

/**
 * Gives every expression that asks the clock a column of its own in a `moving` relation as near to the tables as it can
 * stand; what was written over the clock is then written over that column. Comparisons become a column each, so that a
 * condition changes for few rows as time passes; anything else that moves is a column as a whole.
 *
 * Throws {@link NoRule} where the clock stands in a place for which there is no rule.
 */
export const withClocks = (binding: Binding, relation: Relation): Relation =>
  rewriting((each, rewrite) => rewritten(binding, each, rewrite))(relation)

function rewritten(
  binding: Binding,
  relation: Relation,
  rewrite: (each: Relation) => Relation,
): Relation {
  const below = withInputs(relation, rewrite)
  if (below.kind === 'whole') return { ...below, query: withOneClock(below.query) }
  if (!needsColumns(below)) return below
  const plain = withOneClock(below)
  switch (plain.kind) {
    case 'rows':
      return plain
    case 'product':
      return productWith(binding, plain)
    case 'project':
    case 'aggregate':
    case 'window':
    case 'top':
      return keepColumns(plain, unaryWith(binding, plain))
    case 'outer':
    case 'match':
    case 'mark':
      return keepColumns(plain, joinWith(binding, plain))
    default:
      throw new NoRule(`the clock in a relation of kind ${plain.kind}`)
  }
}

/** Own expressions of a relation that ask the clock; its inputs have columns for theirs already. */
function needsColumns(relation: Relation): boolean {
  if (relation.kind === 'moving') return false
  return ownExpressions(relation).some((own) => asksClock(withOneClock(own)))
}

/** The columns that were added for the clock are nobody else's concern. */
function keepColumns(before: Relation, after: Relation): Relation {
  const columns = columnsOf(before)
  if (columnsOf(after).length === columns.length) return after
  return {
    kind: 'project',
    input: after,
    columns: columns.map((id) => ({ id, expression: columnOf(id) })),
  }
}

type Take = (expression: Expression) => Expression

/** Parts of expressions that only combine others: the clock is looked for within them. */
function combines(
  { facts }: Binding,
  kind: string,
  node: Readonly<Record<string, unknown>>,
): boolean {
  if (kind !== 'FuncCall') {
    return /^(BoolExpr|CoalesceExpr|CaseExpr|CaseWhen|BooleanTest|NullTest|SortBy|WindowDef|List)$/.test(
      kind,
    )
  }
  const name = functionName(node)
  return node['over'] !== undefined || facts.aggregates.has(name) || facts.setReturning.has(name)
}

/** Puts columns in place of what asks the clock in an expression. */
function lifted<Tree>(binding: Binding, tree: Tree, take: Take): Tree {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (!isFields(value) || !asksClock(value)) return value
    const [kind = ''] = Object.keys(value)
    if (/^[A-Z]/.test(kind)) {
      const node = value[kind]
      if (!isFields(node) || !combines(binding, kind, node)) return take(value as Expression)
    }
    for (const offset of ['startOffset', 'endOffset']) {
      if (asksClock(value[offset])) throw new NoRule('the clock in the frame of a window')
    }
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walk(part)]))
  }
  return walk(tree) as Tree
}

/** Columns that were asked for, one for each different text. */
class Marks {
  readonly #binding: Binding
  readonly #outputs = new Map<string, Output>()

  constructor(binding: Binding) {
    this.#binding = binding
  }

  take(expression: Expression): Expression {
    const text = treeText(expression)
    const found = this.#outputs.get(text) ?? {
      id: this.#binding.fresh('clock'),
      expression,
    }
    this.#outputs.set(text, found)
    return columnOf(found.id)
  }

  /** The relation with these columns. */
  on(input: Relation): Relation {
    return [...this.#outputs.values()].reduce<Relation>(
      (below, mark) => ({ kind: 'moving', input: below, mark }),
      input,
    )
  }
}

type Unary = Extract<Relation, { kind: 'project' | 'aggregate' | 'window' | 'top' }>

function unaryWith(binding: Binding, relation: Unary): Relation {
  if (relation.kind === 'top' && asksClock([relation.limit, relation.offset])) {
    throw new NoRule('the clock in LIMIT or OFFSET')
  }
  const marks = new Marks(binding)
  const { input, ...own } = relation
  const parts = lifted(binding, own, (expression) => marks.take(expression))
  return { ...parts, input: marks.on(input) }
}

type Join = Extract<Relation, { kind: 'outer' | 'match' | 'mark' }>

/**
 * A condition of a join that compares one side with the clock is a column of that side. One over both sides becomes a
 * column of the right, which then depends on the row of the left: only where partners are asked for and not joined.
 */
function joinWith(binding: Binding, relation: Join): Relation {
  const sideOf = (side: Relation): Side => ({
    given: new Set(columnsOf(side)),
    marks: new Marks(binding),
  })
  const [left, right] = [sideOf(relation.left), sideOf(relation.right)]
  const over = new Marks(binding)
  const inward =
    relation.kind === 'match' || (relation.kind === 'mark' && relation.test === 'exists')
  const on: Expression[] = []
  const within: Expression[] = []
  for (const condition of relation.on) {
    const result = liftedOn(binding, condition, { sides: [right, left], over })
    if (result.spans && !inward)
      throw new NoRule('the clock in a condition over both sides of an outer join or a subquery')
    const to = result.spans ? within : on
    to.push(result.condition)
  }
  const partners = right.marks.on(relation.right)
  return {
    ...relation,
    left: left.marks.on(relation.left),
    right: within.length === 0 ? partners : productOf([over.on(partners)], within),
    on,
  }
}

interface Side {
  readonly given: ReadonlySet<ColumnId>
  readonly marks: Marks
}

/** Puts columns of that side which has all that is compared with the clock; of `over` where none has. */
function liftedOn(
  binding: Binding,
  condition: Expression,
  { sides, over }: { readonly sides: readonly Side[]; readonly over: Marks },
): { readonly condition: Expression; readonly spans: boolean } {
  const spanning: Expression[] = []
  const result = lifted(binding, condition, (expression) => {
    const columns = [...columnsIn(expression)]
    const side = sides.find(({ given }) => columns.every((id) => given.has(id)))
    if (side === undefined) spanning.push(expression)
    return (side?.marks ?? over).take(expression)
  })
  return { condition: result, spans: spanning.length > 0 }
}

/** Conditions on one input go to that input; those on several to the product of all. */
function productWith(binding: Binding, relation: Extract<Relation, { kind: 'product' }>): Relation {
  const parts = relation.inputs.map((input) => ({
    input,
    given: new Set<ColumnId>(columnsOf(input)),
    marks: new Marks(binding),
  }))
  const over = new Marks(binding)
  const late: Expression[] = []
  const early: Expression[] = []
  for (const condition of relation.where) {
    const result = liftedOn(binding, condition, { sides: parts, over })
    const to = result.spans ? late : early
    to.push(result.condition)
  }
  const inputs = parts.map(({ input, marks }) => marks.on(input))
  const joined: Relation = { kind: 'product', inputs, where: early }
  return keepColumns(relation, late.length === 0 ? joined : productOf([over.on(joined)], late))
}
