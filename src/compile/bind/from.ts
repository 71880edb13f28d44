import type { JoinExpr, Node, RangeFunction, RangeSubselect, RangeVar } from 'libpg-query'
import { must } from '../../base/assert.ts'
import { relationName } from '../../model/ids.ts'
import { stringOf } from '../syntax/implied-names.ts'
import type { Binding, BoundQuery, Named, Scope } from './scope.ts'
import { NoRule, cteNamed, fieldsOf, renamedCopy, resolved } from './scope.ts'
import { unreadId } from '../algebra/references.ts'
import { tableOf } from '../algebra/facts.ts'
import { askingBothSides } from './full-join.ts'
import { dependsInward, leftLateral, pulledLateral } from './lateral.ts'
import { onlyOf, storedRead } from './stored-read.ts'
import type { Expressed } from './subquery.ts'
import { joinSubqueries } from './subquery.ts'
import type { Expression } from '../algebra/expression.ts'
import { both, columnOf, conjuncts, operation } from '../algebra/expression.ts'
import { productOf } from '../algebra/product.ts'
import type { Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import type { RowType } from '../syntax/whole-row.ts'
import { hasSubquery, nodesOf } from '../syntax/walk.ts'

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
  if ('RangeFunction' in item) return bindFunction(binding, item.RangeFunction, place)
  if ('JoinExpr' in item) return bindJoin(binding, item.JoinExpr, place)
  throw new NoRule(`${Object.keys(item)[0] ?? 'an item'} in FROM`)
}

const aliasNames = (
  alias: { readonly colnames?: readonly Node[] } | undefined,
): readonly string[] => (alias?.colnames ?? []).map((node) => stringOf(node) ?? '')

/** What a name in FROM stands for. */
interface Standing {
  readonly alias: string
  readonly relation: Relation
  readonly columns: Named['columns']
  /** The table or ordinary view whose type its rows are of; null where its columns are called as the query says. */
  readonly type: RowType | null
}

/** Names a relation in the scope; where its whole row is asked for, with a column that says that there is one. */
function named(
  binding: Binding,
  { alias, relation, columns, type }: Standing,
  scope: Scope,
): Relation {
  if (scope.tables.has(alias)) throw new NoRule(`${alias} stands twice in FROM`)
  if (!scope.rows.has(alias)) {
    scope.tables.set(alias, { columns })
    return relation
  }
  const present = binding.fresh('present')
  scope.tables.set(alias, { columns, row: { present: columnOf(present), type } })
  return {
    kind: 'project',
    input: relation,
    columns: [
      ...columnsOf(relation).map((id) => ({ id, expression: columnOf(id) })),
      { id: present, expression: { A_Const: { boolval: { boolval: true } } } },
    ],
  }
}

function bindTable(binding: Binding, table: RangeVar, scope: Scope): Relation {
  const { relname = '', alias } = table
  const called = alias?.aliasname ?? relname
  const renamed = aliasNames(alias)
  const bound = boundAs(binding, table, scope)
  if (bound === undefined) return bindScan(binding, table, scope)
  const wanted = bound.names.map((name, at) => renamed[at] ?? name)
  const { relation, named: copied } = renamedCopy(binding, bound, wanted)
  const { schemaname: schema } = table
  const type = schema === undefined ? null : { schema, name: relname }
  return named(binding, { alias: called, relation, columns: copied.columns, type }, scope)
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
  const found = tableOf(binding.facts, schemaname, relname)
  if (found === undefined) throw new NoRule(`${relname} cannot be captured`, location ?? null)
  const target =
    table.inh === true
      ? found.target
      : onlyOf(found.target, relationName(schemaname ?? '', relname))
  const { used } = found
  const isRead = (name: string): boolean => used === null || used.has(name)
  const columns = found.columns.map(({ name }) => {
    const id = binding.fresh(`${called}_${name}`)
    return { name, id: isRead(name) ? id : unreadId(id) }
  })
  const scan: Relation = {
    kind: 'scan',
    of: target,
    columns: columns.filter(({ name }) => isRead(name)),
  }
  const visible = columns.map(({ name, id }) => ({
    name: renamed[found.allColumns.indexOf(name)] ?? name,
    is: columnOf(id),
  }))
  // A maintained view has the columns that its query names, and is made anew by apply.
  const type = target.kind === 'source' ? { schema: schemaname ?? '', name: relname } : null
  const isStored = target.kind === 'copied' || target.kind === 'member'
  const relation = isStored ? storedRead(binding, scan, target) : scan
  return named(binding, { alias: called, relation, columns: visible, type }, scope)
}

const withNames = (bound: BoundQuery, names: readonly string[] | undefined): BoundQuery => ({
  ...bound,
  names: names ?? bound.names,
})

function bindSubselect(binding: Binding, item: RangeSubselect, place: Place): Item {
  return lateralItem(binding, subselectOf(binding, item, place.scope), place.left)
}

/** A query in FROM, named, as it is for a row of what stands before it. */
function subselectOf(binding: Binding, item: RangeSubselect, scope: Scope): Relation {
  const { subquery, alias, lateral } = item
  if (subquery === undefined || !('SelectStmt' in subquery))
    throw new NoRule('a subquery of a kind unknown')
  const bound = binding.bind(binding, subquery.SelectStmt, lateral === true ? scope : scope.parent)
  const renamed = aliasNames(alias)
  const columns = columnsOf(bound.relation).map((id, at) => ({
    name: renamed[at] ?? bound.names[at] ?? '',
    is: columnOf(id),
  }))
  const { relation } = bound
  return named(binding, { alias: alias?.aliasname ?? '', relation, columns, type: null }, scope)
}

/** A relation in FROM beside what it may refer to. */
function lateralItem(binding: Binding, right: Relation, left: Relation): Item {
  if (!dependsInward(right, left)) return plain(right)
  return { relation: pulledLateral(binding, { left, right, outer: false }), holdsLeft: true }
}

/** A function in FROM; subqueries among its arguments are rows that it is called for. */
function bindFunction(binding: Binding, item: RangeFunction, { scope, left }: Place): Item {
  const { alias, ordinality, coldeflist, ...bare } = item
  const names = aliasNames(alias)
  const typed = (coldeflist ?? []).map((node) =>
    'ColumnDef' in node ? (node.ColumnDef.colname ?? '') : '',
  )
  const all = names.length > 0 ? names : typed
  if (all.length === 0) throw new NoRule('a function in FROM whose columns are not named')
  const columns = all.map((name) => binding.fresh(name))
  const { relation: before, expressions } = joinSubqueries(binding, {
    relation: { kind: 'product', inputs: [], where: [] },
    expressions: [
      resolved(
        { RangeFunction: { ...bare, ...(ordinality === true ? { ordinality } : {}) } },
        scope,
      ),
    ],
    scope,
  })
  const [call] = expressions
  const visible = all.map((name, at) => ({ name, is: columnOf(columns[at] ?? '') }))
  const rows: Relation = {
    kind: 'rows',
    item:
      coldeflist === undefined
        ? must(call, 'one item')
        : typedRows(must(call, 'one item'), coldeflist),
    columns,
    ordinality: ordinality === true,
  }
  const relation = productOf([before, rows], [])
  const standing = { alias: alias?.aliasname ?? '', relation, columns: visible, type: null }
  return lateralItem(binding, named(binding, standing, scope), left)
}

/** Columns whose types are listed can only be listed where the function is called. */
function typedRows(call: Node, coldeflist: readonly Node[]): Expression {
  if (!('RangeFunction' in call)) return call
  const star: Node = { ColumnRef: { fields: [{ A_Star: {} }] } }
  const from: Node = {
    RangeFunction: {
      ...call.RangeFunction,
      alias: { aliasname: 'typed' },
      coldeflist: [...coldeflist],
    },
  }
  return {
    RangeSubselect: {
      subquery: {
        SelectStmt: {
          targetList: [{ ResTarget: { val: star } }],
          fromClause: [from],
          limitOption: 'LIMIT_OPTION_DEFAULT',
          op: 'SETOP_NONE',
        },
      },
    },
  }
}

function bindJoin(binding: Binding, join: JoinExpr, place: Place): Item {
  const { jointype, larg, rarg, quals, usingClause, alias, isNatural } = join
  if (alias !== undefined || isNatural === true) throw new NoRule('a join with an alias')
  const { scope } = place
  const before = new Set(scope.tables.keys())
  const leftItem = bindItem(binding, must(larg, 'a join has a left'), place)
  const between = new Set(scope.tables.keys())
  const left = withItem(place.left, leftItem)
  const item = must(rarg, 'a join has a right')
  const kept = jointype === 'JOIN_LEFT' && usingClause === undefined
  const subselect =
    kept && 'RangeSubselect' in item ? subselectOf(binding, item.RangeSubselect, scope) : undefined
  if (subselect !== undefined && dependsInward(subselect, left)) {
    const right = binding.where(binding, { relation: subselect, condition: quals, scope })
    return { relation: pulledLateral(binding, { left, right, outer: true }), holdsLeft: true }
  }
  const right =
    subselect === undefined ? bindItem(binding, item, { scope, left }) : plain(subselect)
  const leftTables = [...scope.tables].filter(([name]) => between.has(name) && !before.has(name))
  const rightTables = [...scope.tables].filter(([name]) => !between.has(name))
  const using = (usingClause ?? []).map((node) =>
    usingOf({ name: stringOf(node) ?? '', leftTables, rightTables, scope, jointype }),
  )
  const [nested, simple] = divided(conjuncts(quals), (condition) => hasSubquery(condition))
  const sides: Sides = {
    left: leftItem,
    right,
    on: [...using, ...simple.map((condition) => resolved(condition, scope))],
    jointype,
  }
  if (jointype === 'JOIN_INNER') return innerJoin(binding, { ...sides, nested, scope })
  if (nested.length === 0) return outerJoin(sides)
  return nestedOuterJoin(binding, { ...sides, nested, scope, leftTables, rightTables })
}

/** A join with conditions that hold subqueries. */
interface Nested extends Sides {
  /** As they are written: names in subqueries are looked up where these are bound. */
  readonly nested: readonly Expression[]
  readonly scope: Scope
}

function innerJoin(binding: Binding, { left, right, on, nested, scope }: Nested): Item {
  const joined = productOf([withItem(left.relation, right)], on)
  const holdsLeft = left.holdsLeft || right.holdsLeft
  if (nested.length === 0) return { relation: joined, holdsLeft }
  const relation = binding.where(binding, { relation: joined, condition: both(nested), scope })
  return { relation, holdsLeft }
}

interface NestedOuter extends Nested {
  readonly leftTables: Using['leftTables']
  readonly rightTables: Using['rightTables']
}

/**
 * Conditions with subqueries of an outer join. What is asked of the row that stays becomes a column of it. What is asked
 * of the other side alone says which of its rows there are to be joined. What is asked of both says so for each row
 * that stays: A LEFT JOIN B ON c is A LEFT JOIN LATERAL (SELECT FROM B WHERE c) ON true.
 */
function nestedOuterJoin(binding: Binding, join: NestedOuter): Item {
  const { left, right, on, nested, scope, jointype, leftTables, rightTables } = join
  if (right.holdsLeft || (jointype !== 'JOIN_LEFT' && left.holdsLeft))
    throw new NoRule('a subquery in ON of an outer join with LATERAL')
  const [stays, other, staysTables, otherTables] =
    jointype === 'JOIN_LEFT'
      ? [left, right, leftTables, rightTables]
      : [right, left, rightTables, leftTables]
  if (jointype === 'JOIN_FULL') return nestedFullJoin(binding, join)
  const [ofStays, rest] = divided(nested, (each) =>
    isOfOne(each, { own: staysTables, other: otherTables, scope }),
  )
  const [ofOther, ofBoth] = divided(rest, (each) =>
    isOfOne(each, { own: otherTables, other: staysTables, scope }),
  )
  const asked = joinSubqueries(binding, {
    relation: stays.relation,
    expressions: ofStays.map((each) => resolved(each, scope)),
    scope,
  })
  const filtered = (relation: Relation, conditions: readonly Expression[]): Relation =>
    conditions.length === 0
      ? relation
      : binding.where(binding, { relation, condition: both(conditions), scope })
  const some = filtered(other.relation, ofOther)
  const plainOn = [...on, ...asked.expressions]
  const relation: Relation =
    ofBoth.length === 0
      ? { kind: 'outer', full: false, left: asked.relation, right: some, on: plainOn }
      : leftLateral(binding, asked.relation, filtered(productOf([some], plainOn), ofBoth))
  return { relation, holdsLeft: stays.holdsLeft }
}

/** Of a full join both sides stay: what is asked of one becomes a column of it, what is asked of both makes two joins of it. */
function nestedFullJoin(binding: Binding, join: NestedOuter): Item {
  const { left, right, on, nested, scope, leftTables, rightTables } = join
  const [ofLeft, rest] = divided(nested, (each) =>
    isOfOne(each, { own: leftTables, other: rightTables, scope }),
  )
  const [ofRight, ofBoth] = divided(rest, (each) =>
    isOfOne(each, { own: rightTables, other: leftTables, scope }),
  )
  const asked = ({ relation }: Item, conditions: readonly Expression[]): Expressed =>
    joinSubqueries(binding, {
      relation,
      expressions: conditions.map((each) => resolved(each, scope)),
      scope,
    })
  const [one, other] = [asked(left, ofLeft), asked(right, ofRight)]
  const sides = { left: one.relation, right: other.relation }
  const plainOn = [...on, ...one.expressions, ...other.expressions]
  return plain(
    ofBoth.length === 0
      ? { kind: 'outer', full: true, ...sides, on: plainOn }
      : askingBothSides(binding, { ...sides, on: plainOn, nested: ofBoth, scope }),
  )
}

function divided<Each>(
  all: readonly Each[],
  test: (each: Each) => boolean,
): readonly [readonly Each[], readonly Each[]] {
  return [all.filter(test), all.filter((each) => !test(each))]
}

interface Sides {
  readonly left: Item
  readonly right: Item
  readonly on: readonly Expression[]
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

function usingOf({ name, leftTables, rightTables, scope, jointype }: Using): Expression {
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

/** Whether a condition names no column of the other side, in its subqueries neither. */
function isOfOne(
  condition: Expression,
  {
    own,
    other,
    scope,
  }: {
    readonly own: Using['leftTables']
    readonly other: Using['leftTables']
    readonly scope: Scope
  },
): boolean {
  // Which side a column of USING is of is not looked into.
  const outside = new Set<string>([...other.map(([name]) => name), ...scope.merged.keys()])
  const names = nodesOf(condition).flatMap(({ kind, node }) =>
    kind === 'ColumnRef' ? (fieldsOf({ ColumnRef: node }) ?? []).slice(0, 1) : [],
  )
  return own.length > 0 && !names.some((name) => outside.has(name))
}
