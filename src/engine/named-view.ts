import { nearest } from '../base/nearest.ts'
import type { RelationName } from '../model/ids.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Queryable } from '../postgres/connection.ts'

const bare = (name: string): string => name.slice(name.indexOf('.') + 1)

/** The names of all views, in order. Sees them with the rights of a mere reader. */
export async function viewNamesOf(database: Queryable): Promise<readonly RelationName[]> {
  const rows = await database.query<{ view: RelationName }>(
    'select view from tidemark.freshness_of() order by view',
  )
  return rows.map(({ view }) => view)
}

/** Which of `views` a person means: the whole name, one in schema public, or the one that ends so. */
export function viewMeant(text: string, views: readonly RelationName[]): RelationName | undefined {
  const exact = views.filter((view) => view === text)
  const inPublic = views.filter((view) => view === `public.${text}`)
  const ending = views.filter((view) => bare(view) === text)
  for (const found of [exact, inPublic, ending]) {
    if (found.length === 1) return found[0]
  }
  return undefined
}

/**
 * The view that a person means. Throws `TIDEMARK_VIEW_UNKNOWN` with the nearest name, or with all
 * names that fit.
 */
export async function viewNamed(database: Queryable, text: string): Promise<RelationName> {
  const views = await viewNamesOf(database)
  const view = viewMeant(text, views)
  if (view !== undefined) return view
  throw viewUnknown(text, views)
}

/** The fault of a name that no view has, or several. */
export function viewUnknown(text: string, views: readonly RelationName[]): TidemarkError {
  const several = views.filter((view) => bare(view) === text)
  const near = nearest(text, [...views, ...views.map(bare)])
  const mend =
    several.length > 1
      ? `Write one of ${several.join(', ')}.`
      : near !== undefined
        ? `Did you mean ${near}? 'tidemark status' lists all views.`
        : views.length === 0
          ? "No view is declared yet: add one to the configuration and run 'tidemark apply'."
          : "'tidemark status' lists all views."
  return new TidemarkError({
    code: 'TIDEMARK_VIEW_UNKNOWN',
    what: `${several.length > 1 ? 'Several views are' : 'No view is'} called ${text}`,
    mend,
  })
}
