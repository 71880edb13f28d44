import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag, taggedSource, wholeTag } from '../model/journal.ts'
import type { KeyTemplate } from '../model/key-template.ts'

const place = /\{([^{}]*)\}/g

/** Reads a template. @throws TidemarkError TIDEMARK_CACHE_INVALID for one whose places are no names of columns. */
export function keyTemplate(text: string, source: RelationName): KeyTemplate {
  const places = [...text.matchAll(place)].map(([, name = '']) => name)
  if (text.replaceAll(place, '').trim() === '' || places.includes('')) {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: `'${text}' is no template of keys.`,
      mend: `Write the key with the column in braces: 'electro_isla:1:producto_{id}'.`,
    })
  }
  const columns = [...new Set(places)].toSorted()
  const [changed, whole] = [sourceTag(source), wholeTag(source)]
  const keysOf = (tag: Tag): readonly string[] | 'all' | null => {
    if (columns.length === 0) return tag === changed ? [text] : null
    if (tag === whole) return 'all'
    const rows = tag.startsWith(`${changed}:`) ? (taggedSource(tag)?.rows ?? null) : null
    if (rows === null || Object.keys(rows).toSorted().join() !== columns.join()) return null
    // No key is made of NULL.
    if (Object.values(rows).includes(null)) return []
    return [text.replaceAll(place, (_, name: string) => rows[name] ?? '')]
  }
  const glob = text
    .split(place)
    .map((part, at) => (at % 2 === 0 ? part.replaceAll(/[*?[\]\\]/g, String.raw`\$&`) : '*'))
    .join('')
  return { columns, glob, keysOf }
}
