import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import type { TaggedSource } from '../model/journal.ts'
import { taggedSource, wholeTag } from '../model/journal.ts'
import type { SourceRule } from './dependency.ts'
import type { NamedKind } from './pattern.ts'
import { tenantIn } from './tags.ts'

/** A kind with what its entries depend on. */
export interface DependentKind extends NamedKind {
  /** The names that all its entries are tagged with. */
  readonly tags: ReadonlySet<Tag>
  readonly rules: readonly SourceRule[]
  /** By source, the column that is compared with the first argument. */
  readonly byFirst: ReadonlyMap<RelationName, string>
}

/** Whose entries an invalidation concerns. */
export interface Concerned {
  readonly kind: string
  /** How keys would write the tenant; null: all tenants, or which one cannot be told. */
  readonly tenant: string | null
}

/** The kinds, and the tenant of each, that have entries with a tag, as far as the tag and what kinds declare tells. */
export function concernedByTag(tag: Tag, kinds: readonly DependentKind[]): Concerned[] {
  const about = taggedSource(tag)
  const columns = about?.rows == null ? null : Object.keys(about.rows).join()
  return kinds.flatMap((kind): readonly Concerned[] => {
    if (tag === 'all' || kind.tags.has(tag)) return [{ kind: kind.kind, tenant: null }]
    if (about !== null) {
      const isConcerned = kind.rules.some(
        (rule) => rule.source === about.source && isOfRule(tag, rule, columns),
      )
      return isConcerned ? [{ kind: kind.kind, tenant: tenantOf(kind, about) }] : []
    }
    const [, scope, words = ''] = /^(key|tenant):(.*)$/s.exec(tag) ?? []
    if (scope === 'key') return ofWords(kind, words)
    return scope === 'tenant' && kind.tenantForm !== null
      ? [{ kind: kind.kind, tenant: words }]
      : []
  })
}

/** The kind of an entry and its tenant, told from its key without the prefix; empty for one of a kind that is not defined here. */
export function concernedByKey(key: string, kinds: readonly DependentKind[]): Concerned[] {
  const found = kinds
    .filter(({ kind }) => key.startsWith(`${kind}:`))
    .toSorted((left, right) => right.kind.length - left.kind.length)
    .slice(0, 1)
  return found.map(({ kind, tenantForm }) => {
    const [tenant = ''] = key.slice(kind.length + 1).split(':')
    return { kind, tenant: tenantForm === null ? null : tenant }
  })
}

function ofWords({ kind, tenantForm }: DependentKind, words: string): Concerned[] {
  if (`${kind}:`.startsWith(`${words}:`)) return [{ kind, tenant: null }]
  const isTenant = tenantForm !== null && words.startsWith(`${kind}:`)
  return isTenant ? [{ kind, tenant: words.slice(kind.length + 1) }] : []
}

/** `columns` are those that the tag has values of, or null. */
function isOfRule(tag: Tag, rule: SourceRule, columns: string | null): boolean {
  if (columns !== null) return rule.columns.join() === columns
  return tag === wholeTag(rule.source) || rule.columns.length === 0
}

function tenantOf(
  { tenantForm, byFirst }: DependentKind,
  { source, rows }: TaggedSource,
): string | null {
  const column = byFirst.get(source as RelationName)
  const value = column === undefined ? null : (rows?.[column] ?? null)
  return tenantForm === null || value === null ? null : tenantIn(tenantForm, value)
}
