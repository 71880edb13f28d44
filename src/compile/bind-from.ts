import type { JoinExpr, Node, RangeFunction, RangeSubselect, RangeVar } from 'libpg-query'
import { must } from '../base/assert.ts'
import { stringOf } from './bind-names.ts'
import type { Binding, BoundQuery, Named, Scope } from './bind-scope.ts'
import {
  NoRule,
  cteNamed,
  fieldsOf,
  freeIn,
  isBoundInward,
  renamedCopy,
  resolved,
  tableOf,
} from './bind-scope.ts'
import { pulledLateral } from './bind-lateral.ts'
import type { Expression } from './expression.ts'
import { both, columnOf, conjuncts, operation } from './expression.ts'
import { productOf } from './product.ts'
import type { Relation } from './relation.ts'
import { columnsOf } from './relation.ts'
import { hasSubquery, nodesOf } from './walk.ts'

/** Binds FROM: every item named in the scope, the items a product. */
export function bindFrom(binding: Binding, items: readonly Node[], scope: Scope): Relation {
  let relation: Relation = { kind: 'product', inputs: [], where: [] }
  for (const item of items)
    relation = withItem(relation, bindItem(binding, item, { scope, left: relation }))
  return relation
}

interface Place {
  readonly scope: Scope
  /** What stands to the left and may be referred to by LATERAL. */
  readonly left: Relation
  /** Rows of the left stay where the item has none for them. */
  readonly outer?: boolean
}

/** An item of FROM: what it is, and whether the left is in it already because it had to be joined in a way of its own. */
interface Item {
  readonly relation: Relation
  readonly holdsLeft: boolean
}

const plain = (relation: Relation): Item => ({ relation, holdsLeft: false })

function withItem(left: Relation, { relation, holdsLeft }: Item): Relation {
  return holdsLeft ? relation : productOf([left, relation], [])
}

function bindItem(binding: Binding, item: Node, place: Place): Item {
  const { scope } = place
  if ('RangeVar' in item) return plain(bindTable(binding, item.RangeVar, scope))
  if ('RangeSubselect' in item) return bindSubselect(binding, item.RangeSubselect, place)
  if ('RangeFunction' in item) return plain(bindFunction(binding, item.RangeFunction, scope))
  if ('JoinExpr' in item) return bindJoin(binding, item.JoinExpr, place)
  throw new NoRule(`${Object.keys(item)[0] ?? 'an item'} in FROM`)
}

const aliasNames = (
  alias: { readonly colnames?: readonly Node[] } | undefined,
): readonly string[] => (alias?.colnames ?? []).map((node) => stringOf(node) ?? '')

function named(scope: Scope, alias: string, table: Named): void {
  if (scope.tables.has(alias)) throw new NoRule(`${alias} stands twice in FROM`)
  scope.tables.set(alias, table)
}

function bindTable(binding: Binding, table: RangeVar, scope: Scope): Relation {
  const { relname = '', alias } = table
  const called = alias?.aliasname ?? relname
  const renamed = aliasNames(alias)
  const bound = boundAs(binding, table, scope)
  if (bound === undefined) return bindScan(binding, table, scope)
  const wanted = bound.names.map((name, at) => renamed[at] ?? name)
  const copy = renamedCopy(binding, bound, wanted)
  named(scope, called, copy.named)
  return copy.relation
}

/** The query that a name stands for: one of WITH, or an ordinary view; undefined for a table. */
function boundAs(
  binding: Binding,
  { relname = '', schemaname }: RangeVar,
  scope: Scope,
): BoundQuery | undefined {
  const cte = schemaname === undefined ? cteNamed(scope, relname) : undefined
  if (cte !== undefined) return cte.bound
  const view = binding.facts.views.get(`${schemaname ?? 'pg_catalog'}.${relname}`)
  if (view === undefined) return undefined
  return withNames(binding.bind(binding, view.select, null), view.columns)
}

function bindScan(binding: Binding, table: RangeVar, scope: Scope): Relation {
  const { relname = '', schemaname, alias, location } = table
  const called = alias?.aliasname ?? relname
  const renamed = aliasNames(alias)
  if (table.inh !== true) throw new NoRule('ONLY', location ?? null)
  const found = tableOf(binding.facts, schemaname, relname)
  if (found === undefined) throw new NoRule(`${relname} cannot be captured`, location ?? null)
  const columns = found.columns.map(({ name }) => ({
    name,
    id: binding.fresh(`${called}_${name}`),
  }))
  named(scope, called, {
    columns: columns.map(({ name, id }, at) => ({ name: renamed[at] ?? name, is: columnOf(id) })),
  })
  const { used } = found
  return {
    kind: 'scan',
    of: found.target,
    columns: used === null ? columns : columns.filter(({ name }) => used.has(name)),
  }
}

const withNames = (bound: BoundQuery, names: readonly string[] | undefined): BoundQuery => ({
  ...bound,
  names: names ?? bound.names,
})

function bindSubselect(binding: Binding, item: RangeSubselect, place: Place): Item {
  const { subquery, alias, lateral } = item
  if (subquery === undefined || !('SelectStmt' in subquery))
    throw new NoRule('a subquery of a kind unknown')
  const { scope } = place
  const bound = binding.bind(binding, subquery.SelectStmt, lateral === true ? scope : scope.parent)
  const renamed = aliasNames(alias)
  const ids = columnsOf(bound.relation)
  named(scope, alias?.aliasname ?? '', {
    columns: ids.map((id, at) => ({
      name: renamed[at] ?? bound.names[at] ?? '',
      is: columnOf(id),
    })),
  })
  return lateralItem(binding, bound.relation, { left: place.left, outer: place.outer === true })
}

/** A subquery in FROM beside what it may refer to. */
function lateralItem(
  binding: Binding,
  relation: Relation,
  { left, outer }: { readonly left: Relation; readonly outer: boolean },
): Item {
  if (!isBoundInward(relation)) return plain(relation)
  const given = new Set(columnsOf(left))
  if (![...freeIn(relation)].every((id) => given.has(id))) {
    throw new NoRule('LATERAL refers to a query further out')
  }
  return { relation: pulledLateral(binding, { left, right: relation, outer }), holdsLeft: true }
}

function bindFunction(binding: Binding, item: RangeFunction, scope: Scope): Relation {
  for (const { kind } of nodesOf(item)) {
    if (kind === 'SubLink') throw new NoRule('a subquery within a function in FROM')
  }
  const { alias, ordinality } = item
  const names = aliasNames(alias)
  const given = (item.coldeflist ?? []).map((node) =>
    'ColumnDef' in node ? (node.ColumnDef.colname ?? '') : '',
  )
  const all = names.length > 0 ? names : given
  if (all.length === 0) throw new NoRule('a function in FROM whose columns are not named')
  const columns = all.map((name) => binding.fresh(name))
  const { alias: _alias, ...rest } = resolved(item, scope)
  if (given.length > 0) throw new NoRule('a function in FROM with a list of column types')
  named(scope, alias?.aliasname ?? '', {
    columns: all.map((name, at) => ({ name, is: columnOf(columns[at] ?? '') })),
  })
  return {
    kind: 'rows',
    item: { RangeFunction: rest },
    columns,
    ordinality: ordinality === true,
  }
}

function bindJoin(binding: Binding, join: JoinExpr, place: Place): Item {
  const { jointype, larg, rarg, quals, usingClause, alias, isNatural } = join
  if (alias !== undefined || isNatural === true) throw new NoRule('a join with an alias')
  const { scope } = place
  const before = new Set(scope.tables.keys())
  const leftItem = bindItem(binding, must(larg, 'a join has a left'), place)
  const between = new Set(scope.tables.keys())
  const always = conjuncts(quals).length === 0 && usingClause === undefined
  const right = bindItem(binding, must(rarg, 'a join has a right'), {
    scope,
    left: withItem(place.left, leftItem),
    outer: jointype === 'JOIN_LEFT' && always,
  })
  if (right.holdsLeft && jointype === 'JOIN_LEFT' && always) return right
  const leftTables = [...scope.tables].filter(([name]) => between.has(name) && !before.has(name))
  const rightTables = [...scope.tables].filter(([name]) => !between.has(name))
  const using = (usingClause ?? []).map((node) =>
    usingOf(binding, { name: stringOf(node) ?? '', leftTables, rightTables, scope, jointype }),
  )
  const written = conjuncts(quals)
  const simple = written.filter((condition) => !hasSubquery(condition))
  const sides: Sides = {
    left: leftItem,
    right,
    on: [...using, ...simple.map((condition) => resolved(condition, scope))],
    nested: written.filter((condition) => hasSubquery(condition)),
    jointype,
  }
  if (jointype === 'JOIN_INNER') return innerJoin(binding, sides, scope)
  const { nested } = sides
  if (nested.length === 0) return outerJoin(sides)
  // A condition on the right alone says which rows there are to be joined.
  if (jointype !== 'JOIN_LEFT' || !isOfRight(both(nested), { rightTables, leftTables, scope })) {
    throw new NoRule('a subquery in ON of an outer join')
  }
  const relation = binding.where(binding, {
    relation: right.relation,
    condition: both(nested),
    scope,
  })
  return outerJoin({ ...sides, right: { ...right, relation } })
}

function innerJoin(binding: Binding, { left, right, on, nested }: Sides, scope: Scope): Item {
  const joined = productOf([withItem(left.relation, right)], on)
  const holdsLeft = left.holdsLeft || right.holdsLeft
  if (nested.length === 0) return { relation: joined, holdsLeft }
  const relation = binding.where(binding, { relation: joined, condition: both(nested), scope })
  return { relation, holdsLeft }
}

interface Sides {
  readonly left: Item
  readonly right: Item
  readonly on: readonly Expression[]
  /** Conditions with subqueries in them, as they are written. */
  readonly nested: readonly Expression[]
  readonly jointype: JoinExpr['jointype']
}

function outerJoin({ left, right, on, jointype }: Sides): Item {
  if (right.holdsLeft) throw new NoRule('LATERAL in an outer join')
  const { holdsLeft } = left
  if (jointype === 'JOIN_LEFT') {
    return {
      relation: { kind: 'outer', full: false, left: left.relation, right: right.relation, on },
      holdsLeft,
    }
  }
  if (holdsLeft) throw new NoRule('LATERAL in an outer join')
  if (jointype === 'JOIN_RIGHT') {
    return plain({ kind: 'outer', full: false, left: right.relation, right: left.relation, on })
  }
  if (jointype === 'JOIN_FULL') {
    return plain({ kind: 'outer', full: true, left: left.relation, right: right.relation, on })
  }
  throw new NoRule(`a join of kind ${jointype ?? 'unknown'}`)
}

interface Using {
  readonly name: string
  readonly leftTables: readonly (readonly [string, Named])[]
  readonly rightTables: readonly (readonly [string, Named])[]
  readonly scope: Scope
  readonly jointype: JoinExpr['jointype']
}

function usingOf(
  binding: Binding,
  { name, leftTables, rightTables, scope, jointype }: Using,
): Expression {
  if (binding.facts.foreignEquality) throw new NoRule('USING with a type of an extension')
  const find = (tables: Using['leftTables']): Expression | undefined =>
    tables.flatMap(([, { columns }]) => columns).find((column) => column.name === name)?.is
  const left = scope.merged.get(name) ?? find(leftTables)
  const right = find(rightTables)
  if (left === undefined || right === undefined)
    throw new NoRule(`USING (${name}) was not understood`)
  const merged: Expression =
    jointype === 'JOIN_FULL'
      ? { CoalesceExpr: { args: [left, right] } }
      : jointype === 'JOIN_RIGHT'
        ? right
        : left
  scope.merged.set(name, merged)
  return operation('=', left, right)
}

/** Whether a condition names no column of the left, in its subqueries neither. */
function isOfRight(
  condition: Expression,
  { leftTables, rightTables, scope }: Pick<Using, 'leftTables' | 'rightTables' | 'scope'>,
): boolean {
  // Which side a column of USING is of is not looked into.
  const outside = new Set<string>([...leftTables.map(([name]) => name), ...scope.merged.keys()])
  const names = [...nodesOf(condition)].flatMap(({ kind, node }) =>
    kind === 'ColumnRef' ? (fieldsOf({ ColumnRef: node }) ?? []).slice(0, 1) : [],
  )
  return rightTables.length > 0 && !names.some((name) => outside.has(name))
}
