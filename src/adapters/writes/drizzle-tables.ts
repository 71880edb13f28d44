/** A table after a word that names one: quoted, as Drizzle writes it, or as SQL written by hand may. */
const named =
  /\b(?:from|join)\s+(?:only\s+|lateral\s+)*((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?)/gi
const common = /\b(?:with\s+(?:recursive\s+)?|,\s*)("(?:[^"]|"")+")\s+as\s+(?:materialized\s+)?\(/gi

/**
 * The tables that a query reads, at whatever depth, and words that only look like one; so that a query of which Drizzle tells too
 * little is not kept rather than kept for too long.
 */
export function tablesIn(sql: string): string[] {
  const expressions = new Set([...sql.matchAll(common)].map(([, name = '']) => unquoted(name)))
  const tables = [...sql.matchAll(named)].map(([, name = '']) => unquoted(name))
  return [...new Set(tables)].filter((table) => !expressions.has(table))
}

const unquoted = (name: string): string =>
  name.replaceAll(/"((?:[^"]|"")+)"/g, (_, inner: string) => inner.replaceAll('""', '"'))
