/** `refresh_by`, `RefreshBy` and `refresh-by` are one word to a reader. */
const plain = (word: string): string => word.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '')

/** Letters to insert, delete, replace or swap with a neighbour to make one word of the other. */
function editsBetween(one: string, other: string): number {
  const rows: number[][] = []
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let i = 0; i <= one.length; i++) {
    const row: number[] = []
    rows.push(row)
    for (let j = 0; j <= other.length; j++) {
      const replaced = at(i - 1, j - 1) + (one[i - 1] === other[j - 1] ? 0 : 1)
      const swaps = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      const swapped = swaps ? at(i - 2, j - 2) + 1 : Infinity
      row.push(i + j === 0 ? 0 : Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped))
    }
  }
  return at(one.length, other.length)
}

/**
 * Finds the word that was probably meant: the one with the fewest edits, at most a third of the
 * letters (two at least, but fewer than the word has). Case and punctuation do not count.
 * Returns undefined when none is near; the first of equals otherwise.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const meant = plain(word)
  let best: string | undefined
  let editsMax = Math.min(Math.max(2, Math.floor(meant.length / 3)), meant.length - 1)
  for (const candidate of known) {
    const edits = editsBetween(meant, plain(candidate))
    if (edits > editsMax || (best !== undefined && edits === editsMax)) continue
    best = candidate
    editsMax = edits
  }
  return best
}
