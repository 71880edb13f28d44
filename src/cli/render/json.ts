/** Version of every JSON that the command line prints: a change that breaks readers raises it. */
const jsonVersion = 1

/**
 * What a command prints with `--json`, in one line: its kind first, then its body. Keys are in
 * snake_case, as columns in SQL are; instants are ISO 8601 in UTC; spans are milliseconds.
 */
export function asJson(kind: string, body: object): string {
  return JSON.stringify({ version: jsonVersion, kind, ...snaked(body) })
}

const snake = (key: string): string =>
  key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

function snaked(value: object): object {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      snake(key),
      snakedValue(inner),
    ]),
  )
}

function snakedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakedValue)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return snaked(value)
}
