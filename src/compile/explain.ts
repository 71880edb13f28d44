import type { SelectStmt } from 'libpg-query'
import { expressionText, sortText } from './emit/relation.ts'
import type { StoredStage } from './emit/stored-stage.ts'
import type { Expression } from './algebra/expression.ts'
import { columnIn } from './algebra/expression.ts'
import type { Output, Relation, ScanTarget } from './algebra/relation.ts'
import { columnsOf, inputsOf, isConstant, scansIn } from './algebra/relation.ts'
import type { Stage } from './algebra/stages.ts'
import { isFields } from './syntax/walk.ts'

/** How a stage is brought up to date. */
export type StageMethod = 'changes' | 'weights' | 'keys' | 'first' | 'all'

/** A stage in a few words. */
export interface StageSummary {
  readonly number: number
  /** What the part of the query is: `aggregate`, `window`, `linear` … */
  readonly kind: string
  readonly method: StageMethod
  /** The table that holds it, as SQL. */
  readonly table: string
  /** The columns that it stores, those of the key that nobody sees among them. */
  readonly stores: readonly string[]
  /** Rows change only where the input changed at the same key, as SQL. */
  readonly key: readonly string[]
  /** Tables, views and stages that it reads. */
  readonly reads: readonly string[]
}

/** What is done to a stage when something that it reads has changed, for people. */
export const methodWords: Readonly<Record<StageMethod, string>> = {
  changes: 'its changes follow from those of what it reads, and are written as they are',
  weights: 'groups are kept up by adding what came and taking away what went',
  keys: 'rows of a key at which something changed are computed afresh',
  first:
    'the first rows are kept, and some after them; where too few are left, all are looked through',
  all: 'computed afresh altogether when something that it reads has changed',
}

/** Sums a stage up. */
export function stageSummary({
  stage,
  table,
  outputs,
  hiddenKey,
  groups,
}: StoredStage): StageSummary {
  const { number, core, linear } = stage
  return {
    number,
    kind: linear ? 'linear' : core.kind,
    method: linear ? 'changes' : groups !== null ? 'weights' : methodOf(stage),
    table,
    stores: [...outputs, ...hiddenKey].map(({ name }) => name),
    key: keyTexts(stage),
    reads: [...new Set(scansIn(core).map(({ of }) => targetName(of)))],
  }
}

function methodOf({ core, key, firstRows }: Stage): StageMethod {
  if (key.length > 0) return 'keys'
  const ofFirst = scansIn(core).some(({ of }) => of.kind === 'stage' && of.firstRows === true)
  return firstRows !== undefined || ofFirst ? 'first' : 'all'
}

/** The key over the input, where the core has names of its own for it. */
function keyTexts({ core, key }: Stage): readonly string[] {
  const named = core.kind === 'aggregate' ? core.keys : []
  return key.map(({ expression }) => {
    const id = columnIn(expression)
    const found = named.find((output) => output.id === id)
    return expressionText(found?.expression ?? expression)
  })
}

const targetName = (of: ScanTarget): string =>
  of.kind === 'stage' ? `stage ${String(of.number)}` : of.name

/** A bound query as a tree, one relation a line, what it is made of indented below it. */
export function relationLines(relation: Relation): readonly string[] {
  return [
    headOf(relation),
    ...inputsOf(relation).flatMap((input) => relationLines(input).map((line) => `  ${line}`)),
  ]
}

const list = (parts: readonly string[]): string => parts.join(', ')

const expressions = (parts: readonly Expression[]): string =>
  list(parts.map((part) => expressionText(part)))

/** `total_1 = sum(amount_1)`, or the id alone where the column is only handed on. */
const outputTexts = (outputs: readonly Output[]): string =>
  list(
    outputs.map(({ id, expression }) =>
      columnIn(expression) === id ? id : `${id} = ${expressionText(expression)}`,
    ),
  )

const where = (word: string, conditions: readonly Expression[]): string =>
  conditions.length === 0
    ? ''
    : ` ${word} ${conditions.map((condition) => expressionText(condition)).join(' and ')}`

/** One line that says what a relation is, its inputs left out. */
function headOf(relation: Relation): string {
  switch (relation.kind) {
    case 'scan':
      return `scan ${targetName(relation.of)}: ${list(columnsOf(relation)) || 'no column'}`
    case 'rows':
      return `rows of a function or VALUES: ${list(relation.columns)}`
    case 'project':
      return `project ${outputTexts(relation.columns)}`
    case 'union':
      return `union all: ${list(relation.columns)}`
    case 'product':
    case 'outer':
    case 'match':
    case 'mark':
      return joinHead(relation)
    case 'moving':
      return `asks the clock: ${outputTexts([relation.mark])}`
    default:
      return keyedHead(relation)
  }
}

type Join = Extract<Relation, { kind: 'product' | 'outer' | 'match' | 'mark' }>

function joinHead(relation: Join): string {
  switch (relation.kind) {
    case 'product':
      return `${relation.inputs.length === 1 ? 'filter' : 'product'}${where('where', relation.where)}`
    case 'outer':
      return `${relation.full ? 'full' : 'left'} join${where('on', relation.on)}`
    case 'match':
      return `${relation.anti ? 'anti' : 'semi'} join${where('on', relation.on)}`
    case 'mark':
      return `mark ${relation.id} = ${relation.test}${where('on', relation.on)}`
  }
}

type Keyed = Extract<
  Relation,
  { kind: 'aggregate' | 'window' | 'top' | 'set' | 'apply' | 'whole' | 'partition' }
>

function keyedHead(relation: Keyed): string {
  switch (relation.kind) {
    case 'aggregate': {
      const by = relation.keys.length === 0 ? '' : ` by ${outputTexts(relation.keys)}`
      if (relation.calls.length === 0) return `distinct${by}`
      return `aggregate${by}: ${outputTexts(relation.calls)}`
    }
    case 'window': {
      const { partition, calls } = relation
      const by = partition.length === 0 ? '' : ` partition by ${expressions(partition)}`
      return `window${by}: ${outputTexts(calls)}`
    }
    case 'top':
      return topHead(relation)
    case 'set':
      return `${relation.operation}${relation.all ? ' all' : ''}: ${list(relation.columns)}`
    case 'apply':
      return `for each row of the first the rows of the second${relation.outer ? ', or NULLs' : ''} (lateral)`
    case 'whole':
      return `computed as a whole${relation.refused === null ? '' : `: ${relation.refused.reason}`}`
    case 'partition':
      return `of each ${relation.by}, over ${list(relation.cuts.map(({ name, key }) => `${name} by ${expressionText(key)}`))}`
  }
}

function topHead({ per, order, limit, offset, ties }: Extract<Relation, { kind: 'top' }>): string {
  const parts = [
    per.length === 0 ? '' : ` of each ${expressions(per)}`,
    order.length === 0 ? '' : ` order by ${list(order.map((item) => sortText(item)))}`,
    offset === null ? '' : ` offset ${expressionText(offset)}`,
    limit === null ? '' : ` limit ${expressionText(limit)}`,
    ties ? ' with ties' : '',
  ]
  return `first rows${parts.join('')}`
}

/** A stage as a tree: what is stored, of which rows. */
export function stageLines(stage: Stage, title: string): readonly string[] {
  const { having, outputs, core } = stage
  return [
    title,
    `  stores ${outputTexts(outputs) || 'rows without columns'}`,
    ...(stage.key.length === 0 ? [] : [`  by key ${list(keyTexts(stage))}`]),
    ...(having.length === 0
      ? []
      : [`  where ${having.map((one) => expressionText(one)).join(' and ')}`]),
    ...relationLines(core).map((line) => `  ${line}`),
  ]
}

/** What changes in a stage, as formulas: Δ is what came less what went; a relation without Δ is as it is now. */
export function deltaLines(
  stage: Stage,
  { title, weights }: { readonly title: string; readonly weights: boolean },
): readonly string[] {
  const formulas = new Formulas()
  const { core, linear } = stage
  const inputs = linear ? [core] : inputsOf(core)
  const names = inputs.map((input) => formulas.nameOf(input))
  const changes = inputs.flatMap((input, at) => (isConstant(input) ? [] : [`Δ${names[at] ?? ''}`]))
  const head = linear ? [] : [`core = ${headOf(core)} of ${list(names)}`]
  const result = linear
    ? [`Δ = ${changes.join(' + ') || '0'}`]
    : keyedChange(stage, changes, weights)
  return [title, ...[...formulas.lines, ...head, ...result].map((line) => `  ${line}`)]
}

/** How the rows of a stage change that is kept by key. */
function keyedChange(
  stage: Stage,
  changes: readonly string[],
  weights: boolean,
): readonly string[] {
  const keys = list(keyTexts(stage))
  if (weights) {
    return [
      `Δgroups = counts, sums and extremes of ${list(changes)}${keys === '' ? '' : ` by ${keys}`}, each by its weight`,
      'Δ = rows of the groups that changed, less what is stored of them',
    ]
  }
  if (keys === '') {
    return [
      `Δ = all rows, computed afresh, less what is stored, where ${changes.join(' or ')} is not empty`,
    ]
  }
  return [
    `keys = ${keys} of ${changes.join(' and ')}`,
    'Δ = rows with one of these keys, computed afresh, less what is stored under them',
  ]
}

/** Names for the parts of a relation, each with what it is and how it changes. */
class Formulas {
  readonly lines: string[] = []
  readonly #names = new Map<Relation, string>()
  #last = 0

  nameOf(relation: Relation): string {
    const known = this.#names.get(relation)
    if (known !== undefined) return known
    const name = this.#named(relation)
    this.#names.set(relation, name)
    return name
  }

  #named(relation: Relation): string {
    if (relation.kind === 'scan') return targetName(relation.of).replace(/^public\./, '')
    if (relation.kind === 'product' && relation.inputs.length > 1) return this.#join(relation)
    const inputs = inputsOf(relation)
    const names = inputs.map((input) => this.nameOf(input))
    const [a = '', b = ''] = names
    const name = this.#fresh()
    const moved = (at: number): boolean => {
      const input = inputs[at]
      return input !== undefined && !isConstant(input)
    }
    const of = names.length === 0 ? '' : ` of ${list(names)}`
    this.lines.push(`${name} = ${headOf(relation)}${of}`)
    if (!isConstant(relation)) {
      this.lines.push(`Δ${name} = ${changeOf(relation, { a, b, names, moved }).join(' ') || '0'}`)
    }
    return name
  }

  /** A join of several, in steps of two. */
  #join(relation: Extract<Relation, { kind: 'product' }>): string {
    const names = relation.inputs.map((input) => this.nameOf(input))
    return names.reduce((left, right, at) => {
      const name = this.#fresh()
      const [before, after] = [relation.inputs.slice(0, at), relation.inputs[at]]
      const leftMoves = before.some((input) => !isConstant(input))
      const rightMoves = after !== undefined && !isConstant(after)
      const condition = at === names.length - 1 ? where('where', relation.where) : ''
      this.lines.push(`${name} = ${left} ⋈ ${right}${condition}`)
      const terms = [
        ...(leftMoves ? [`Δ${left} ⋈ ${right}`] : []),
        ...(rightMoves ? [`${left} ⋈ Δ${right}`] : []),
      ]
      const twice = leftMoves && rightMoves ? ` − Δ${left} ⋈ Δ${right}` : ''
      if (terms.length > 0) this.lines.push(`Δ${name} = ${terms.join(' + ')}${twice}`)
      return name
    })
  }

  #fresh(): string {
    this.#last += 1
    return `r${String(this.#last)}`
  }
}

interface Parts {
  readonly a: string
  readonly b: string
  readonly names: readonly string[]
  /** Whether an input can change. */
  readonly moved: (at: number) => boolean
}

/** How a relation changes, as terms: by what came and went on the left, then on the right or by the clock. */
function changeOf(relation: Relation, { a, b, names, moved }: Parts): readonly string[] {
  const before = moved(0) ? `(${a} − Δ${a})` : a
  const terms = (left: string, right: string): readonly string[] => [
    ...(moved(0) ? [left] : []),
    ...(moved(1) || relation.kind === 'moving' ? [right] : []),
  ]
  switch (relation.kind) {
    case 'union':
      return [names.flatMap((name, at) => (moved(at) ? [`Δ${name}`] : [])).join(' + ')]
    case 'outer':
      return terms(
        `Δ${a} with partners in ${b} or NULLs`,
        `+ ${before} ⋈ Δ${b} ± rows of ${before} that lost or found their only partner, with NULLs${relation.full ? ', and the same of the right' : ''}`,
      )
    case 'match':
      return terms(
        `Δ${a} ${relation.anti ? 'without' : 'with'} a partner in ${b}`,
        `± rows of ${before} that lost or found their only partner`,
      )
    case 'mark':
      return terms(
        `Δ${a} with its mark as it is now`,
        `± rows of ${before} whose mark is another one now`,
      )
    case 'moving':
      return terms(
        `Δ${a} with its value as it is now`,
        `± rows of ${before} whose value is another one now`,
      )
    case 'product':
      return [`rows of Δ${a} that meet the condition`]
    case 'project':
      return [`the same of Δ${a}`]
    default:
      return [`computed afresh where ${list(names.map((name) => `Δ${name}`))} is not empty`]
  }
}

const unshown =
  /^(location|stmt_location|stmt_len|list_start|list_end|rexpr_list_start|rexpr_list_end)$/

/** A syntax tree, a node a line. */
export const syntaxLines = (select: SelectStmt): readonly string[] =>
  nodeLines('SelectStmt', select)

function nodeLines(name: string, value: unknown): readonly string[] {
  if (Array.isArray(value)) {
    const items = value.flatMap((item) => nodeLines('', item))
    return name === '' ? items : [name, ...items.map((line) => `  ${line}`)]
  }
  if (!isFields(value)) return [`${name} ${JSON.stringify(value)}`.trim()]
  const fields = Object.entries(value).filter(([field]) => !unshown.test(field))
  const [only, another] = fields
  // The name of a node's kind stands alone around it.
  if (only !== undefined && another === undefined && /^[A-Z]/.test(only[0])) {
    return nodeLines(`${name} ${only[0]}`.trim(), only[1])
  }
  const plain = fields.filter(([, inner]) => typeof inner !== 'object')
  const head = [name, ...plain.map(([field, inner]) => `${field}=${JSON.stringify(inner)}`)]
  const below = fields.filter(([, inner]) => typeof inner === 'object')
  return [
    head.filter((part) => part !== '').join(' '),
    ...below.flatMap(([field, inner]) => nodeLines(field, inner).map((line) => `  ${line}`)),
  ]
}
