import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { relationName } from '../model/ids.ts'
import type { GroupedView } from './groups.ts'
import { inLayers, placeViews } from './groups.ts'

const view = (name: string, inputs: string[] = [], group: string | null = null): GroupedView => ({
  name: relationName('public', name),
  group,
  inputs: inputs.map((input) => relationName('public', input)),
})

const placed = (views: readonly GroupedView[]): Record<string, string> =>
  Object.fromEntries(
    [...placeViews(views)].map(([name, { group, position }]) => [name, `${group} ${position}`]),
  )

describe('placeViews', () => {
  test('a view alone has a group of its own name', () => {
    expect(placed([view('a'), view('b')])).toEqual({
      'public.a': 'public.a 0',
      'public.b': 'public.b 0',
    })
  })

  test('views that feed on one another share the group of the alphabetically first', () => {
    expect(placed([view('c', ['z']), view('z'), view('b', ['c']), view('a')])).toEqual({
      'public.z': 'public.b 0',
      'public.c': 'public.b 1',
      'public.b': 'public.b 2',
      'public.a': 'public.a 0',
    })
  })

  test('a declared group holds, and does not draw in its readers', () => {
    expect(placed([view('a', [], 'board'), view('b', ['a']), view('c', [], 'board')])).toEqual({
      'public.a': 'board 0',
      'public.c': 'board 1',
      'public.b': 'public.b 0',
    })
  })

  test('a circle of views is refused with its members', () => {
    expect(() => placeViews([view('a', ['c']), view('b', ['a']), view('c', ['b'])])).toThrow(
      /public\.a reads public\.c reads public\.b reads public\.a \(TIDEMARK_VIEW_CYCLE\)/,
    )
  })

  test('a circle of groups is refused, although no views are in one', () => {
    const views = [view('a', [], 'one'), view('b', ['a'], 'two'), view('c', ['b'], 'one')]
    expect(() => placeViews(views)).toThrow(/groups depend .* \(TIDEMARK_VIEW_CYCLE\)/)
  })

  test('law: inputs come first, and the order of declaration does not matter', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const graphs = fc
      .array(fc.subarray(names), { minLength: names.length, maxLength: names.length })
      .map((reads) =>
        names.map((name, i) =>
          view(
            name,
            reads[i]?.filter((input) => input < name),
          ),
        ),
      )
    fc.assert(
      fc.property(graphs, (views) => {
        const places = placeViews(views)
        for (const { name, inputs } of views) {
          for (const input of inputs) {
            expect(places.get(input)?.group).toBe(places.get(name)?.group)
            expect(places.get(input)?.position).toBeLessThan(places.get(name)?.position ?? -1)
          }
        }
        expect(new Map(placeViews([...views].reverse()))).toEqual(new Map(places))
      }),
    )
  })
})

test('views are laid in layers, each after the inputs of its views, however many there are between', () => {
  const views = [view('d', ['a', 'c']), view('c', ['b']), view('b', ['a']), view('a'), view('e')]
  expect(inLayers(views).map((layer) => layer.map(({ name }) => name))).toEqual([
    ['public.a', 'public.e'],
    ['public.b'],
    ['public.c'],
    ['public.d'],
  ])
})
