import type { Queryable } from '../../src/postgres/connection.ts'

/** What a poll answers. */
export interface News {
  readonly epoch: string
  readonly position: number
  readonly complete: boolean
  readonly more: boolean
  readonly snapshot: string
  readonly problem: string | null
  readonly invalidations: readonly (readonly [
    position: number,
    kind: 'tag' | 'key',
    name: string,
    verb: string,
    first: string,
    last: string,
  ])[]
}

/** Polls namespace `shop`. */
export async function poll(
  queryable: Pick<Queryable, 'query'>,
  since: number | null = null,
  options: { readonly epoch?: string; readonly max?: number } = {},
): Promise<News> {
  const [news] = await queryable.query<News>(
    `select epoch, position::float8 as position, complete, more, snapshot::text as snapshot, problem, invalidations
     from tidemark.poll_invalidations('shop', $1, $2, $3)`,
    [since, options.epoch ?? null, options.max ?? 10_000],
  )
  if (news === undefined) throw new Error('a poll answers one row')
  return news
}

/** The tags of an answer, sorted; keys, and those that are only to expire, with a mark. */
export const tagsOf = ({ invalidations }: News): readonly string[] =>
  invalidations
    .map(
      ([, kind, name, verb]) =>
        `${kind === 'key' ? 'key ' : ''}${verb === 'remove' ? '' : `${verb} `}${name}`,
    )
    .toSorted()

/** The tags of what was done since. */
export async function tagsAfter(
  queryable: Pick<Queryable, 'query'>,
  body: () => Promise<unknown>,
): Promise<readonly string[]> {
  const { position } = await poll(queryable)
  await body()
  return tagsOf(await poll(queryable, position))
}
