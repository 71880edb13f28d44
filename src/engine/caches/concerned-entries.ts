import type { EntryOwner } from '../../cache/cache-event.ts'
import type { InvalidatedNames } from '../../cache/statistics.ts'
import type { DependentKind } from '../../invalidate/concerned.ts'
import { concernedByKey, concernedByTag } from '../../invalidate/concerned.ts'

/** Tells, for statistics, whose entries an invalidation concerns: once for each of its names. */
export function concernedEntries(
  namespace: string,
  kinds: ReadonlyMap<string, DependentKind>,
): (named: InvalidatedNames) => readonly EntryOwner[] {
  return ({ tags, keys }) => {
    const all = [...kinds.values()]
    return [
      ...tags.flatMap((tag) => concernedByTag(tag, all)),
      ...keys.flatMap((key) => concernedByKey(key.slice(namespace.length + 1), all)),
    ]
  }
}
