const unitBytes: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1024,
  mb: 1024 ** 2,
  gb: 1024 ** 3,
  tb: 1024 ** 4,
}

/** The form of a size, for editors; {@link parseSize} reads it in any case. */
export const sizePattern = '^\\s*\\d+(\\.\\d+)?\\s*([kKmMgGtT]?[bB])\\s*$'

/**
 * Reads a size as PostgreSQL writes it: `512MB`, `1GB`, `1.5 GB`; a kB is 1,024 bytes.
 * Returns whole bytes, or null when the text is not a size. A number without a unit is not one.
 */
export function parseSize(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?b)\s*$/i.exec(text)
  const unit = unitBytes[found?.[2]?.toLowerCase() ?? '']
  if (found === null || unit === undefined) return null
  const bytes = Math.round(Number(found[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : null
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes as people read them: `640 kB`, `1.2 GB`. */
export function formatSize(bytes: number): string {
  let value = bytes
  let at = 0
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024
    at += 1
  }
  const digits = value >= 10 || at === 0 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, '')
  return `${digits} ${units[at] ?? 'TB'}`
}
