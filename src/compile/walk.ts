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
 * keeps it. Kinds begin with a capital, fields do not: this is how the parser writes them.
 */
export function* nodesOf(tree: unknown): Generator<TreeNode> {
  if (Array.isArray(tree)) {
    for (const item of tree) yield* nodesOf(item)
    return
  }
  if (!isFields(tree)) return
  for (const [name, value] of Object.entries(tree)) {
    if (/^[A-Z]/.test(name) && isFields(value)) yield { kind: name, node: value }
    yield* nodesOf(value)
  }
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
  [...nodesOf(tree)].some(({ kind }) => kind === 'SubLink')
