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
