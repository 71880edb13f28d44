import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { GroupName, RelationName } from '../model/ids.ts'
import { groupName } from '../model/ids.ts'

/** What decides the group of a view. */
export interface GroupedView {
  readonly name: RelationName
  /** As declared; null to be grouped with the views that it feeds on. */
  readonly group: string | null
  /** Declared views that it reads directly. */
  readonly inputs: readonly RelationName[]
}

/** Where a view is refreshed: in which group, and as which one within it. */
export interface Placement {
  readonly group: GroupName
  readonly position: number
}

/**
 * Puts views into groups and into order.
 *
 * A declared group holds. Views without one that read one another, directly or through others, share
 * the group named after the alphabetically first of them; so does a view alone. Inputs come before
 * the views that read them; otherwise the alphabet decides, so that equal views get equal places.
 * Throws `TIDEMARK_VIEW_CYCLE` when views, or groups as a whole, depend on one another in a circle.
 */
export function placeViews(views: readonly GroupedView[]): ReadonlyMap<RelationName, Placement> {
  const order = inOrder(views)
  const groups = groupsOf(order)
  refuseCircleOfGroups(order, groups)
  const sizes = new Map<GroupName, number>()
  const places = new Map<RelationName, Placement>()
  for (const { name } of order) {
    const group = must(groups.get(name), 'every view has a group')
    const position = sizes.get(group) ?? 0
    sizes.set(group, position + 1)
    places.set(name, { group, position })
  }
  return places
}

/** Views with inputs first; equals by the alphabet. Throws `TIDEMARK_VIEW_CYCLE`, naming the circle. */
export function inOrder<View extends Pick<GroupedView, 'name' | 'inputs'>>(
  views: readonly View[],
): readonly View[] {
  const byName = new Map(views.map((view) => [view.name, view]))
  const left = new Map([...byName].sort(([one], [other]) => (one < other ? -1 : 1)))
  const order: View[] = []
  while (left.size > 0) {
    const next = [...left.values()].find(({ inputs }) => !inputs.some((input) => left.has(input)))
    if (next === undefined) throw circleFault('views', circleIn(left))
    left.delete(next.name)
    order.push(next)
  }
  return order
}

/** The same in layers: the inputs of a view are in layers before its own. */
export function inLayers<View extends Pick<GroupedView, 'name' | 'inputs'>>(
  views: readonly View[],
): readonly (readonly View[])[] {
  const layers: View[][] = []
  const depths = new Map<RelationName, number>()
  for (const view of inOrder(views)) {
    const depth = 1 + Math.max(-1, ...view.inputs.map((input) => depths.get(input) ?? -1))
    depths.set(view.name, depth)
    const layer = layers[depth]
    if (layer === undefined) layers.push([view])
    else layer.push(view)
  }
  return layers
}

/** Follows inputs from any view that is left until one comes again. */
function circleIn(left: ReadonlyMap<string, { readonly inputs: readonly string[] }>): string[] {
  const path: string[] = []
  let at = must([...left.keys()][0], 'a circle has members')
  while (!path.includes(at)) {
    path.push(at)
    const inputs = left.get(at)?.inputs ?? []
    at = must(
      inputs.find((input) => left.has(input)),
      'who is left waits for somebody who is left',
    )
  }
  return [...path.slice(path.indexOf(at)), at]
}

function circleFault(noun: string, circle: readonly string[]): TidemarkError {
  return new TidemarkError({
    code: 'TIDEMARK_VIEW_CYCLE',
    what: `The ${noun} depend on one another in a circle: ${circle.join(' reads ')}`,
    mend:
      noun === 'views'
        ? 'Let one of them read tables instead.'
        : "Give the views between them the same 'group', or take one view out of its group.",
  })
}

function groupsOf(views: readonly GroupedView[]): ReadonlyMap<RelationName, GroupName> {
  const parent = new Map<RelationName, RelationName>()
  const rootOf = (name: RelationName): RelationName => {
    const above = parent.get(name)
    return above === undefined || above === name ? name : rootOf(above)
  }
  const free = new Set(views.filter(({ group }) => group === null).map(({ name }) => name))
  for (const { name, inputs } of views) {
    for (const input of inputs) {
      if (!free.has(name) || !free.has(input)) continue
      const [first, second] = [rootOf(name), rootOf(input)].sort()
      if (first !== undefined && second !== undefined) parent.set(second, first)
    }
  }
  return new Map(views.map(({ name, group }) => [name, groupName(group ?? rootOf(name))]))
}

function refuseCircleOfGroups(
  views: readonly GroupedView[],
  groups: ReadonlyMap<RelationName, GroupName>,
): void {
  const inputsOf = new Map<GroupName, Set<GroupName>>()
  for (const { name, inputs } of views) {
    const group = must(groups.get(name), 'every view has a group')
    const read = inputsOf.get(group) ?? new Set<GroupName>()
    inputsOf.set(group, read)
    for (const input of inputs) {
      const other = groups.get(input)
      if (other !== undefined && other !== group) read.add(other)
    }
  }
  const left = new Map([...inputsOf].map(([group, read]) => [group, { inputs: [...read] }]))
  for (;;) {
    const next = [...left].find(([, { inputs }]) => !inputs.some((input) => left.has(input)))
    if (next === undefined) break
    left.delete(next[0])
  }
  if (left.size > 0) throw circleFault('groups', circleIn(left))
}
