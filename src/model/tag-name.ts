import type { Tag } from './invalidation.ts'

/** What a tag names, as people write it. */
export interface TagName {
  /** `tag`: a name that entries were given, or what of a table has changed. */
  readonly what: 'pattern' | 'tenant' | 'tag'
  readonly name: string
}

/** Reads a tag. */
export function tagName(tag: Tag): TagName {
  if (tag === 'all') return { what: 'pattern', name: '*' }
  const [, scope, name = ''] = /^(key|tenant|tag):(.*)$/s.exec(tag) ?? []
  switch (scope) {
    case 'key':
      return { what: 'pattern', name: `${name}:*` }
    case 'tenant':
      return { what: 'tenant', name }
    case 'tag':
      return { what: 'tag', name: name.replaceAll(/%(?:25|2C|3D|3A|0A)/g, decodeURIComponent) }
    default:
      return { what: 'tag', name: tag }
  }
}
