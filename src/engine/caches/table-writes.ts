import type { Cache } from '../../cache/cache.ts'
import type { DependentKind } from '../../invalidate/concerned.ts'
import { parsePattern } from '../../invalidate/pattern.ts'
import type { TableWrite, WritePattern } from '../../invalidate/table-write.ts'
import { tagsOfPattern, tagsOfWrite } from '../../invalidate/table-write.ts'
import { TidemarkError } from '../../model/errors.ts'
import { relationOf } from '../../model/ids.ts'
import type { Tag } from '../../model/invalidation.ts'

/** What a write to a table invalidates beside what depends on it: patterns, or patterns of some writes alone. */
export type OnWrite = readonly (
  string | { readonly invalidates: readonly string[]; readonly columns: readonly string[] }
)[]

/** What a cache knows of the tables that its entries are made of. */
export interface TableWriteParts {
  readonly cache: Cache
  /** By table or model. */
  readonly declared: Readonly<Record<string, OnWrite>>
  readonly kinds: ReadonlyMap<string, DependentKind>
  /** Whether the database tells of committed writes, whoever made them. */
  readonly journalTells: boolean
}

/** Turns writes that code tells of into invalidations. */
export class TableWrites {
  readonly #parts: TableWriteParts
  /** What was declared, once it was read: by table or model. */
  #patterns: ReadonlyMap<string, readonly WritePattern[]> | undefined

  constructor(parts: TableWriteParts) {
    requireOnWrite(parts.declared)
    this.#parts = parts
  }

  /** Reads what was declared. @throws TidemarkError TIDEMARK_CACHE_INVALID for a pattern that no key can match. */
  check(): void {
    const kinds = [...this.#parts.kinds.values()]
    const of = (text: string, columns: readonly string[] | null): WritePattern => ({
      pattern: parsePattern(text, kinds),
      columns,
    })
    this.#patterns = new Map(
      Object.entries(this.#parts.declared).map(([name, list]) => [
        name,
        list.flatMap((each) =>
          typeof each === 'string'
            ? [of(each, null)]
            : each.invalidates.map((text) => of(text, each.columns)),
        ),
      ]),
    )
  }

  /** Invalidates what these writes made untrue; resolves when this process cannot answer with it. Rejects never. */
  async outdate(writes: readonly TableWrite[]): Promise<void> {
    const { cache, kinds, journalTells } = this.#parts
    const rules = [...kinds.values()].flatMap((kind) => kind.rules)
    const tags = new Set<Tag>()
    const told = new Set<Tag>()
    for (const write of writes) {
      for (const pattern of this.#patternsFor(write)) {
        for (const tag of tagsOfPattern(write, pattern)) tags.add(tag)
      }
      for (const tag of tagsOfWrite(write, rules)) (journalTells ? told : tags).add(tag)
    }
    await cache.outdate([...tags], [...told])
  }

  #patternsFor(write: TableWrite): readonly WritePattern[] {
    if (this.#patterns === undefined) this.check()
    return [...(this.#patterns ?? [])].flatMap(([name, patterns]) =>
      isNamed(write, name) ? patterns : [],
    )
  }
}

const isNamed = ({ table, model }: TableWrite, name: string): boolean =>
  name === model || relationOf(name) === relationOf(table)

/** From JavaScript it may hold what its type does not: the first write would fail of it, which is done already. */
function requireOnWrite(onWrite: Readonly<Record<string, unknown>>): void {
  for (const [name, list] of Object.entries(onWrite)) {
    if (Array.isArray(list) && list.length > 0 && list.every(isOnWrite)) continue
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: `What a write to ${name} invalidates cannot be read.`,
      mend: "Write a list of patterns, or of patterns for some columns: ['profile:*', { invalidates: ['roles:*'], columns: ['role'] }].",
      place: `createCache.onWrite['${name}']`,
    })
  }
}

const isOnWrite = (each: unknown): boolean =>
  typeof each === 'string' ||
  (typeof each === 'object' &&
    each !== null &&
    Object.keys(each).sort().join() === 'columns,invalidates' &&
    Object.values(each).every(isTexts))

const isTexts = (list: unknown): boolean =>
  Array.isArray(list) && list.length > 0 && list.every((text) => typeof text === 'string')
