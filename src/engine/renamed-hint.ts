import type { Actual } from '../define/actual.ts'
import { TidemarkError } from '../model/errors.ts'

/** Throws the error of a query; of one that names a captured table that is called otherwise by now, with the name that it has. */
export function throwNamed(error: unknown, { catalogue }: Actual): never {
  if (!(error instanceof TidemarkError) || error.code !== 'TIDEMARK_SQL_INVALID') throw error
  const named = /relation "([^"]+)" does not exist/.exec(error.what)?.[1]
  if (named === undefined) throw error
  const renamed = catalogue.source.find(
    ({ name, relation }) =>
      typeof relation === 'string' &&
      typeof name === 'string' &&
      name !== relation.replaceAll('"', '') &&
      (name === named || name.endsWith(`.${named}`)),
  )
  if (renamed === undefined) throw error
  const { code, what, place, also } = error
  throw new TidemarkError({
    code,
    what,
    mend: `${String(renamed['name'])} is called ${String(renamed['relation'])} now: call it so there; its change log and what views hold stay.`,
    ...(place === undefined ? {} : { place }),
    also,
    cause: error,
  })
}
