import type { A_Expr, CaseExpr, Node, TypeCast } from 'libpg-query'
import { must } from '../../base/assert.ts'
import type { BindFacts } from '../algebra/facts.ts'
import { NoRule } from './scope.ts'
import { ownExpressions } from '../algebra/references.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import {
  asksForNull,
  both,
  columnIn,
  columnOf,
  either,
  isNull,
  operation,
} from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Output, Relation, Scan } from '../algebra/relation.ts'
import { columnsOf, inputsOf, relationsIn, rewriting, withInputs } from '../algebra/relation.ts'
import { isFields, nodesOf } from '../syntax/walk.ts'

/*
 * Comparisons that are printed without their operator. Programs run under a search_path of pg_catalog alone, where `=` of
 * citext is not found and the one of text would be taken. What the server prints with an operator it prints with the
 * schema; USING, CASE x WHEN, NULLIF, IS DISTINCT FROM and rows in IN it does not. They are written out with the
 * operator of the type: CASE x WHEN y is CASE WHEN x = y, NULLIF(x, y) is CASE WHEN x = y THEN NULL ELSE x END, and
 * x IS NOT DISTINCT FROM y is x = y, or both are NULL. Operands are evaluated more often so, which is nothing that an
 * expression without a volatile function could tell.
 */

/** Types of extensions whose `=` a search_path of pg_catalog alone does not find. */
const foreignTypes =
  /^(?:(.*)\.)?"?(?:citext|ltree|lquery|hstore|cube|seg|isbn|isbn13|ismn|issn|ean13|upc|vector|halfvec)"?(\(.*\))?(\[\])*$/

/**
 * What is known of the type of a value: the schema of the extension that it comes from and that has its operators; null
 * for a type of pg_catalog's own or of the user's; 'unclear' for what is computed from values of an extension's type.
 */
type Kind = { readonly schema: string } | 'unclear' | null

/**
 * Writes out the comparisons of a query whose operator lies in an extension's schema. Throws {@link NoRule} where the
 * type of an operand is not clear.
 */
export function withOperators(relation: Relation, facts: BindFacts): Relation {
  const kinds = new Kinds(relation, facts)
  if (!kinds.hasForeign) return relation
  return rewriting((each, rewrite) => withOwnOperators(withInputs(each, rewrite), kinds))(relation)
}

function withOwnOperators(relation: Relation, kinds: Kinds): Relation {
  if (relation.kind === 'whole') {
    const reads = columnsOf(relation).some((id) => kinds.ofColumn(id) !== null)
    if (reads && comparesUnnamed(relation.query)) throw unclear()
    return relation
  }
  const inputs = new Set<unknown>(inputsOf(relation))
  const walk = (value: unknown): unknown => {
    if (inputs.has(value)) return value
    if (Array.isArray(value)) return value.map(walk)
    if (!isFields(value)) return value
    const fields = Object.fromEntries(
      Object.entries(value).map(([name, part]) => [name, walk(part)]),
    )
    return 'A_Expr' in fields || 'CaseExpr' in fields
      ? compared(fields as Expression, kinds)
      : fields
  }
  return walk(relation) as Relation
}

/** Whether a statement compares without a name of an operator. */
const comparesUnnamed = (query: Expression): boolean =>
  nodesOf(query).some(
    ({ kind, node }) =>
      (kind === 'CaseExpr' && node['arg'] !== undefined) ||
      (kind === 'JoinExpr' && node['usingClause'] !== undefined) ||
      (kind === 'A_Expr' && /^AEXPR_(NULLIF|DISTINCT|NOT_DISTINCT|IN)$/.test(String(node['kind']))),
  )

const unclear = (): NoRule =>
  new NoRule(
    "it compares values of an extension's type by CASE, NULLIF, USING or IS DISTINCT FROM, whose operator has no name",
  )

/** A comparison with the operator that its operands have. */
function compared(expression: Expression, kinds: Kinds): Expression {
  if ('CaseExpr' in expression) return caseOf(expression.CaseExpr, kinds)
  if (!('A_Expr' in expression)) return expression
  const { kind, name = [], lexpr, rexpr } = expression.A_Expr
  if (lexpr === undefined || rexpr === undefined) return expression
  if ('RowExpr' in lexpr && 'RowExpr' in rexpr)
    return rowsCompared(expression.A_Expr, [lexpr.RowExpr.args, rexpr.RowExpr.args], kinds)
  if (name.length > 1) return expression
  // Compared with nothing, whatever it is.
  if (asksForNull(expression)) return expression
  if (kind === 'AEXPR_OP' && !/^(=|<>)$/.test(signOf(expression.A_Expr))) return expression
  const schema = kinds.schemaOf(lexpr, rexpr)
  if (schema === null) return expression
  const equal = (sign: string): Expression => namedOperation([schema, sign], lexpr, rexpr)
  // True or false, never NULL: where one side is NULL, whether the other is.
  const same = (): Expression => ({
    CoalesceExpr: { args: [equal('='), both([isNull(lexpr), isNull(rexpr)])] },
  })
  switch (kind) {
    case 'AEXPR_OP':
      return equal(signOf(expression.A_Expr))
    case 'AEXPR_NOT_DISTINCT':
      return same()
    case 'AEXPR_DISTINCT':
      return { BoolExpr: { boolop: 'NOT_EXPR', args: [same()] } }
    case 'AEXPR_NULLIF':
      return nullWhere(equal('='), lexpr)
    default:
      throw unclear()
  }
}

/** A value, or NULL where a condition is true. */
const nullWhere = (condition: Expression, value: Expression): Expression => ({
  CaseExpr: {
    args: [
      {
        CaseWhen: {
          expr: { BooleanTest: { arg: condition, booltesttype: 'IS_NOT_TRUE' } },
          result: value,
        },
      },
    ],
  },
})

/**
 * Two rows, column by column. The server prints the operator of their first columns for all of them: (a, b) < (x, y) is
 * a < x, or a = x and b < y, NULL where the first two that are not equal are. NULLIF compares them as values, in which one NULL
 * is equal to another.
 */
function rowsCompared(
  expression: A_Expr,
  [left = [], right = []]: readonly (readonly Node[] | undefined)[],
  kinds: Kinds,
): Expression {
  const sign = signOf(expression)
  const pairs = left.map((one, at) => [one, must(right[at], 'rows are as wide')] as const)
  const isPlain = pairs.every(([one, other]) => kinds.schemaOf(one, other) === null)
  if (isPlain || !/^(=|<>|[<>]=?)$/.test(sign)) return { A_Expr: expression }
  if (expression.kind === 'AEXPR_NULLIF') {
    const same = pairs.map(([lexpr, rexpr]) =>
      compared({ A_Expr: { ...expression, kind: 'AEXPR_NOT_DISTINCT', lexpr, rexpr } }, kinds),
    )
    return nullWhere(both(same), {
      RowExpr: { args: [...left], row_format: 'COERCE_EXPLICIT_CALL' },
    })
  }
  const by = (operator: string, [lexpr, rexpr]: readonly [Expression, Expression]): Expression => {
    const schema = kinds.schemaOf(lexpr, rexpr)
    return schema === null
      ? operation(operator, lexpr, rexpr)
      : namedOperation([schema, operator], lexpr, rexpr)
  }
  if (sign === '=') return both(pairs.map((pair) => by(sign, pair)))
  if (sign === '<>') return either(pairs.map((pair) => by(sign, pair)))
  const [first, ...others] = [...pairs].reverse()
  return others.reduce(
    (rest, pair) => either([by(sign.charAt(0), pair), both([by('=', pair), rest])]),
    by(sign, must(first, 'a row has a column')),
  )
}

const namedOperation = (
  name: readonly [string, string],
  lexpr: Expression,
  rexpr: Expression,
): Expression => ({
  A_Expr: { kind: 'AEXPR_OP', name: name.map((sval) => ({ String: { sval } })), lexpr, rexpr },
})

const signOf = ({ name = [] }: A_Expr): string => {
  const last = name.at(-1)
  return last !== undefined && 'String' in last ? (last.String.sval ?? '') : ''
}

function caseOf(expression: CaseExpr, kinds: Kinds): Expression {
  const { arg, args = [], ...rest } = expression
  if (arg === undefined) return { CaseExpr: expression }
  const whens = args.flatMap((each) => ('CaseWhen' in each ? [each.CaseWhen] : []))
  const schemas = new Set(
    whens.map(({ expr }) => (expr === undefined ? null : kinds.schemaOf(arg, expr))),
  )
  if (schemas.size === 1 && schemas.has(null)) return { CaseExpr: expression }
  const [schema, another] = [...schemas]
  if (schema === null || schema === undefined || another !== undefined) throw unclear()
  return {
    CaseExpr: {
      ...rest,
      args: whens.map((when): Node => ({
        CaseWhen: {
          ...when,
          expr: namedOperation([schema, '='], arg, must(when.expr, 'WHEN has a value')),
        },
      })),
    },
  }
}

const kindOfType = (type: string): Kind => {
  const found = foreignTypes.exec(type)
  if (found === null) return null
  // An element of an array would be of the type, the array is not.
  return type.endsWith(']') ? 'unclear' : { schema: (found[1] ?? 'public').replaceAll('"', '') }
}

const kindOfCast = ({ typeName }: TypeCast): Kind => {
  const names = (typeName?.names ?? []).map((part) => ('String' in part ? part.String.sval : ''))
  return kindOfType(`${names.join('.')}${typeName?.arrayBounds === undefined ? '' : '[]'}`)
}

function kindInTable({ of, columns }: Scan, id: ColumnId, facts: BindFacts): Kind {
  if (of.kind === 'stage') return null
  const table = facts.tables.get(of.name)
  const name = columns.find((column) => column.id === id)?.name
  return kindOfType(table?.columns.find((column) => column.name === name)?.type ?? '')
}

/** What all of some values are. */
function joint(kinds: readonly Kind[]): Kind {
  const [first, ...others] = kinds.map((kind) => (isSchema(kind) ? kind.schema : kind))
  if (first === undefined || first === null)
    return others.every((kind) => kind === null) ? null : 'unclear'
  return first === 'unclear' || others.some((kind) => kind !== first)
    ? 'unclear'
    : { schema: first }
}

const isSchema = (kind: Kind | undefined): kind is { readonly schema: string } =>
  typeof kind === 'object' && kind !== null

/** The nodes that a node is made of. */
function* partsOf(value: unknown): Generator<Expression> {
  for (const part of Array.isArray(value) ? value : isFields(value) ? Object.values(value) : []) {
    const [kind = ''] = isFields(part) ? Object.keys(part) : []
    if (/^[A-Z]/.test(kind)) yield part as Expression
    else yield* partsOf(part)
  }
}

/** Whether an expression says what is true, whatever it is made of. */
const isTruth = (expression: Expression): boolean =>
  'BoolExpr' in expression ||
  'NullTest' in expression ||
  'BooleanTest' in expression ||
  ('A_Expr' in expression &&
    (/^(=|<>|<|>|<=|>=|!?~~?\*?|@>|<@)$/.test(signOf(expression.A_Expr)) ||
      /DISTINCT|LIKE|ANY|ALL|_IN$/.test(expression.A_Expr.kind ?? '')))

/** The kinds of the columns of a query, and of expressions over them. */
class Kinds {
  /** Whether there is any value of an extension's type. */
  readonly hasForeign: boolean
  /** What a column is computed from: it is of the type that all of these have. */
  readonly #from = new Map<ColumnId, readonly Expression[]>()
  readonly #known = new Map<ColumnId, Kind>()

  constructor(relation: Relation, facts: BindFacts) {
    const all = [...new Set(relationsIn(relation))]
    for (const each of all) this.#note(each, facts)
    this.hasForeign =
      [...this.#known.values()].some((kind) => kind !== null) ||
      all.some((each) =>
        nodesOf(ownExpressions(each)).some(
          ({ kind, node }) => kind === 'TypeCast' && kindOfCast(node) !== null,
        ),
      )
  }

  ofColumn(id: ColumnId): Kind {
    const known = this.#known.get(id)
    if (known !== undefined) return known
    this.#known.set(id, null)
    const kind = joint((this.#from.get(id) ?? []).map((each) => this.of(each)))
    this.#known.set(id, kind)
    return kind
  }

  of(expression: Expression): Kind {
    const id = columnIn(expression)
    if (id !== null) return this.ofColumn(id)
    if ('TypeCast' in expression) return kindOfCast(expression.TypeCast)
    if (isTruth(expression)) return null
    if ('CaseExpr' in expression)
      return joint(resultsOf(expression.CaseExpr).map((each) => this.of(each)))
    const kinds = [...partsOf(Object.values(expression)[0])].map((each) => this.of(each))
    if (kinds.every((kind) => kind === null)) return null
    if ('CoalesceExpr' in expression || 'MinMaxExpr' in expression) return joint(kinds)
    const name = 'FuncCall' in expression ? functionName(expression.FuncCall) : ''
    if (name === 'count') return null
    return /^(.*\.)?(min|max|first|only|lag|lead|first_value|last_value|nth_value)$/.test(name)
      ? (kinds[0] ?? null)
      : 'unclear'
  }

  /** The schema of the operators by which two values are compared; null when it is pg_catalog. */
  schemaOf(one: Expression, other: Expression): string | null {
    const [left, right] = [this.of(one), this.of(other)]
    if (left === 'unclear' || right === 'unclear') throw unclear()
    // Beside a value of another type it is taken as text, wherever it is compared.
    return left !== null && right !== null && left.schema === right.schema ? left.schema : null
  }

  #note(relation: Relation, facts: BindFacts): void {
    switch (relation.kind) {
      case 'scan':
        for (const id of columnsOf(relation)) this.#known.set(id, kindInTable(relation, id, facts))
        return
      case 'project':
      case 'window':
      case 'aggregate':
      case 'moving':
        for (const { id, expression } of outputsOf(relation)) {
          if (columnIn(expression) !== id) this.#from.set(id, [expression])
        }
        return
      case 'union':
      case 'set': {
        const sides = inputsOf(relation).map((input) => columnsOf(input))
        relation.columns.forEach((id, at) =>
          this.#from.set(
            id,
            sides.map((side) => columnOf(side[at] ?? '')),
          ),
        )
        return
      }
      case 'rows':
        for (const id of relation.columns)
          this.#from.set(id, [{ RowExpr: { args: [relation.item] } }])
        return
      case 'whole': {
        const [read] = relation.reads
        if (relation.copies === true && read !== undefined) {
          relation.columns.forEach((id, at) =>
            this.#known.set(id, kindInTable(read, columnsOf(read)[at] ?? '', facts)),
          )
          return
        }
        const foreign = relation.reads.some((scan) =>
          columnsOf(scan).some((id) => kindInTable(scan, id, facts) !== null),
        )
        for (const id of relation.columns) this.#known.set(id, foreign ? 'unclear' : null)
        return
      }
      default:
    }
  }
}

const resultsOf = ({ args = [], defresult }: CaseExpr): readonly Expression[] => [
  ...args.flatMap((each) =>
    'CaseWhen' in each && each.CaseWhen.result !== undefined ? [each.CaseWhen.result] : [],
  ),
  ...(defresult === undefined ? [] : [defresult]),
]

function outputsOf(
  relation: Extract<Relation, { kind: 'project' | 'window' | 'aggregate' | 'moving' }>,
): readonly Output[] {
  if (relation.kind === 'project') return relation.columns
  if (relation.kind === 'window') return relation.calls
  return relation.kind === 'moving' ? [relation.mark] : [...relation.keys, ...relation.calls]
}
