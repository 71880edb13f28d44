import { readFile } from 'node:fs/promises'

/** Queries, the tables that they read, and writes to these. */
export interface SqlCases {
  readonly schema: string
  readonly writes: readonly string[]
  readonly queries: readonly { readonly name: string; readonly sql: string }[]
}

/** Reads a file of this folder: its parts begin with `-- schema`, `-- writes`, `-- queries`, each query with `--- name`. */
export async function readSqlCases(file: string): Promise<SqlCases> {
  const text = await readFile(new URL(file, import.meta.url), 'utf8')
  const [, schema = '', writes = '', queries = ''] = text.split(/^-- (?:schema|writes|queries)$/m)
  const [, ...parts] = queries.split(/^--- (.*)$/m)
  return {
    schema,
    writes: writes.split(/;\s*\n/).filter((write) => write.trim() !== ''),
    queries: parts.flatMap((name, at) =>
      at % 2 === 0 ? [{ name, sql: parts[at + 1]?.trim() ?? '' }] : [],
    ),
  }
}
