/** Days of the week in the order of ISO 8601: Monday is 1. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

/**
 * Reads days of the week: `mon-fri`, `mon,wed`, `fri-mon` (over the weekend), or a list of names.
 * Returns their numbers, 1 = Monday, rising and each once; null when a word is no day.
 */
export function readDays(days: string | readonly string[]): readonly number[] | null {
  const numbers = new Set<number>()
  for (const item of typeof days === 'string' ? days.toLowerCase().split(',') : days) {
    const ends = item.split('-').map((name) => weekdays.findIndex((day) => day === name.trim()))
    const [first = -1, last = first] = ends
    if (first < 0 || last < 0 || ends.length > 2) return null
    for (let i = first; ; i = (i + 1) % 7) {
      numbers.add(i + 1)
      if (i === last) break
    }
  }
  return [...numbers].sort((one, other) => one - other)
}
