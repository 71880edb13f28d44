/** A span in at most five characters, of a second digit where it matters: `0.4s`, `38s`, `12m`, `3h`. */
export function shortSpan(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`
  if (seconds < 99.5) return `${seconds.toFixed(0)}s`
  if (seconds < 99.5 * 60) return `${(seconds / 60).toFixed(0)}m`
  return `${(seconds / 3600).toFixed(0)}h`
}

/** How long a step took, in at most five characters: `83ms`, `1.2s`, `42s`. */
export function shortDuration(ms: number): string {
  return ms < 999.5 ? `${Math.max(0, ms).toFixed(0)}ms` : shortSpan(ms)
}

/** A number with its thousands apart: `1,000,000`. */
export function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, ',')
}

/** Minutes and seconds: `02:07`. */
export function minutes(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const pad = (part: number): string => String(part).padStart(2, '0')
  return `${pad(Math.floor(seconds / 60))}:${pad(seconds % 60)}`
}

/**
 * The value below which the share `share` of the sorted values lies (nearest rank); 0 of none.
 * It is always one of the values.
 */
export function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? 0
}
