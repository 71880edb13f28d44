import { dollarQuoted } from '../syntax/sql-text.ts'

/**
 * Statements of which parts are left out when they run. A delta has a term for each combination of inputs that may have
 * changed; a term over an input without changes gives no rows, but PostgreSQL plans its joins all the same, and that
 * took longer than all the rest of a refresh of few rows. So the text is put together from the terms that can give
 * rows, and EXECUTE plans these alone.
 *
 * Exact, for what is left out is a term of UNION ALL that gives no rows, or a query of WITH that only such terms read:
 * whatever reads changes has the condition that there are any, and is left out with them.
 */
export interface Assembly {
  readonly lists: { readonly parts: readonly Part[]; readonly separator: string }[]
  /** Variables of the program that the text refers to, as `$1` and so on. */
  readonly values: string[]
}

/** A term of UNION ALL or a query of WITH. */
export interface Part {
  /** SQL over variables of the program that is true when the part is wanted; null: always. */
  readonly gate: string | null
  readonly sql: string
}

/** An assembly with nothing in it. */
export const newAssembly = (): Assembly => ({ lists: [], values: [] })

/** A part with conditions on variables: in the text of a statement that stands as it is, else beside it. */
export function partOf(
  assembly: Assembly | null,
  gates: readonly (string | null)[],
  write: (conditions: readonly string[]) => string,
): Part {
  const own = [...new Set(gates.filter((gate) => gate !== null))]
  if (assembly === null) return { gate: null, sql: write(own) }
  return { gate: own.length === 0 ? null : own.join(' and '), sql: write([]) }
}

/**
 * Parts in a row. Where one may be left out, what is returned stands for them until {@link executeText}. A part alone is
 * wanted wherever that which it is a part of is.
 */
export function listText(
  assembly: Assembly | null,
  parts: readonly Part[],
  separator: string,
): string {
  if (assembly === null || parts.length === 1 || parts.every(({ gate }) => gate === null)) {
    return parts.map(({ sql }) => sql).join(separator)
  }
  assembly.lists.push({ parts, separator })
  return placeholder(assembly.lists.length - 1)
}

const placeholder = (number: number): string => `\uE000${String(number)}\uE001`

/** A variable of the program in the text of a statement. */
export function valueText(assembly: Assembly | null, variable: string): string {
  if (assembly === null) return variable
  if (!assembly.values.includes(variable)) assembly.values.push(variable)
  return `$${String(assembly.values.indexOf(variable) + 1)}`
}

/** The statement as PL/pgSQL, without semicolon; `into` is a list of variables. */
export function executeText(assembly: Assembly | null, sql: string, into: string): string {
  if (assembly === null) return `${sql}\ninto ${into}`
  const using = assembly.values.length === 0 ? '' : `\nusing ${assembly.values.join(', ')}`
  return `execute ${assembled(assembly, sql)}\ninto ${into}${using}`
}

/** An expression of PL/pgSQL that gives the text. */
function assembled(assembly: Assembly, text: string): string {
  const at = text.indexOf('\uE000')
  const until = text.indexOf('\uE001', at)
  const list = at < 0 ? undefined : assembly.lists[Number(text.slice(at + 1, until))]
  if (list === undefined) return dollarQuoted('sql', text)
  const before = text.slice(0, at)
  const indent = /(?:^|\n)( *)$/.exec(before)?.[1] ?? ''
  const moved = (sql: string): string => sql.replaceAll(/\n(?=.)/g, `\n${indent}`)
  const parts = list.parts.map(({ gate, sql }) => {
    const part = assembled(assembly, moved(sql))
    return gate === null ? part : `case when ${gate} then ${part} end`
  })
  const separator = dollarQuoted('sql', list.separator.replaceAll('\n', `\n${indent}`))
  const rest = assembled(assembly, text.slice(until + 1))
  return `${dollarQuoted('sql', before)}
  -- What reads no changes is left out.
  || array_to_string(array[
    ${parts.join(',\n    ')}
  ], ${separator})
  || ${rest}`
}
