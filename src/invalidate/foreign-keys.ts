import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { sourceTag, wholeTag } from '../model/journal.ts'
import type { KeyTemplate } from '../model/key-template.ts'
import { valueOfText } from './tags.ts'

const place = /\{([^{}]*)\}/g

/** Reads a template. @throws TidemarkError TIDEMARK_CACHE_INVALID for one whose places are no names of columns. */
export function keyTemplate(text: string, source: RelationName): KeyTemplate {
  const named = [...text.matchAll(place)].map(([, name = '']) => name)
  if (text.replaceAll(place, '').trim() === '' || named.includes('')) {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_INVALID',
      what: `'${text}' is no template of keys.`,
      mend: `Write the key with the column in braces: 'electro_isla:1:producto_{id}'.`,
    })
  }
  const columns = [...new Set(named)].toSorted()
  const [changed, whole] = [sourceTag(source), wholeTag(source)]
  const keysOf = (tag: Tag): readonly string[] | 'all' | null => {
    if (columns.length === 0) return tag === changed ? [text] : null
    if (tag === whole) return 'all'
    const values = tag.startsWith(`${changed}:`) ? rowOf(tag.slice(changed.length + 1)) : null
    if (values === null || [...values.keys()].join() !== columns.join()) return null
    // No key is made of NULL.
    if ([...values.values()].includes(null)) return []
    return [text.replaceAll(place, (_, name: string) => values.get(name) ?? '')]
  }
  const glob = text
    .split(place)
    .map((part, at) => (at % 2 === 0 ? part.replaceAll(/[*?[\]\\]/g, String.raw`\$&`) : '*'))
    .join('')
  return { columns, glob, keysOf }
}

/** The values in a tag of rows, by column. */
const rowOf = (text: string): ReadonlyMap<string, string | null> =>
  new Map(
    text.split(',').map((part) => {
      const [column = '', value = ''] = part.split('=')
      return [column, valueOfText(value)]
    }),
  )
