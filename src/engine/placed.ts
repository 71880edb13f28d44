import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'

/** Runs a step for a view of the configuration; a fault that it throws says in which view it is. */
export const placed = <Result>(view: RelationName, step: () => Promise<Result>): Promise<Result> =>
  placedIn(`views.${view}`, step)

/** Runs a step over something that has a name, such as a file; a fault that it throws says in which it is. */
async function placedIn<Result>(where: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error
    const { code, what, mend, place } = error
    const at = place === undefined ? where : `${where}, ${place}`
    throw new TidemarkError({ code, what, mend, place: at, cause: error })
  }
}
