import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'

/** Runs a step for a view of the configuration; a fault that it throws says in which view it is. */
export async function placed<Result>(
  view: RelationName,
  step: () => Promise<Result>,
): Promise<Result> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error
    const { code, what, mend, place } = error
    const where = `views.${view}`
    const at = place === undefined ? where : `${where}, ${place}`
    throw new TidemarkError({ code, what, mend, place: at, cause: error })
  }
}
