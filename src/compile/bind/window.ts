import type { FuncCall, SelectStmt, WindowDef } from 'libpg-query'
import { must } from '../../base/assert.ts'
import type { Binding, Scope } from './scope.ts'
import { NoRule } from './scope.ts'
import type { Expressed } from './subquery.ts'
import { joinSubqueries } from './subquery.ts'
import type { Expression } from '../algebra/expression.ts'
import { columnOf, replaced } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Output, Relation } from '../algebra/relation.ts'
import { hasSubquery, nodesOf, treeText } from '../syntax/walk.ts'

interface Windowed extends Expressed {
  readonly select: SelectStmt
  readonly scope: Scope
}

/** Window functions, those of one partitioning and order together; their values become columns. */
export function bindWindows<State extends Windowed>(binding: Binding, state: State): State {
  const calls = new Map<string, { readonly output: Output; readonly call: FuncCall }>()
  const replaceCalls = (expression: Expression): Expression =>
    replaced(expression, (node) => {
      if (!('FuncCall' in node) || node.FuncCall.over === undefined) return undefined
      const call = node.FuncCall
      const text = treeText(call)
      const found = calls.get(text) ?? {
        output: {
          id: binding.fresh(functionName(call).replace(/^.*\./, '')),
          expression: { FuncCall: call },
        },
        call,
      }
      calls.set(text, found)
      return columnOf(found.output.id)
    })
  if (!state.expressions.some((expression) => hasWindow(expression))) return state
  const joinedState = joinInner(binding, state)
  let { relation } = joinedState
  const expressions = joinedState.expressions.map((expression) => replaceCalls(expression))
  const partitions = new Map<string, { partition: readonly Expression[]; calls: Output[] }>()
  for (const { output, call } of calls.values()) {
    refuseNested(call)
    const partition = call.over?.partitionClause ?? []
    // Of another order, rows that it leaves equal would come in another order.
    const sorting = treeText([partition, call.over?.orderClause])
    const found = partitions.get(sorting) ?? { partition, calls: [] }
    found.calls.push(output)
    partitions.set(sorting, found)
  }
  for (const { partition, calls: outputs } of partitions.values()) {
    relation = { kind: 'window', input: relation, partition, calls: outputs } satisfies Relation
  }
  return { ...state, relation, expressions }
}

/** Subqueries within the arguments and the windows are joined first. */
function joinInner(binding: Binding, state: Windowed): Expressed {
  let { relation } = state
  const expressions = state.expressions.map((expression) =>
    replaced(expression, (node) => {
      if (!('FuncCall' in node) || node.FuncCall.over === undefined || !hasSubquery(node))
        return undefined
      const joined = joinSubqueries(binding, { relation, expressions: [node], scope: state.scope })
      relation = joined.relation
      return joined.expressions[0]
    }),
  )
  return { relation, expressions }
}

const hasWindow = (tree: unknown): boolean =>
  nodesOf(tree).some(({ kind, node }) => kind === 'FuncCall' && node['over'] !== undefined)

/** A SELECT with each call's window written out where the WINDOW clause has it. */
export function withWindows(select: SelectStmt): SelectStmt {
  const named = namedWindows(select)
  if (named.size === 0) return select
  const written = <Tree>(tree: Tree): Tree =>
    replaced(tree, (node) =>
      'FuncCall' in node && node.FuncCall.over !== undefined
        ? { FuncCall: withDefinition(node.FuncCall, named) }
        : undefined,
    )
  const { targetList, sortClause, ...rest } = select
  return {
    ...rest,
    ...(targetList === undefined ? {} : { targetList: written(targetList) }),
    ...(sortClause === undefined ? {} : { sortClause: written(sortClause) }),
  }
}

function namedWindows({ windowClause }: SelectStmt): ReadonlyMap<string, WindowDef> {
  const found = new Map<string, WindowDef>()
  for (const node of windowClause ?? []) {
    if ('WindowDef' in node && node.WindowDef.name !== undefined)
      found.set(node.WindowDef.name, node.WindowDef)
  }
  return found
}

/** The call with its window written out. */
function withDefinition(call: FuncCall, named: ReadonlyMap<string, WindowDef>): FuncCall {
  const over = must(call.over, 'a window function has a window')
  const name = over.name ?? over.refname
  if (name === undefined) return call
  const { name: _name, refname: _refname, ...own } = over
  const definition = definitionOf(name, named)
  return { ...call, over: over.name !== undefined ? definition : { ...definition, ...own } }
}

/** What a name stands for; a window that builds upon another has its partitioning and perhaps its order. */
function definitionOf(name: string, windows: ReadonlyMap<string, WindowDef>): WindowDef {
  const found = windows.get(name)
  if (found === undefined) throw new NoRule(`window ${name} was not found`)
  const { name: _name, refname, ...own } = found
  return refname === undefined ? own : { ...definitionOf(refname, windows), ...own }
}

function refuseNested(call: FuncCall): void {
  for (const part of [
    call.args ?? [],
    call.over?.partitionClause ?? [],
    call.over?.orderClause ?? [],
  ]) {
    if (hasWindow(part)) throw new NoRule('a window function within another')
  }
}
