/** A node of a syntax tree with the name of its kind, `ColumnRef`, `FuncCall`. */
export interface TreeNode {
  readonly kind: string
  readonly node: Readonly<Record<string, unknown>>
}

/** Whether something is an object with fields. */
export const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Every node below a syntax tree, parents before children, in the order of the text where the parser
 * keeps it.
 */
export function nodesOf(tree: unknown): readonly TreeNode[] {
  const found: TreeNode[] = []
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    else if (isFields(value)) {
      for (const name of Object.keys(value)) {
        const part = value[name]
        if (startsWithCapital(name) && isFields(part)) found.push({ kind: name, node: part })
        look(part)
      }
    }
  }
  look(tree)
  return found
}

/** Kinds of nodes begin with a capital, fields do not. */
export function startsWithCapital(name: string): boolean {
  const first = name.charCodeAt(0)
  return first >= 65 && first <= 90
}

const placesInText: ReadonlySet<string> = new Set([
  'location', 'stmt_location', 'stmt_len', 'name_location', 'list_start', 'list_end', 'rexpr_list_start', 'rexpr_list_end',
]) // prettier-ignore

/** A syntax tree as text without the places: equal for two texts that differ in formatting alone. */
export function treeText(tree: unknown): string {
  if (typeof tree !== 'object' || tree === null) return textOf(tree)
  const known = texts.get(tree)
  if (known !== undefined) return known
  const text = textOf(tree)
  texts.set(tree, text)
  return text
}

const texts = new WeakMap<object, string>()

const textOf = (tree: unknown): string =>
  JSON.stringify(tree, (name, value: unknown) => (placesInText.has(name) ? undefined : value))

/** Whether there is a subquery in an expression. */
export const hasSubquery = (tree: unknown): boolean =>
  nodesOf(tree).some(({ kind }) => kind === 'SubLink')
