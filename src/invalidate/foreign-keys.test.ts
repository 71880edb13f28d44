import fc from 'fast-check'
import { expect, test } from 'vitest'
import { relationOf } from '../model/ids.ts'
import type { Tag } from '../model/invalidation.ts'
import { keyTemplate } from './foreign-keys.ts'
import { rowsTag } from './tags.ts'

const source = relationOf('productos')
const template = keyTemplate('isla:1:{tienda}:producto_{id}', source)

test('law: the key of a row has its values, whatever they are', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (id, tienda) => {
      const tag = rowsTag(source, [
        ['id', id],
        ['tienda', tienda],
      ])
      expect(template.keysOf(tag)).toEqual([`isla:1:${tienda}:producto_${id}`])
    }),
  )
})

test('what cannot be told by row concerns all keys, and other tags none', () => {
  expect(template.keysOf('source:public.productos:*' as Tag)).toBe('all')
  expect(template.keysOf(rowsTag(source, [['id', 7]]))).toBeNull()
  expect(template.keysOf(rowsTag(relationOf('pedidos'), [['id', 7]]))).toBeNull()
  expect(template.keysOf('all' as Tag)).toBeNull()
  const row = rowsTag(source, [
    ['id', null],
    ['tienda', 1],
  ])
  expect(template.keysOf(row)).toEqual([])
})

test('a key without places goes with any change', () => {
  const list = keyTemplate('isla:1:lista', source)
  expect(list.keysOf('source:public.productos' as Tag)).toEqual(['isla:1:lista'])
  expect(list.keysOf(rowsTag(source, [['id', 7]]))).toBeNull()
})

test('keys are found by a pattern in which only places are open', () => {
  expect(keyTemplate('a*b[1]:{id}', source).glob).toBe(String.raw`a\*b\[1\]:*`)
})

test.each(['{id}', 'a:{}', ''])('%j is no template', (text) => {
  expect(() => keyTemplate(text, source)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_CACHE_INVALID' }),
  )
})
