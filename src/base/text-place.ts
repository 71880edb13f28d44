/**
 * A place in a text as people and editors count it, `line:column`, both from 1.
 * `offset` counts characters from 0, not bytes and not UTF-16 units, as PostgreSQL does.
 */
export function lineAndColumn(text: string, offset: number): string {
  const lines = Array.from(text).slice(0, offset).join('').split('\n')
  return `${String(lines.length)}:${String(Array.from(lines.at(-1) ?? '').length + 1)}`
}
