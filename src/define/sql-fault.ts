import { lineAndColumn } from '../base/text-place.ts'
import { TidemarkError } from '../model/errors.ts'
import { sqlstateOf } from '../postgres/sqlstate.ts'

/** Classes of SQLSTATE by which PostgreSQL refuses a query: features, data, syntax and access, limits. */
const refusals = /^(0A|22|2F|42|54)/

/**
 * A refusal as TIDEMARK_SQL_INVALID in PostgreSQL's own words, with the place in the user's SQL, which stands in the statement after
 * `begin` characters; any other error comes back as it was.
 */
export function sqlFault(error: unknown, sql: string, begin: number): unknown {
  const state = sqlstateOf(error)
  if (error instanceof TidemarkError || state === undefined || !refusals.test(state)) return error
  const position = Number(Reflect.get(Object(error), 'position') ?? 0)
  const hint: unknown = Reflect.get(Object(error), 'hint')
  const words = error instanceof Error ? error.message : ''
  return new TidemarkError({
    code: 'TIDEMARK_SQL_INVALID',
    what: `PostgreSQL does not accept this SQL: ${words}`,
    mend: typeof hint === 'string' && hint !== '' ? hint : 'Correct the SQL there.',
    ...(position > begin ? { place: lineAndColumn(sql, position - 1 - begin) } : {}),
    cause: error,
  })
}
