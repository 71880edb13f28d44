import type { A_Expr, TypeCast } from 'libpg-query'
import type { ColumnType } from '../../model/view.ts'
import type { Expression } from './expression.ts'
import { columnIn } from './expression.ts'

/** More scales than these are not told apart. */
const scalesMax = 4

/**
 * The numbers of decimal places that the value of an expression can be printed with, where they follow from the
 * types of columns and from constants; null when any number is possible.
 *
 * PostgreSQL keeps the places of a numeric: sums and differences have those of the finer side, products those of both
 * together (numeric.c, add_var and mul_var).
 */
export function scalesOf(
  expression: Expression,
  typeOf: (expression: Expression) => ColumnType,
): readonly number[] | null {
  const scales = possible(expression, typeOf)
  if (scales === null || scales.size === 0 || scales.size > scalesMax) return null
  return [...scales].sort((one, other) => one - other)
}

type Scales = ReadonlySet<number> | null

type TypeOf = (expression: Expression) => ColumnType

function possible(expression: Expression, typeOf: TypeOf): Scales {
  if (columnIn(expression) !== null) return ofType(typeOf(expression))
  if ('A_Const' in expression) return ofConstant(expression.A_Const)
  if ('TypeCast' in expression) return ofCast(expression.TypeCast, typeOf)
  if ('CoalesceExpr' in expression) return union(expression.CoalesceExpr.args ?? [], typeOf)
  if ('A_Expr' in expression) return ofOperator(expression.A_Expr, typeOf)
  if (!('CaseExpr' in expression)) return null
  const { args = [], defresult } = expression.CaseExpr
  const results = args.map((arg) => ('CaseWhen' in arg ? arg.CaseWhen.result : undefined))
  // Without ELSE it is NULL, which is no value.
  return union([...results, ...(defresult === undefined ? [] : [defresult])], typeOf)
}

function ofCast({ arg, typeName }: TypeCast, typeOf: TypeOf): Scales {
  const names = (typeName?.names ?? []).map((part) => ('String' in part ? part.String.sval : ''))
  const name = names.at(-1) ?? ''
  if (/^int[248]$/.test(name)) return new Set([0])
  if (name !== 'numeric') return null
  if (typeName?.typmods === undefined) return arg === undefined ? null : possible(arg, typeOf)
  const [, scale] = typeName.typmods
  if (scale === undefined) return new Set([0])
  return 'A_Const' in scale ? new Set([scale.A_Const.ival?.ival ?? 0]) : null
}

function ofOperator({ kind, name, lexpr, rexpr }: A_Expr, typeOf: TypeOf): Scales {
  const [part] = name ?? []
  const sign = part !== undefined && 'String' in part ? (part.String.sval ?? '') : ''
  if (kind !== 'AEXPR_OP' || rexpr === undefined || !/^[-+*]$/.test(sign)) return null
  const right = possible(rexpr, typeOf)
  if (lexpr === undefined) return sign === '*' ? null : right
  const left = possible(lexpr, typeOf)
  return sign === '*'
    ? combined(left, right, (one, other) => one + other)
    : combined(left, right, Math.max)
}

function ofType({ type, scale: known }: ColumnType): Scales {
  if (known !== undefined) return new Set([known])
  if (/^(smallint|integer|bigint)$/.test(type)) return new Set([0])
  const [, scale] = /^numeric\(\d+,(\d+)\)$/.exec(type) ?? []
  return scale === undefined ? null : new Set([Number(scale)])
}

function ofConstant(constant: {
  ival?: unknown
  fval?: { fval?: string }
  sval?: { sval?: string }
  isnull?: boolean
}): Scales {
  if (constant.isnull === true) return new Set()
  if (constant.ival !== undefined) return new Set([0])
  const text = constant.fval?.fval ?? constant.sval?.sval
  if (text === undefined || !/^-?\d+(\.\d+)?$/.test(text)) return null
  return new Set([text.split('.')[1]?.length ?? 0])
}

function union(
  parts: readonly (Expression | undefined)[],
  typeOf: (expression: Expression) => ColumnType,
): Scales {
  const all = new Set<number>()
  for (const part of parts) {
    const scales = part === undefined ? null : possible(part, typeOf)
    if (scales === null) return null
    for (const scale of scales) all.add(scale)
  }
  return all
}

function combined(
  left: Scales,
  right: Scales,
  how: (one: number, other: number) => number,
): Scales {
  if (left === null || right === null) return null
  return new Set([...left].flatMap((one) => [...right].map((other) => how(one, other))))
}
